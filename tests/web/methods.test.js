// What else than one vector can be trained, and ended by another rule.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, cpSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { copyModel } from "../../web/public-files.mjs";
import { downloaded, finished, onePicture, ready, set, site, train } from "./page.js";

const it = site();
const folder = mkdtempSync(join(tmpdir(), "dvar-web-"));
const options = { max_train_steps: 3, train_batch_size: 1, eval_batch_size: 1, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" };

const METHODS = {
  "dreambooth-lora": { file: "pytorch_lora_weights.safetensors", more: {} },
  "custom-diffusion": {
    file: "pytorch_custom_diffusion_weights.safetensors",
    more: { class_prompt: "a", num_class_images: 2 },
  },
};

for (const [method, { file, more }] of Object.entries(METHODS)) {
  test(`${method} leaves an adapter that the CLI reads, and draws with it`, async () => {
    const page = await it.open();
    await page.goto(`${it.url}?model=tiny/`);
    await ready(page);
    await onePicture(page);
    await set(page, { ...options, method, ...more });
    await train(page);
    await finished(page);
    const token = await page.locator("#option-placeholder_token").inputValue();
    const save = async (name) => {
      writeFileSync(join(folder, name), await downloaded(page, name));
      return join(folder, name);
    };
    const learned = ["--embedding", await save("learned_embeds.safetensors"), "--adapter", await save(file)];
    const drawing = ["--model", it.model, "--prompt", `a ${token}`, "--steps", "1", "-n", "1", "-o", join(folder, method)];
    execFileSync(process.env.DVAR, ["generate", ...learned, ...drawing], { stdio: "pipe" });
    await page.locator("#draw-count").fill("1");
    await page.getByRole("button", { name: "Draw", exact: true }).click();
    await page.locator("#drawn img").waitFor();
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
}

test("pictures of the kind, which are drawn first, are not called pictures to compare with", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await onePicture(page);
  await page.evaluate(() => {
    globalThis.said = [];
    const status = document.querySelector("#status");
    new MutationObserver(() => globalThis.said.push(status.textContent)).observe(status, { childList: true });
  });
  await set(page, { ...options, method: "custom-diffusion", ...METHODS["custom-diffusion"].more });
  await train(page);
  await finished(page);
  const drawn = (await page.evaluate(() => globalThis.said)).filter((text) => text.startsWith("Drawing"));
  const samples = "Drawing pictures to compare with";
  assert.deepEqual(drawn, ["Drawing pictures of the kind", samples, samples]);
  await page.context().close();
});

test("a method brings its own settings", async () => {
  const page = await it.open();
  await ready(page);
  const shown = (value) => page.waitForFunction((value) => document.querySelector("#option-learning_rate").value === value, value);
  await shown("0.005");
  await set(page, { method: "dreambooth-lora" });
  await shown("0.001");
  await set(page, { method: "textual-inversion" });
  await shown("0.005");
});

test("where the model says no rate, a method that trains weights has a lower one", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  const rates = { "textual-inversion": "0.005", "dreambooth-lora": "0.0005", "custom-diffusion": "0.00001" };
  for (const [method, rate] of Object.entries(rates)) {
    await set(page, { method });
    await page.waitForFunction((rate) => document.querySelector("#option-learning_rate").value === rate, rate);
  }
  await page.context().close();
});

test("a run is shown with what the model says for its method, where that was left to it", async () => {
  const [model, served] = ["model", "served"].map((name) => join(it.folder, `bounded-${name}`));
  cpSync(it.model, model, { recursive: true });
  appendFileSync(join(model, "dvar.toml"), "max_train_steps = 6\n[dreambooth-lora]\nmax_train_steps = 3\n");
  copyModel(model, served, "bounded-sd");
  it.server.folders["/bounded/"] = served;
  const page = await it.open();
  await page.goto(`${it.url}?model=/bounded/`);
  await ready(page);
  await onePicture(page);
  await set(page, { ...options, max_train_steps: "", method: "dreambooth-lora" });
  await train(page);
  await finished(page);
  const steps = page.locator("#figures dd").first();
  assert.equal(await steps.textContent(), "3 / 3");
  await page.reload();
  await page.getByRole("button", { name: "Show it" }).click();
  await finished(page);
  assert.equal(await steps.textContent(), "3 / 3");
  await page.context().close();
});
