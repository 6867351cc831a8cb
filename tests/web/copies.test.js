// Copies of the page on one host, at other paths, keep what they store apart.

import assert from "node:assert/strict";
import { test } from "node:test";

import { discard, finished, offersNothing, PATIENCE, ready, serveCopy, set, showAgain, site, train, visit } from "./page.js";

const it = site();
const PATHS = ["/a/host/", "/b/"];

/** Serves the page, with another version and a model, at a second path too. */
function serveOther() {
  const { folders } = it.server;
  if (folders["/b/"]) return;
  folders["/b/tiny/"] = it.tiny;
  serveCopy(it, "/b/", (code) => {
    const other = code.replace(/\b[0-9a-f]{16}\b/, "0123456789abcdef");
    assert.notEqual(other, code);
    return other;
  });
}

async function browser() {
  serveOther();
  const context = await it.browser.newContext();
  context.setDefaultTimeout(PATIENCE);
  return context;
}

/** Opens the copy at this path, with its model. */
async function open(context, path) {
  const page = await visit(context, `${it.server.origin}${path}?model=tiny/`);
  await ready(page);
  return page;
}

/** Waits until the service worker has done what it does when it begins. */
const begun = (page) =>
  page.waitForFunction(() => navigator.serviceWorker.ready.then(({ active }) => active.state === "activated"));

test("what an earlier version kept for all copies is let go, and what is another copy's stays", async () => {
  const context = await browser();
  const before = await visit(context, `${it.url}concepts/index.json`);
  const other = "dvar-page-fedcba9876543210";
  await before.evaluate(async (other) => {
    for (const [name, url] of [["dvar-files", "/a/host/old"], ["dvar-page-0123456789abcdef", "/a/host/"], [other, "/c/"]]) {
      await (await caches.open(name)).put(url, new Response("old"));
    }
  }, other);
  const page = await open(context, "/a/host/");
  await begun(page);
  const names = await page.evaluate(() => caches.keys());
  assert.deepEqual(names.filter((name) => !/^dvar-(files|page) \/a\/host\//.test(name)), [other]);
  await context.close();
});

/** Stores the run of the page's own storage as an earlier version did. */
const storeAsEarlier = (page) =>
  page.evaluate(async () => {
    const inStore = (name, act) =>
      new Promise((resolve) => {
        const request = indexedDB.open(name, 1);
        request.onupgradeneeded = () => request.result.createObjectStore("run");
        request.onsuccess = () => {
          const transaction = request.result.transaction("run", "readwrite");
          const asked = act(transaction.objectStore("run"));
          transaction.oncomplete = () => resolve(asked);
        };
      });
    const own = `dvar ${new URL(".", location.href).pathname}`;
    const [keys, values] = await inStore(own, (store) => [store.getAllKeys(), store.getAll()]);
    await inStore("dvar", (store) => keys.result.forEach((key, i) => store.put(values.result[i], key)));
    await inStore(own, (store) => void store.clear());
  });

test("a run is offered by the copy that made it alone; what an earlier version stored is still found, and can be discarded", async () => {
  const context = await browser();
  const page = await open(context, "/a/host/");
  await set(page, { max_train_steps: 2, train_batch_size: 1, eval_batch_size: 1, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" });
  await train(page);
  await finished(page);
  const other = await open(context, "/b/");
  await offersNothing(other);

  await storeAsEarlier(page);
  await showAgain(page);
  assert.equal(await page.locator("#before img").count(), 1);
  await page.reload();
  await discard(page);
  await offersNothing(page);
  await context.close();
});

// the last one: there is no server after it
test("a visit to one copy takes nothing from another, and both open without network", async () => {
  const context = await browser();
  for (const path of PATHS) {
    const page = await open(context, path);
    await begun(page);
    await page.close();
  }
  await it.server.close();
  for (const path of PATHS) await open(context, path);
});
