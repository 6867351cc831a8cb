// A checkpoint in one file is recognised from its first bytes, or refused in words.

import assert from "node:assert/strict";
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { finished, onePicture, reached, ready, ROOT, set, site, storedModel, storeModel, train } from "./page.js";
import { openWithPrefix } from "./worker_prefix.js";

const it = site();
const SINGLE = join(process.env.DVAR_GOLDEN_MORE ?? join(ROOT, "tests/fixtures/golden-more"), "files/single");
const tiny = { max_train_steps: 2, train_batch_size: 1, eval_batch_size: 1, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" };
const notice = (page) => page.locator("#notice-text");
const taken = (page) => page.locator("#model-name");

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), "dvar-single-"))));
after(() => rmSync(folder, { recursive: true }));

/** A safetensors file of f16 tensors, all zeros, of which the disk keeps the header alone. */
function sparse(name, shapes, dtype = "F16", bytes = 2, metadata = {}) {
  let end = 0;
  const entries = Object.entries(shapes).map(([tensor, shape]) => {
    const start = end;
    end += bytes * shape.reduce((product, side) => product * side, 1);
    return [tensor, { dtype, shape, data_offsets: [start, end] }];
  });
  const header = Buffer.from(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const path = join(folder, name);
  const file = openSync(path, "w");
  writeSync(file, Buffer.concat([length, header]));
  ftruncateSync(file, 8 + header.length + end);
  closeSync(file);
  return path;
}

/** A model of this kind, as far as one looks at names, with so many million numbers. */
const sd1 = (millions) => ({
  "cond_stage_model.transformer.text_model.final_layer_norm.bias": [768],
  "first_stage_model.quant_conv.weight": [8, 8, 1, 1],
  "model.diffusion_model.input_blocks.0.0.weight": [320, 4, 3, 3],
  ...Object.fromEntries(
    Array.from({ length: millions / 2 }, (_, i) => [`model.diffusion_model.middle_block.${i}.weight`, [2, 1000, 1000]]),
  ),
});

/** Drops a file of these bytes on the page. */
async function drop(page, name, bytes) {
  const data = await page.evaluateHandle(
    ([name, text]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
      return data;
    },
    [name, bytes.toString("base64")],
  );
  await page.dispatchEvent("main", "drop", { dataTransfer: data });
}

test("a dropped checkpoint is taken in place of the page's model, which can be taken again", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await onePicture(page);
  for (const file of ["sd1.safetensors", "sd1.ckpt"]) {
    await drop(page, file, readFileSync(join(SINGLE, file)));
    await taken(page).getByText(`${file} (Stable Diffusion 1.x)`).waitFor();
  }
  assert.equal(await page.locator("#pictures li").count(), 1);
  // its weights are read now, and are smaller than those of the published model
  await set(page, tiny);
  await train(page);
  await notice(page).getByText(/the weights in `sd1\.ckpt` do not fit .* not 49408 x 768/).waitFor();
  await page.getByRole("button", { name: "Take the page's own model" }).press("Enter");
  await ready(page);
  assert.equal(await page.evaluate(() => document.activeElement.id), "title");
  assert.ok(await taken(page).isHidden());
  await train(page);
  await finished(page);
});

test("one that is too large is refused before it is read", async () => {
  const count = `
    globalThis.bytesRead = 0;
    const { readAsArrayBuffer } = FileReaderSync.prototype;
    FileReaderSync.prototype.readAsArrayBuffer = function (blob) {
      globalThis.bytesRead += blob.size;
      return readAsArrayBuffer.call(this, blob);
    };`;
  const page = await openWithPrefix(it, count);
  await ready(page);
  const read = async () => {
    const worker = page.workers().find((each) => each.url().includes("worker-"));
    return worker.evaluate(() => globalThis.bytesRead);
  };
  for (const [name, millions, said] of [
    ["dreamshaper.safetensors", 1066, /is Stable Diffusion 1\.x and takes 4\.3 GB in f32, and on the CPU a page has 4\.3 GB/],
    ["everything.safetensors", 3500, /has 7\.0 GB, and a page can address no more than 4\.3 GB/],
  ]) {
    await page.locator("#model-file").setInputFiles(sparse(name, sd1(millions)));
    await notice(page).getByText(said).waitFor();
    await notice(page).getByText("The page keeps to its own model").waitFor();
    await ready(page);
    // the page's own model has been opened again by then
    assert.ok((await read()) < 5_000_000, `${await read()} bytes`);
  }
});

test("a checkpoint whose title tells of a few steps is taken, and that is said", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  const titled = sparse("bolts.safetensors", sd1(2), "F16", 2, { "modelspec.title": "My Lightning Bolts" });
  await page.locator("#model-file").setInputFiles(titled);
  await taken(page).getByText("bolts.safetensors (Stable Diffusion 1.x; by the title in its metadata").waitFor();
});

test("what is no model is called what it is", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  const gguf = join(folder, "model.gguf");
  writeFileSync(gguf, "GGUF\x03\0\0\0 and more");
  for (const [path, said] of [
    [sparse("learned_embeds.safetensors", { "<cat>": [1, 768] }), "it is a learned embedding and no model; give the model that it is for, or choose this file by “Draw with it”"],
    [sparse("lora.safetensors", { "lora_unet_mid_block.lora_up.weight": [4, 4] }), "it is a LoRA, which changes a model and is none; give the model itself, or choose this file by “Draw with it”"],
    [sparse("flux.safetensors", { "double_blocks.0.img_attn.qkv.weight": [4, 4, 1, 1] }, "F8_E4M3", 1), "it is a Flux model"],
    [gguf, "it is a GGUF file"],
  ]) {
    await page.locator("#model-file").setInputFiles(path);
    await notice(page).getByText(said).waitFor();
    await ready(page);
  }
});

test("a run goes on with the checkpoint that it began with, and no other", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await onePicture(page);
  const take = () => page.locator("#model-file").setInputFiles(join(SINGLE, "sd1.safetensors"));
  await take();
  await taken(page).getByText("sd1.safetensors").waitFor();
  await set(page, { ...tiny, max_train_steps: 400, save_steps: 2 });
  await train(page);
  await notice(page).getByText("do not fit").waitFor();
  const file = await storedModel(page);
  assert.equal(file.name, "sd1.safetensors");
  await page.getByRole("button", { name: "Take the page's own model" }).click();
  await ready(page);
  await train(page);
  await reached(page, 4);

  const goOn = page.getByRole("button", { name: /Go on from step \d+/ });
  // as if it had begun with the file: none of the published size is small enough to train here; an earlier
  // version of the page stored the name alone
  for (const model of [file, file.name]) {
    await storeModel(page, model);
    await page.reload();
    await page.locator("#offer-text").getByText("drop `sd1.safetensors` here").waitFor();
    assert.ok(await goOn.isHidden());
    await take();
    await goOn.waitFor();
    assert.doesNotMatch(await page.locator("#offer-text").textContent(), /To go on/);
  }
  await storeModel(page, { ...file, sum: "of another content" });
  await page.reload();
  await page.locator("#offer-text").getByText("drop `sd1.safetensors` here").waitFor();
  await take();
  await page.locator("#offer-text").getByText("drop the `sd1.safetensors` that it began with: this is another").waitFor();
  assert.ok(await goOn.isHidden());
});
