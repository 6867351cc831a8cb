// Training on WebGPU, which SwiftShader plays; the model is the smallest there is.

import assert from "node:assert/strict";
import { test } from "node:test";

import { downloaded, finished, onePicture, reached, ready, set, site, train } from "./page.js";

const it = site({ gpu: true });
const tiny = { train_batch_size: 1, eval_batch_size: 1, save_steps: 1, initializer_token: "a", num_inference_steps: 1, validation_prompt: "a {}" };

test("a run begun on the CPU goes on on WebGPU with the CPU's losses", async (t) => {
  const page = await begin({ max_train_steps: 60 });
  await finished(page);
  const records = await downloaded(page, "metrics.jsonl");
  const cpu = records.toString().trim().split("\n").map((line) => JSON.parse(line));
  await page.context().close();

  // SwiftShader would take minutes for the pictures before the run: the CPU draws them
  const half = await begin({ max_train_steps: 1000 });
  await reached(half, 2);
  await half.getByRole("button", { name: "Pause" }).click();
  await half.reload();
  await half.locator("#device input[value=webgpu]").check();
  await ready(half);
  const goOn = half.getByRole("button", { name: /Go on from step \d+/ });
  const from = Number((await goOn.textContent()).match(/step (\d+)/)[1]);
  await goOn.click();
  await reached(half, from + 2);
  const [step, loss, evaluated] = await half.evaluate(() =>
    [...document.querySelectorAll("#figures dd")].slice(0, 3).map((figure) => Number.parseFloat(figure.textContent)),
  );
  const expected = cpu[step - 1];
  t.diagnostic(`after ${step - from} steps on WebGPU: loss ${loss} (CPU ${expected.loss}), deterministic ${evaluated} (CPU ${expected.eval_loss})`);
  assert.ok(Math.abs(loss - expected.loss) < 1e-3 && Math.abs(evaluated - expected.eval_loss) < 1e-3);
  assert.deepEqual(half.problems, []);
});

async function begin(options) {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await onePicture(page);
  await set(page, { ...tiny, ...options });
  await train(page);
  return page;
}
