// A GPU that goes away in the middle of a run does not end it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { finished, onePicture, reached, ready, set, site, train } from "./page.js";
import { KEEP_DEVICES, openWithPrefix } from "./worker_prefix.js";

const it = site({ gpu: true });

test("when the GPU is lost, the training goes on from the last checkpoint on the CPU", async () => {
  const page = await openWithPrefix(it, KEEP_DEVICES);
  await ready(page);
  await onePicture(page);
  const options = { max_train_steps: 40, train_batch_size: 1, eval_batch_size: 1, save_steps: 1, initializer_token: "a", num_inference_steps: 1, validation_prompt: "a {}" };
  await set(page, options);
  // the first steps on the CPU, because SwiftShader takes minutes for one
  await train(page);
  await reached(page, 2);
  await page.reload();
  await page.locator("#device input[value=webgpu]").check();
  await ready(page);
  await page.getByRole("button", { name: /Go on from step \d+/ }).click();
  await page.locator("#status").getByText("Looking at the pictures").waitFor();
  for (const worker of page.workers()) {
    await worker.evaluate(() => globalThis.devices?.forEach((device) => device.destroy()));
  }
  await page.locator("#notice-text").getByText(/The GPU failed.* goes on from step \d+ on the CPU/).waitFor();
  await finished(page);
  assert.match(await page.locator("#why").textContent(), /all its 40 steps/);
  assert.equal(await page.locator("#figures dd").first().textContent(), "40 / 40");
  assert.ok(await page.locator("#device input[value=cpu]").isChecked());
});
