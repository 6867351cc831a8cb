// The model's files in the worker: fetched once, checked, kept for visits without network.

import { Failed } from "./failure";
import type { ModelIdentity } from "./protocol";
import { CACHE } from "./storage";

/** `manifest.json` of a model folder. */
interface Manifest {
  name: string;
  files: Record<string, { size: number; sha256: string }>;
}

/** What wasm reads the model from; both calls are synchronous. */
export interface ModelSource {
  size(path: string): number | undefined;
  read(path: string, offset: number, length: number): Uint8Array;
}

/** Fetches files and keeps them, counting bytes on the way. */
export class Downloads {
  /** Whether every file could be kept for a visit without network. */
  kept = true;
  private readonly wanted = new Set<string>();
  private loaded = 0;
  private total = 0;

  constructor(private readonly progress: (loaded: number, total: number) => void) {}

  /** Announces bytes to come, so that the bar's end is known from the start. */
  expect(bytes: number): void {
    this.total += bytes;
    this.progress(this.loaded, this.total);
  }

  /** The file at `url`, from the cache where `accept` finds it whole, else from the network. */
  async file(url: string, accept: (blob: Blob) => Promise<boolean>): Promise<Blob> {
    const cache = await this.open();
    this.wanted.add(url);
    const known = await kept(cache, url, accept);
    if (known) {
      this.count(known.size);
      return known;
    }
    const blob = await this.download(url);
    if (!(await accept(blob))) {
      this.count(-blob.size);
      const problem = `\`${name(url)}\` did not arrive whole: check the connection and try again`;
      throw new Failed("DownloadError", problem);
    }
    if (!cache) return blob;
    try {
      await cache.put(url, new Response(blob));
      // the cache's copy lies on disk, the downloaded one in memory
      return (await (await cache.match(url))?.blob()) ?? blob;
    } catch {
      this.kept = false;
      return blob;
    }
  }

  /** Drops what earlier visits kept and this one did not ask for. */
  async forgetOthers(): Promise<void> {
    const cache = await this.open();
    if (!cache) return;
    try {
      for (const { url } of await cache.keys()) {
        if (!this.wanted.has(url)) await cache.delete(url);
      }
      // an earlier version of the page had one for all its copies on a host
      await caches.delete("dvar-files");
    } catch {
      // a cache that cannot be read cannot be tidied up either
      this.kept = false;
    }
  }

  /** The newest list of a model's files, or without network the one of the last visit. */
  async list(url: string): Promise<Manifest> {
    const cache = await this.open();
    this.wanted.add(url);
    const response = await fetch(url, { cache: "no-cache" }).catch(() => undefined);
    const fresh = response?.ok ? response : undefined;
    try {
      const text = (await (fresh ?? (await cache?.match(url)))?.text()) ?? "";
      const manifest = JSON.parse(text) as Manifest;
      if (fresh) await cache?.put(url, new Response(text)).catch(() => (this.kept = false));
      return manifest;
    } catch {
      const problem = "The list of the model's files did not arrive: check the connection and try again";
      throw new Failed("DownloadError", problem);
    }
  }

  /** Where files are kept, if the browser lends storage. */
  private async open(): Promise<Cache | undefined> {
    try {
      return await caches.open(CACHE);
    } catch {
      this.kept = false;
      return undefined;
    }
  }

  private async download(url: string): Promise<Blob> {
    const parts: BlobPart[] = [];
    let size = 0;
    try {
      const response = await fetch(url, { cache: "no-cache" });
      if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
      const reader = response.body.getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        parts.push(part.value);
        size += part.value.length;
        this.count(part.value.length);
      }
    } catch (error) {
      this.count(-size);
      const reason = error instanceof Error ? error.message : String(error);
      // of a newer version the files have other names
      const remedy = reason === "status 404" ? "reload the page, of which there may be a newer version" : "check the connection and try again";
      const problem = `\`${name(url)}\` did not arrive (${reason}): ${remedy}`;
      throw new Failed("DownloadError", problem);
    }
    return new Blob(parts);
  }

  private count(bytes: number): void {
    this.loaded += bytes;
    this.progress(this.loaded, this.total);
  }
}

/** What was kept of `url`, where it is whole. What the browser cannot read any more is fetched again. */
async function kept(cache: Cache | undefined, url: string, accept: (blob: Blob) => Promise<boolean>): Promise<Blob | undefined> {
  try {
    const blob = await (await cache?.match(url))?.blob();
    return blob && (await accept(blob)) ? blob : undefined;
  } catch {
    return undefined;
  }
}

/** Every file of the model folder at `model`, an absolute URL that ends in a slash. */
export async function fetchModel(
  model: string,
  downloads: Downloads,
): Promise<ModelIdentity & { files: Map<string, Blob> }> {
  const manifest = await downloads.list(new URL("manifest.json", model).href);
  const files = Object.entries(manifest.files);
  downloads.expect(files.reduce((sum, [, { size }]) => sum + size, 0));
  const blobs = new Map<string, Blob>();
  for (const [path, { size, sha256 }] of files) {
    const whole = async (blob: Blob) => blob.size === size && (await digest(blob)) === sha256;
    blobs.set(path, await downloads.file(new URL(path, model).href, whole));
  }
  const list = files.map(([path, { sha256 }]) => `${path} ${sha256}\n`).sort();
  return { name: manifest.name, url: model, sum: await digest(new Blob(list)), files: blobs };
}

/** What wasm reads these files from, a piece at a time. */
export function source(blobs: Map<string, Blob>): ModelSource {
  const reader = new FileReaderSync();
  return {
    size: (path) => blobs.get(path)?.size,
    read(path, offset, length) {
      const blob = blobs.get(path);
      if (!blob) throw new Error(`the model has no file \`${path}\``);
      return new Uint8Array(reader.readAsArrayBuffer(blob.slice(offset, offset + length)));
    },
  };
}

/** SHA-256, in hexadecimal digits. */
export async function digest(blob: Blob): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function name(url: string): string {
  return new URL(url).pathname.split("/").pop() ?? url;
}
