// A GPU that goes away in the middle of a run does not end it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { finished, onePicture, reached, ready, set, site, train } from "./page.js";
import { KEEP_DEVICES, openWithPrefix } from "./worker_prefix.js";

const it = site({ gpu: true });

test("when the GPU is lost, the training goes on from the last checkpoint on the CPU", async () => {
  const page = await openWithPrefix(it, KEEP_DEVICES);
  await page.locator("#device input[value=webgpu]").check();
  await ready(page);
  await onePicture(page);
  const options = { max_train_steps: 3, train_batch_size: 1, eval_batch_size: 1, save_steps: 1, initializer_token: "a", num_inference_steps: 1, validation_prompt: "a {}" };
  await set(page, options);
  await train(page);
  await reached(page, 1);
  for (const worker of page.workers()) {
    await worker.evaluate(() => globalThis.devices?.forEach((device) => device.destroy()));
  }
  await page.locator("#notice-text").getByText(/goes on from step [12] on the CPU/).waitFor();
  await finished(page);
  assert.match(await page.locator("#why").textContent(), /all its 3 steps/);
  assert.equal((await page.locator("#figures dd").first().textContent()).trim(), "3 / 3");
});
