// Whatever a GPU is asked for when it fails, the CPU does it, and the page says so. The GPU is one in name alone.

import assert from "node:assert/strict";
import { test } from "node:test";

import { figure, finished, goOnTo, reached, ready, set, showAgain, site, train } from "./page.js";
import { NAMED_GPU, openWithPrefix } from "./worker_prefix.js";

const it = site();
const tiny = { max_train_steps: 200, train_batch_size: 1, eval_batch_size: 1, window: 50, threshold: 0, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" };

const open = (prefix) => openWithPrefix(it, prefix, "?model=tiny/", { everywhere: true });
const told = (page, text) => page.locator("#notice-text").getByText(text).waitFor();
const onCpu = (page) => page.locator("#device input[value=cpu]").isChecked();

/** What the worker says when its GPU is lost. */
async function lose(page) {
  const told = await Promise.allSettled(
    page.workers().map((worker) =>
      worker.evaluate(() => {
        // not those that compute for it, which the page ends as soon as it hears of this
        if (self.name !== "") return false;
        self.postMessage({ type: "broken", error: { name: "DeviceError", message: "the GPU was lost" } });
        return true;
      }),
    ),
  );
  assert.ok(told.some(({ value }) => value));
}

/** Keeps from a worker on the GPU what it is asked to draw. */
const HOLD = `
  {
    let onGpu = false;
    addEventListener("message", (event) => {
      const { type, device } = event.data ?? {};
      if (type === "open") onGpu = device === "webgpu";
      if (type === "draw" && onGpu) event.stopImmediatePropagation();
    });
  }`;

/** A page that has trained and draws on the GPU, which comes to no end. */
async function drawing() {
  // before the name, which has the CPU asked in place of the GPU
  const page = await open(HOLD + NAMED_GPU);
  await ready(page);
  await page.locator("#pictures img").first().waitFor();
  await set(page, tiny);
  await train(page);
  await finished(page);
  assert.ok(!(await onCpu(page)));
  await page.getByRole("button", { name: "Draw", exact: true }).click();
  await page.locator("#draw-status").getByText("Drawing", { exact: true }).waitFor();
  return page;
}

test("a training that waits for a GPU that is then refused begins on the CPU", async () => {
  const refuses = `
    addEventListener("message", (event) => {
      const { type, id, device } = event.data ?? {};
      if (type !== "open" || device !== "webgpu") return;
      event.stopImmediatePropagation();
      globalThis.refuse = () => postMessage({ type: "failed", id, error: { name: "DeviceError", message: "no GPU is to be had" } });
    });`;
  const page = await open(refuses + NAMED_GPU);
  await page.locator("#pictures img").first().waitFor();
  await set(page, tiny);
  await train(page);
  const worker = page.workers()[0] ?? (await page.waitForEvent("worker"));
  await worker.evaluate(async () => {
    while (!globalThis.refuse) await new Promise((resolve) => setTimeout(resolve, 10));
    globalThis.refuse();
  });
  await finished(page);
  await told(page, "The GPU failed: no GPU is to be had. The page goes on on the CPU.");
  assert.ok(await onCpu(page));
  await page.context().close();
});

test("pictures that a GPU does not draw to the end are drawn on the CPU", async () => {
  const page = await drawing();
  await lose(page);
  await told(page, "The GPU failed: the GPU was lost. The pictures are drawn on the CPU.");
  await page.locator("#drawn img").nth(3).waitFor();
  assert.ok(await onCpu(page));
  assert.match(await page.locator("#draw-status").textContent(), /^Drew 4/);
  await page.context().close();
});

test("a training and a drawing that lose the same GPU both go on", async () => {
  const page = await drawing();
  await goOnTo(page, 400);
  await lose(page);
  await told(page, "The training goes on from step");
  await finished(page);
  assert.match(await page.locator("#why").textContent(), /all its 400 steps/);
  await page.context().close();
});

test("the time that a run shows is that of its steps, without those that a lost GPU takes back", async () => {
  // each look of a worker at the clock is 20 s after the one before
  const clock = 'if (!("document" in globalThis)) { let seconds = 0; performance.now = () => 1000 * (seconds += 20); }';
  const page = await open(clock + NAMED_GPU);
  await ready(page);
  await page.locator("#pictures img").first().waitFor();
  await set(page, { ...tiny, max_train_steps: 1000, save_steps: 2000, sample_frequency: 0 });
  await train(page);
  await reached(page, 3);
  await lose(page);
  await told(page, "The training starts again on the CPU.");
  await finished(page);
  const time = () => figure(page, "Time").textContent();
  const shown = await time();
  await showAgain(page);
  assert.equal(await time(), shown);
  await page.context().close();
});
