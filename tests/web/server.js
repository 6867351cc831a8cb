// Serves the built page from a sub-path, with the documented header, and breaks files on request.

import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".wasm": "application/wasm",
};
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; " +
  "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'";

/** A server for `folders`, each path prefix with the folder that it shows; more can be added to its `folders`. */
export async function serve(folders) {
  /** Paths that arrive only in part, and how many bytes. */
  const cut = new Map();
  /** Paths that are to be found elsewhere, and where. */
  const moved = new Map();
  /** Endings of paths that are not there. */
  const gone = new Set();
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://host").pathname);
    if (moved.has(path)) return response.writeHead(308, { location: moved.get(path) }).end();
    const prefix = Object.keys(folders).find((start) => path.startsWith(start));
    if (!prefix || [...gone].some((ending) => path.endsWith(ending))) return response.writeHead(404).end();
    let file = join(folders[prefix], normalize("/" + path.slice(prefix.length)));
    if (path.endsWith("/")) file = join(file, "index.html");
    let size;
    try {
      size = statSync(file).size;
    } catch {
      return response.writeHead(404).end();
    }
    const end = [...cut].find(([name]) => path.endsWith(name))?.[1] ?? size;
    response.writeHead(200, {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-length": end,
      "content-security-policy": POLICY,
      "cache-control": "no-cache",
    });
    if (end === 0) return response.end();
    createReadStream(file, { end: end - 1 }).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    cut,
    moved,
    gone,
    folders,
    /** Closes it; a second time does nothing. */
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
