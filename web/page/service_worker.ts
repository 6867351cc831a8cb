// Keeps the page itself for visits without network. Wasm and model are kept by the worker, which
// checks them; they are not fetched a second time here.

/** Both are filled in by the build. */
const VERSION = "__VERSION__";
const FILES = "__FILES__";

const scope = self as unknown as ServiceWorkerGlobalScope;
const home = scope.registration.scope;
/** Copies of the page on one host, at other paths, have other caches. */
const PREFIX = `dvar-page ${new URL(home).pathname} `;
const NAME = PREFIX + VERSION;

scope.addEventListener("install", (event) => {
  const add = async () => {
    const cache = await caches.open(NAME);
    await cache.addAll(FILES.split("\n").map((url) => new Request(url, { cache: "no-cache" })));
    await scope.skipWaiting();
  };
  event.waitUntil(add());
});

scope.addEventListener("activate", (event) => {
  const clean = async () => {
    for (const name of await caches.keys()) {
      if (name !== NAME && (await isOwn(name))) await caches.delete(name);
    }
    await scope.clients.claim();
  };
  event.waitUntil(clean());
});

/** Whether a cache is this page's; an earlier version of it had no path in the name. */
async function isOwn(name: string): Promise<boolean> {
  if (!name.startsWith("dvar-page-")) return name.startsWith(PREFIX);
  return (await caches.match(home, { cacheName: name })) !== undefined;
}

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(home)) return;
  const navigates = request.mode === "navigate";
  const [path] = request.url.split(/[?#]/);
  // another page of the same host is not this one's to answer
  if (navigates && path !== home && path !== `${home}index.html`) return;
  const answer = async () => {
    const asked = navigates ? home : request.url;
    // a cache that the browser cannot read any more must not keep the page from coming by network
    const kept = await caches.match(asked, { cacheName: NAME, ignoreSearch: true }).catch(() => undefined);
    // the page may be a newer one, its files never change
    if (kept && navigates) return fetch(request).catch(() => kept);
    return kept ?? fetch(request);
  };
  event.respondWith(answer());
});

export {};
