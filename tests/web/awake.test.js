// The screen stays on while a training runs, and no longer.

import assert from "node:assert/strict";
import { test } from "node:test";

import { finished, reached, ready, set, site, train } from "./page.js";
import { openWithPrefix } from "./worker_prefix.js";

const it = site();
const tiny = { max_train_steps: 2000, train_batch_size: 1, eval_batch_size: 1, window: 50, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" };

/** A browser whose locks can be counted and taken back; `answer` is what it says when it is asked for one. */
const locks = (answer) => `
  globalThis.locks = [];
  Object.defineProperty(navigator, "wakeLock", {
    value: {
      async request(kind) {
        ${answer}
        const lock = { kind, released: false, release: async () => { lock.released = true; } };
        globalThis.locks.push(lock);
        return lock;
      },
    },
  });`;

/** Waits until so many locks are held. */
const held = (page, count) =>
  page.waitForFunction((count) => globalThis.locks.filter(({ released }) => !released).length === count, count);

async function training(prefix) {
  const page = await openWithPrefix(it, prefix, "?model=tiny/", { everywhere: true });
  await ready(page);
  await set(page, tiny);
  await train(page);
  await reached(page, 2);
  return page;
}

test("the screen stays on while a training runs, not while it is paused, and again when the page is seen again", async () => {
  const page = await training(locks(""));
  await held(page, 1);
  assert.equal(await page.evaluate(() => globalThis.locks[0].kind), "screen");
  await page.getByRole("button", { name: "Pause" }).click();
  await held(page, 0);
  await page.getByRole("button", { name: "Go on" }).click();
  await held(page, 1);
  // as the browser does with a page that is hidden, and shows again
  await page.evaluate(() => {
    for (const lock of globalThis.locks) lock.released = true;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await held(page, 1);
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await finished(page);
  await held(page, 0);
  await page.context().close();
});

test("a training that fails lets the screen go", async () => {
  const page = await training(locks(""));
  await held(page, 1);
  const worker = page.workers().find((each) => each.url().includes("worker-"));
  await worker.evaluate(() => void setTimeout(() => { throw new Error("a crash"); }));
  await page.locator("#start").waitFor();
  await held(page, 0);
  await page.context().close();
});

test("a browser that refuses to keep the screen on trains as ever", async () => {
  const page = await training(locks('globalThis.refused = true; throw new DOMException("low battery", "NotAllowedError");'));
  await reached(page, 4);
  assert.ok(await page.evaluate(() => globalThis.refused));
  assert.deepEqual(page.problems, []);
  await page.context().close();
});
