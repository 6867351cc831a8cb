// Code put before the worker's own, to make real failures happen when a test wants them.

import { PATIENCE, visit } from "./page.js";

/** Opens the page in a context whose worker runs `prefix` first, and the page too if it is to run `everywhere`. */
export async function openWithPrefix(site, prefix, query = "?model=tiny/", { everywhere = false, ...options } = {}) {
  // what a service worker answers cannot be changed
  const context = await site.browser.newContext({ ...options, serviceWorkers: "block" });
  await context.route(/worker-[^/]*\.js$/, async (route) => {
    try {
      const response = await route.fetch();
      await route.fulfill({ response, body: `${prefix}\n${await response.text()}` });
    } catch (error) {
      // a worker that was still to come when the test ended
      if (!/closed|disposed/.test(error.message)) throw error;
    }
  });
  if (everywhere) await context.addInitScript(prefix);
  context.setDefaultTimeout(PATIENCE);
  return visit(context, site.url + query);
}

/** Keeps every GPU device within a test's reach. */
export const KEEP_DEVICES = `
  globalThis.devices = [];
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (...wanted) {
    const device = await requestDevice.apply(this, wanted);
    globalThis.devices.push(device);
    return device;
  };`;

/** Keeps every connection to the browser's storage within a test's reach. */
export const KEEP_STORAGE = `
  globalThis.databases = [];
  {
    const { open } = IDBFactory.prototype;
    IDBFactory.prototype.open = function (...asked) {
      const request = open.apply(this, asked);
      request.addEventListener("success", () => globalThis.databases.push(request.result));
      return request;
    };
  }`;

/** Lets nothing arrive in a worker before a test calls its `letIn`. */
export const HOLD_FILES = `
  {
    const { fetch } = globalThis;
    const answered = new Promise((resolve) => (globalThis.letIn = resolve));
    globalThis.fetch = async (...asked) => {
      await answered;
      return fetch(...asked);
    };
  }`;

/** A GPU in name, which the CPU plays. */
export const NAMED_GPU = `
  Object.defineProperty(navigator, "gpu", { value: { requestAdapter: async () => ({ info: { description: "A GPU" } }) } });
  addEventListener("message", ({ data }) => {
    if (data?.type === "open") data.device = "cpu";
  });`;

/** A machine of so many cores, with a clock by which what is done later takes longer (`power` over 1) or
 * less long: whatever is tried first seems the fastest, or the slowest. */
export const machine = (cores, power) => `
  Object.defineProperty(navigator, "hardwareConcurrency", { value: ${cores} });
  let readings = 0;
  performance.now = () => ++readings ** ${power};`;

/** Lets wasm have no more than \`pages\` pages of memory, as a small machine would. */
export const limitMemory = (pages) => `
  const lend = (bytes) => {
    const read = (at) => {
      let value = 0, shift = 0, byte;
      do { byte = bytes[at++]; value += (byte & 127) * 2 ** shift; shift += 7; } while (byte & 128);
      return [value, at];
    };
    const write = (value) => {
      const out = [];
      do { out.push((value & 127) | (value > 127 ? 128 : 0)); value = Math.floor(value / 128); } while (value > 0);
      return out;
    };
    for (let at = 8; at < bytes.length; ) {
      const [size, start] = read(at + 1);
      if (bytes[at] === 5) {
        const [least] = read(start + 2);
        const body = [1, 1, ...write(least), ...write(Math.max(least, ${pages}))];
        const made = [bytes.slice(0, at), [5, ...write(body.length), ...body], bytes.slice(start + size)];
        return new Blob(made.map((part) => new Uint8Array(part))).arrayBuffer();
      }
      at = start + size;
    }
  };
  WebAssembly.compileStreaming = async (response) =>
    WebAssembly.compile(await lend(new Uint8Array(await (await response).arrayBuffer())));`;
