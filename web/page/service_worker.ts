// Keeps the page itself for visits without network. Wasm and model are kept by the worker, which
// checks them; they are not fetched a second time here.

/** Both are filled in by the build. */
const VERSION = "__VERSION__";
const FILES = "__FILES__";

const PREFIX = "dvar-page-";
const scope = self as unknown as ServiceWorkerGlobalScope;

scope.addEventListener("install", (event) => {
  const add = async () => {
    const cache = await caches.open(PREFIX + VERSION);
    await cache.addAll(FILES.split("\n").map((url) => new Request(url, { cache: "no-cache" })));
    await scope.skipWaiting();
  };
  event.waitUntil(add());
});

scope.addEventListener("activate", (event) => {
  const clean = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== PREFIX + VERSION);
    await Promise.all(old.map((name) => caches.delete(name)));
    await scope.clients.claim();
  };
  event.waitUntil(clean());
});

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(scope.registration.scope)) return;
  const home = scope.registration.scope;
  const navigates = request.mode === "navigate";
  const [path] = request.url.split(/[?#]/);
  // another page of the same host is not this one's to answer
  if (navigates && path !== home && path !== `${home}index.html`) return;
  const answer = async () => {
    const cache = await caches.open(PREFIX + VERSION);
    const kept = await cache.match(navigates ? home : request.url, { ignoreSearch: true });
    // the page may be a newer one, its files never change
    if (kept && navigates) return fetch(request).catch(() => kept);
    return kept ?? fetch(request);
  };
  event.respondWith(answer());
});

export {};
