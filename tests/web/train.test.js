// The default model learns an example on the CPU until it stops by itself, and the CLI agrees.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { watchMainThread } from "./main_thread.js";
import { downloaded, finished, onePicture, reached, ready, set, site, train, UMBRELLA } from "./page.js";
import { shoot } from "./screenshots.js";

const it = site();
const folder = mkdtempSync(join(tmpdir(), "dvar-web-"));
const dvar = (...args) => execFileSync(process.env.DVAR, args, { encoding: "utf8" });
/** For the pictures in the documentation the model's own window, which takes minutes. */
const [WINDOW, PREVIEW] = process.env.SCREENSHOTS ? [30, 50] : [12, 10];

test("a concept is learned on the CPU until it stops by itself, and the CLI reads it", async (t) => {
  const page = await it.open({ viewport: { width: 1280, height: 860 } });
  await ready(page);
  await shoot(page, "start");
  await set(page, { window: WINDOW, sample_frequency: PREVIEW });
  const longest = await watchMainThread(it.browser, page);
  await train(page);
  await page.getByText(`After step ${PREVIEW}`).waitFor();
  await reached(page, WINDOW);
  await shoot(page, "training");
  await finished(page);
  const block = await longest();

  assert.match(await page.locator("#why").textContent(), /It stopped by itself after \d+ steps/);
  for (const grid of ["before", "after"]) {
    const images = page.locator(`#${grid} img`);
    assert.equal(await images.count(), 4);
    const widths = await images.evaluateAll((all) => all.map((image) => image.naturalWidth));
    assert.deepEqual(widths, [64, 64, 64, 64]);
  }
  const painted = await page.locator("#chart canvas").evaluateAll((all) =>
    all.map((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    }),
  );
  assert.ok(painted.length === 2 && painted.every((colors) => colors > 10), `colours: ${painted}`);

  const learned = await downloaded(page, "learned_embeds.safetensors");
  const file = join(folder, "learned_embeds.safetensors");
  writeFileSync(file, learned);
  assert.match(dvar("info", file), /<blue-umbrella>/);
  const records = lines(await downloaded(page, "metrics.jsonl"));
  assert.equal(records.length, Number((await page.locator("#why").textContent()).match(/after (\d+) steps/)[1]));

  const first = await page.evaluate(() => performance.getEntriesByName("click-to-first-step")[0].duration);
  const speed = await page.locator("#figures div").nth(4).locator("dd").textContent();
  t.diagnostic(`click to first step ${(first / 1000).toFixed(1)} s, ${speed} steps/s, longest main-thread block ${block.toFixed(0)} ms`);
  assert.ok(block < 50, `the main thread was blocked for ${block} ms`);

  await page.locator("#draw-count").fill("2");
  await page.locator("#prompt").fill("two {}");
  await page.getByRole("button", { name: "Draw", exact: true }).click();
  await page.locator("#drawn img").nth(1).waitFor();
  await shoot(page, "result");
  assert.deepEqual(page.problems, []);

  // the same run by the CLI
  const run = join(folder, "run");
  dvar(
    ...["train", "--train-data-dir", UMBRELLA, "--placeholder-token", "<blue-umbrella>"],
    ...["--initializer-token", "umbrella", "--window", String(WINDOW), "--num-samples", "1", "-o", run],
  );
  const native = lines(readFileSync(join(run, "metrics.jsonl")));
  assert.equal(records.length, native.length, "both stop at the same step");
  // the steps that have it are the same ones: the deterministic loss is there at every 4th
  const steps = (key, records) => records.flatMap((record, i) => (key in record ? [i] : []));
  const difference = (key) => {
    assert.deepEqual(steps(key, records), steps(key, native));
    return Math.max(...steps(key, native).map((i) => Math.abs(records[i][key] - native[i][key]) / Math.abs(native[i][key])));
  };
  t.diagnostic(`largest relative difference to the CLI: loss ${difference("loss")}, eval_loss ${difference("eval_loss")}`);
  assert.ok(difference("loss") < 1e-3 && difference("eval_loss") < 1e-4);

  // and its file in the page
  await page.getByRole("button", { name: "Learn something else" }).click();
  await page.locator("#embedding-files").setInputFiles(join(run, "learned_embeds.safetensors"));
  await page.locator("#draw").waitFor({ state: "visible" });
  assert.equal(await page.locator("#prompt").inputValue(), "a photo of a <blue-umbrella>");
  await page.locator("#draw-count").fill("1");
  await page.getByRole("button", { name: "Draw", exact: true }).click();
  await page.locator("#drawn img").waitFor();
});

test("without a word to start from the best one is found, and three others are on offer", async () => {
  const page = await it.open();
  await ready(page);
  await set(page, { max_train_steps: 1, num_inference_steps: 1, eval_batch_size: 1, train_batch_size: 1 });
  await onePicture(page);
  await train(page);
  await finished(page);
  assert.match(await page.locator("#why").textContent(), /It began from the word “umbrella”/);
  const others = page.getByRole("button", { name: /Start again from/ });
  assert.equal(await others.count(), 3);
  await page.locator("#more").getByText("A new start takes the place of this result: save it first.").waitFor();
  await page.getByRole("button", { name: "Go on to 2 steps" }).click();
  await page.locator("#result").waitFor({ state: "hidden" });
  await finished(page);
  // as many steps as were asked for, not as the other went on to
  await others.first().click();
  await page.locator("#result").waitFor({ state: "hidden" });
  await finished(page);
  assert.match(await page.locator("#why").textContent(), /^It made its one step before the rule/);
  assert.doesNotMatch(await page.locator("#why").textContent(), /It began from the word/);
  assert.equal(await others.count(), 0);
  assert.doesNotMatch(await page.locator("#more").textContent(), /save it first/);
});

test("what a high threshold stops is not said to have brought next to nothing", async () => {
  const page = await it.open();
  await ready(page);
  await page.locator("#pictures img").first().waitFor();
  await set(page, { window: 2, threshold: 0.99, num_inference_steps: 1, validation_prompt: "a {}" });
  await train(page);
  await finished(page);
  const why = await page.locator("#why").textContent();
  assert.match(why, /its last steps brought less than the threshold\..* It was still learning\./);
});

function lines(bytes) {
  return bytes.toString().trim().split("\n").map((line) => JSON.parse(line));
}
