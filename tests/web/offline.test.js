// A second visit needs no network.

import assert from "node:assert/strict";
import { test } from "node:test";

import { finished, ready, set, site, train, visit } from "./page.js";

const it = site();

test("a second visit works without network, and asks for no other site", async () => {
  // as many hosts do, and as GitHub's makes other files of Markdown
  it.server.moved.set("/a/host/index.html", "./");
  it.server.gone.add(".md");
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
