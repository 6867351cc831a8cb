// A second visit needs no network.

import assert from "node:assert/strict";
import { test } from "node:test";

import { finished, ready, serveCopy, set, site, train, visit } from "./page.js";

const it = site();

test("where the browser cannot read what it kept of the page, the page comes by network", async () => {
  const unreadable = "for (const { prototype } of [Cache, CacheStorage]) prototype.match = async () => { throw new DOMException('unreadable', 'UnknownError'); };";
  serveCopy(it, "/unreadable/", (code) => `${unreadable}\n${code}`);
  const page = await it.open();
  await page.goto(`${it.server.origin}/unreadable/`);
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
  await page.reload();
  await ready(page);
  await page.context().close();
});

test("the licences of what the page is made of lie beside it, and no visit loads them", async () => {
  for (const file of ["LICENSE", "MODEL_LICENSES.md", "NOTICE-APACHE-2.0.txt", "CLIP_TOKENIZER_LICENSE.md", "UPLOT_LICENSE"]) {
    assert.equal((await fetch(`${it.url}licenses/${file}`)).status, 200, file);
  }
  const worker = await (await fetch(`${it.url}service_worker.js`)).text();
  assert.match(worker, /assets\//);
  assert.doesNotMatch(worker, /licenses\//);
});

// the last one: there is no server after it
test("a second visit works without network, and asks for no other site", async () => {
  // as many hosts do
  it.server.moved.set("/a/host/index.html", "./");
  const page = await it.open();
  const context = page.context();
  const hosts = new Set();
  context.on("request", (request) => {
    if (!request.url().startsWith("blob:")) hosts.add(new URL(request.url()).host);
  });
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await page.close();
  assert.deepEqual([...hosts], [new URL(it.url).host]);

  await it.server.close();
  const again = await visit(context, `${it.url}?model=tiny/`);
  await ready(again);
  await set(again, { max_train_steps: 2, train_batch_size: 1, eval_batch_size: 1, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" });
  await train(again);
  await finished(again);
});
