// Embeddings and LoRAs of other tools are drawn with.

import assert from "node:assert/strict";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { ready, ROOT, site } from "./page.js";
import { HOLD_FILES, openWithPrefix } from "./worker_prefix.js";

const it = site();
const MORE = process.env.DVAR_GOLDEN_MORE ?? join(ROOT, "tests/fixtures/golden-more");

/** A safetensors file of f32 tensors of these shapes, all values of which are this. */
function tensors(name, shapes, value = 0.125) {
  const header = {};
  let end = 0;
  for (const [tensor, shape] of Object.entries(shapes)) {
    const start = end;
    end += 4 * shape.reduce((product, side) => product * side, 1);
    header[tensor] = { dtype: "F32", shape, data_offsets: [start, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const values = Buffer.from(new Float32Array(end / 4).fill(value).buffer);
  return { name, mimeType: "application/octet-stream", buffer: Buffer.concat([length, json, values]) };
}

/** What the small model's part is made of. */
const config = (part) => JSON.parse(readFileSync(join(it.model, part, "config.json"), "utf8"));
/** What a tool such as sd-scripts leaves: the token is the file's name. */
const nameless = () => tensors("my-cat.safetensors", { emb_params: [2, config("text_encoder").hidden_size] });

/** Opens the page and chooses these files to draw with. */
async function choose(...files) {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await page.locator("#embedding-files").setInputFiles(files);
  return page;
}

/** The pixels of a picture that is drawn with what was chosen. */
async function drawn(page) {
  await page.locator("#draw").waitFor({ state: "visible" });
  assert.equal(await page.locator("#prompt").inputValue(), "a photo of a my-cat");
  await page.locator("#draw-count").fill("1");
  await page.getByRole("button", { name: "Draw", exact: true }).click();
  const image = page.locator("#drawn img");
  await image.waitFor();
  const pixels = await image.evaluate(async (image) => {
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL();
  });
  await page.context().close();
  return pixels;
}

test("an embedding that names no token is drawn by its file's name, and with a LoRA of kohya's otherwise", async () => {
  const plain = await drawn(await choose(nameless()));
  const width = config("unet").block_out_channels.at(-1);
  const layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_v";
  const lora = tensors("ink.safetensors", {
    [`${layer}.lora_down.weight`]: [1, width],
    [`${layer}.lora_up.weight`]: [width, 1],
    [`${layer}.alpha`]: [],
  }, 1);
  const changed = await drawn(await choose(nameless(), lora));
  assert.notEqual(changed, plain, "the LoRA changes the picture");
});

test("an embedding whose file's name no prompt can hold is drawn by another word", async () => {
  for (const name of ["cat.safetensors", "my cat (1).safetensors"]) {
    const page = await it.open();
    await ready(page);
    // as wide as the page's own model
    await page.locator("#embedding-files").setInputFiles(tensors(name, { emb_params: [1, 128] }));
    await page.locator("#draw").waitFor({ state: "visible" });
    assert.equal(await page.locator("#prompt").inputValue(), "a photo of a <my-thing>");
    await page.locator("#draw-count").fill("1");
    await page.locator("#draw-num_inference_steps").fill("1");
    await page.getByRole("button", { name: "Draw", exact: true }).click();
    await page.locator("#drawn img").waitFor();
    await page.context().close();
  }
});

test("while a file is read to draw with, no training can begin", async () => {
  const page = await openWithPrefix(it, HOLD_FILES);
  await page.locator("#pictures img").first().waitFor();
  await page.locator("#embedding-files").setInputFiles(nameless());
  const button = page.locator("#train");
  assert.ok(await button.isDisabled());
  const worker = page.workers()[0] ?? (await page.waitForEvent("worker"));
  await worker.evaluate(() => globalThis.letIn());
  await page.locator("#draw").waitFor({ state: "visible" });
  await page.getByRole("button", { name: "Learn something else" }).click();
  assert.ok(await button.isEnabled());
  assert.equal(await page.locator("#form-status").textContent(), "");
  await page.context().close();
});

test("a training that waits for its example does not begin while a file is read to draw with", async () => {
  const page = await openWithPrefix(it, HOLD_FILES);
  await page.locator("#pictures img").first().waitFor();
  let answer;
  const answered = new Promise((resolve) => (answer = resolve));
  await page.route("**/concepts/koala/*", async (route) => {
    await answered;
    await route.continue();
  });
  await page.getByRole("button", { name: "koala" }).click();
  await page.locator("#train").click();
  const status = page.locator("#form-status");
  await status.getByText("Getting the pictures of the example").waitFor();
  await page.locator("#embedding-files").setInputFiles(nameless());
  answer();
  await page.getByRole("button", { name: "koala", pressed: true }).waitFor();
  // what a training says when it begins
  assert.notEqual(await status.textContent(), "Getting ready");
  const worker = page.workers()[0] ?? (await page.waitForEvent("worker"));
  await worker.evaluate(() => globalThis.letIn());
  await page.locator("#draw").waitFor({ state: "visible" });
  assert.ok(await page.locator("#training").isHidden());
  await page.context().close();
});

test("of a pickle the token is the file's name too, and another model's embedding is refused at once", async () => {
  const page = await choose(join(MORE, "files/embeddings/kohya-2.pt"));
  await page.locator("#notice-text").getByText("kohya-2").waitFor();
  assert.ok(await page.locator("#draw").isHidden());
});

test("what another model learned is refused with what a page can do, and no flag of the command line", async () => {
  const page = await choose(tensors("wide.safetensors", { emb_params: [1, config("text_encoder").hidden_size + 8] }));
  const told = page.locator("#notice-text");
  await told.getByText("drop the checkpoint that it was trained with on the page first.").waitFor();
  assert.doesNotMatch(await told.textContent(), /--/);
  await page.context().close();
});

test("a file that a page has no room for is not read to draw with", async () => {
  const path = join(it.folder, "large.safetensors");
  writeFileSync(path, "");
  truncateSync(path, 2.1e9);
  const page = await choose(path);
  await page.locator("#notice-text").getByText("`large.safetensors` has 2.1 GB, for which a page has no room").waitFor();
  await page.context().close();
});

test("a model is not taken for an embedding", async () => {
  const page = await choose(tensors("model.safetensors", { "model.diffusion_model.a.weight": [1], "first_stage_model.a.weight": [1] }));
  await page.locator("#notice-text").getByText("a checkpoint of a whole model").waitFor();
});
