// A stored run goes on with the model that it began with, and with no other.

import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, test } from "node:test";

import { copyModel } from "../../web/public-files.mjs";
import { finished, reached, ready, set, site, storeModel, train } from "./page.js";

const it = site();
const tiny = { train_batch_size: 1, eval_batch_size: 1, save_steps: 2, window: 50, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" };
const told = (page, text) => page.locator("#offer-text").getByText(text).waitFor();
const goOn = (page) => page.getByRole("button", { name: /Go on from step \d+/ });

/** A model of the same sizes, of which one weight is another. */
let other;

beforeEach(() => {
  other = join(it.folder, "other");
  cpSync(it.model, other, { recursive: true });
  const weights = join(other, "unet/diffusion_pytorch_model.safetensors");
  const bytes = readFileSync(weights);
  bytes[bytes.length - 2] ^= 1;
  writeFileSync(weights, bytes);
  serve("other", other, "other-sd");
});

/** Puts a model at the address `/NAME/`. */
function serve(name, model, called) {
  const folder = join(it.folder, `served-${name}`);
  copyModel(model, folder, called);
  it.server.folders[`/${name}/`] = folder;
}

/** Trains with the model at this address until something is stored. */
async function begin(model, max_train_steps = 400) {
  const page = await it.open();
  await page.goto(`${it.url}?model=${model}`);
  await ready(page);
  await set(page, { ...tiny, max_train_steps });
  await train(page);
  return page;
}

test("with another model of the same sizes a run does not go on, and its own is on offer", async () => {
  const page = await begin("tiny/");
  await reached(page, 4);
  await page.goto(`${it.url}?model=/other/`);
  await told(page, "To go on, take its model, `tiny-sd`.");
  assert.ok(await goOn(page).isHidden());
  assert.ok(await page.getByRole("button", { name: "Discard" }).isVisible());
  await page.getByRole("button", { name: "Take its model" }).click();
  const from = Number((await goOn(page).textContent()).match(/step (\d+)/)[1]);
  assert.doesNotMatch(await page.locator("#offer-text").textContent(), /model/);
  await goOn(page).click();
  await reached(page, from + 2);
  await page.context().close();
});

test("a run does not go on with what its model's address has become", async () => {
  serve("changing", it.model, "tiny-sd");
  const page = await begin("/changing/");
  await reached(page, 4);
  serve("changing", other, "tiny-sd");
  await page.reload();
  await told(page, "To go on, it would need `tiny-sd` as this site had it then: it has another now.");
  assert.ok(await goOn(page).isHidden());
  assert.ok(await page.getByRole("button", { name: "Take its model" }).isHidden());
  await page.context().close();
});

test("what was learned is shown with another model, but not drawn or trained on by it", async () => {
  const page = await begin("tiny/", 4);
  await finished(page);
  await page.goto(`${it.url}?model=/other/`);
  await told(page, "To draw with it, take its model, `tiny-sd`.");
  await page.getByRole("button", { name: "Show it" }).click();
  await finished(page);
  const [more, draw] = [page.locator("#more"), page.locator("#draw")];
  await page.waitForFunction(() => document.querySelector("#more").hidden || !document.querySelector("#draw").hidden);
  assert.ok(await draw.isHidden());
  assert.ok(await more.isHidden());
  await page.context().close();
});

test("a run that an earlier version stored goes on, and the page says what it does not know", async () => {
  const page = await begin("tiny/");
  await reached(page, 4);
  await storeModel(page, undefined);
  await page.reload();
  await told(page, "not which model learned it: `tiny-sd` must be that one.");
  const from = Number((await goOn(page).textContent()).match(/step (\d+)/)[1]);
  await goOn(page).click();
  await reached(page, from + 2);
  // from then on it is known
  await page.goto(`${it.url}?model=/other/`);
  await told(page, "To go on, take its model, `tiny-sd`.");
  await page.context().close();
});
