// Training on WebGPU, which SwiftShader plays; the model is the smallest there is.

import assert from "node:assert/strict";
import { test } from "node:test";

import { onePicture, reached, ready, set, site, train } from "./page.js";

const it = site({ gpu: true });
const tiny = { max_train_steps: 9, train_batch_size: 1, eval_batch_size: 1, initializer_token: "a", num_inference_steps: 1, validation_prompt: "a {}" };

test("some steps on WebGPU give the losses of the CPU", async (t) => {
  const losses = {};
  for (const kind of ["webgpu", "cpu"]) {
    const page = await it.open();
    await page.goto(`${it.url}?model=tiny/`);
    await page.locator(`#device input[value=${kind}]`).check();
    await ready(page);
    await onePicture(page);
    await set(page, tiny);
    await train(page);
    // the pictures after the run would take as long again
    await reached(page, 2);
    losses[kind] = await page.evaluate(() => Number(document.querySelectorAll("#figures dd")[2].textContent));
    assert.deepEqual(page.problems, []);
    await page.context().close();
  }
  t.diagnostic(`deterministic loss after 2 steps: ${JSON.stringify(losses)}`);
  assert.ok(Math.abs(losses.webgpu - losses.cpu) < 1e-3);
});
