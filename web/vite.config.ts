// Builds the page into static files with relative addresses, for any folder of any host.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";

import { defineConfig, type Plugin } from "vite";

const out = join(import.meta.dirname, "dist");
const wasm = join(import.meta.dirname, "page/pkg/dvar_web_bg.wasm");

/** Tells the service worker what the page is made of; wasm and model are kept by the worker. */
function precache(): Plugin {
  return {
    name: "precache",
    closeBundle() {
      const listed = readdirSync(out, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => relative(out, join(entry.parentPath, entry.name)).split(sep).join("/"))
        .filter((file) => !file.endsWith(".wasm") && !file.startsWith("model/") && !file.startsWith("licenses/"))
        .filter((file) => file !== "service_worker.js")
        .sort();
      const version = createHash("sha256");
      for (const file of listed) version.update(file).update(readFileSync(join(out, file)));
      // many hosts redirect from the file to its folder, and no navigation may be answered by a redirect
      const urls = listed.map((file) => (file === "index.html" ? "./" : file));
      const worker = join(out, "service_worker.js");
      const code = readFileSync(worker, "utf8")
        .replace("__VERSION__", version.digest("hex").slice(0, 16))
        .replace(/["'`]__FILES__["'`]/, JSON.stringify(urls.join("\n")));
      writeFileSync(worker, code);
    },
  };
}

export default defineConfig({
  base: "./",
  define: { WASM_SIZE: statSync(wasm).size },
  plugins: [precache()],
  worker: { format: "es" },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    rollupOptions: {
      input: { index: "index.html", service_worker: "page/service_worker.ts" },
      output: {
        entryFileNames: ({ name }) =>
          name === "service_worker" ? "service_worker.js" : "assets/[name]-[hash].js",
      },
    },
  },
});
