// What can go wrong says what to do, and nothing of a run is lost by it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { downloaded, finished, onePicture, reached, ready, set, site, train, trained, training, UMBRELLA, visit } from "./page.js";
import { blackPng } from "./png.js";
import { limitMemory, openWithPrefix } from "./worker_prefix.js";

const it = site();
const tiny = { max_train_steps: 6, train_batch_size: 1, eval_batch_size: 1, save_steps: 2, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" };
const notice = (page) => page.locator("#notice-text");

/** Holds back the pictures of an example; what comes back lets them in, and waits until the page has them. */
async function held(page, example) {
  let answer;
  const answered = new Promise((resolve) => (answer = resolve));
  await page.route(`**/concepts/${example}/*`, async (route) => {
    await answered;
    await route.continue();
  });
  await page.evaluate(() => {
    globalThis.awaited = 0;
    const { fetch } = globalThis;
    const { arrayBuffer } = Response.prototype;
    globalThis.fetch = (...asked) => {
      globalThis.awaited++;
      return fetch(...asked);
    };
    Response.prototype.arrayBuffer = async function () {
      const bytes = await arrayBuffer.call(this);
      globalThis.awaited--;
      return bytes;
    };
  });
  return async () => {
    assert.ok(await page.evaluate(() => globalThis.awaited > 0));
    answer();
    await page.waitForFunction(() => globalThis.awaited === 0);
  };
}

test("without WebGPU the CPU is taken, and the page says why", async () => {
  const page = await it.open();
  await page.getByText("this browser offers none by WebGPU").waitFor();
  assert.ok(await page.locator("#device input[value=webgpu]").isDisabled());
  assert.ok(await page.locator("#device input[value=cpu]").isChecked());
});

test("a browser that is too old for the program is told so", async () => {
  const old = 'WebAssembly.compileStreaming = async () => { throw new WebAssembly.CompileError("wasm validation error: at offset 71"); };';
  const page = await openWithPrefix(it, old);
  await notice(page).getByText("This browser cannot run the program, which needs WebAssembly with SIMD: take a newer one.").waitFor();
  await page.context().close();
});

for (const [what, prefix, told] of [
  ["comes over http", 'Object.defineProperty(window, "isSecureContext", { value: false });', "must come over https"],
  ["is given no WebAssembly", "delete globalThis.WebAssembly;", "needs WebAssembly"],
]) {
  test(`a page that ${what} says so, and again when it is to train`, async () => {
    const context = await it.browser.newContext();
    await context.addInitScript(prefix);
    const page = await visit(context, it.url);
    await notice(page).getByText(told).waitFor();
    await page.locator("#pictures img").first().waitFor();
    await page.getByRole("button", { name: "Close" }).click();
    await train(page);
    await notice(page).getByText(told).waitFor();
    assert.ok(await page.locator("#start").isVisible());
    assert.equal(page.workers().length, 0);
    await context.close();
  });
}

test("a page whose program does not come says what it needs", async () => {
  const context = await it.browser.newContext({ serviceWorkers: "block" });
  const program = /index-[^/]*\.js$/;
  await context.route(program, (route) => route.abort());
  const page = await visit(context, it.url);
  await page.getByText("it has not started yet").waitFor();
  await context.unroute(program);
  await page.reload();
  await ready(page);
  assert.ok(await page.locator("#starting").isHidden());
  await context.close();
});

test("a wrong setting is refused where it stands, in the CLI's words", async () => {
  const page = await training(it, { ...tiny, window: 1 });
  await page.locator("#option-window-error").getByText("must be at least 2").waitFor();
  assert.equal(await page.locator("#option-window").getAttribute("aria-invalid"), "true");
  await set(page, { window: 50 });
  assert.equal(await page.locator("#option-window-error").textContent(), "");
  // no number at all is not taken for an empty field
  await page.locator("#option-threshold").fill("");
  await page.locator("#option-threshold").pressSequentially("1e");
  await train(page);
  await page.locator("#option-threshold-error").getByText("cannot be read").waitFor();
});

test("a training whose numbers overflow says what to lower, and the form is back", async () => {
  const page = await training(it, { ...tiny, learning_rate: "1e30" });
  await notice(page).getByText(/lower the learning rate/).waitFor();
  await page.getByRole("button", { name: "Save what it had learned" }).waitFor();
  assert.ok(await page.locator("#start").isVisible());
  assert.equal(await page.locator("#form-status").textContent(), "");
});

test("a bad picture among good ones is named, and the others are learned from", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  const picture = (i) => readFileSync(join(UMBRELLA, `${i}.png`));
  const file = (name, buffer) => ({ name, mimeType: "image/png", buffer });
  await page.locator("#files").setInputFiles([
    file("one.png", picture(0)),
    file("torn.png", picture(1).subarray(0, 400)),
    file("three.png", picture(2)),
    file("notes.png", Buffer.from("no picture at all")),
    file("five.png", picture(4)),
  ]);
  await page.locator("#pictures li").nth(4).waitFor();
  await set(page, tiny);
  await train(page);
  await finished(page);
  const said = await notice(page).textContent();
  assert.match(said, /3 of 5 pictures/);
  assert.match(said, /torn\.png/);
  assert.match(said, /`notes\.png` is not a PNG, JPEG or WebP picture/);
  // each keeps its mark as long as it is there
  await page.getByRole("button", { name: "Learn something else" }).click();
  assert.equal(await page.locator("#pictures .refused").count(), 2);
  await page.getByRole("button", { name: "Remove torn.png" }).click();
  assert.match(await page.locator("#pictures .refused").textContent(), /Left out: `notes\.png`/);
});

test("a video and an archive among the pictures are not read, and that is said at once", async () => {
  const page = await it.open();
  await page.locator("#pictures img").first().waitFor();
  await page.evaluate(() => {
    globalThis.filesRead = [];
    const { arrayBuffer } = Blob.prototype;
    Blob.prototype.arrayBuffer = function () {
      globalThis.filesRead.push(this.name);
      return arrayBuffer.call(this);
    };
  });
  await page.locator("#files").setInputFiles([
    { name: "clip.mp4", mimeType: "video/mp4", buffer: Buffer.from("a video") },
    { name: "one.png", mimeType: "image/png", buffer: Buffer.from(blackPng(64)) },
    { name: "all.zip", mimeType: "application/zip", buffer: Buffer.from("PK") },
  ]);
  await notice(page).getByText("Only pictures are taken, and not `clip.mp4`, `all.zip`.").waitFor();
  await page.getByRole("img", { name: "one.png" }).waitFor();
  assert.equal(await page.locator("#pictures li").count(), 1);
  assert.deepEqual(await page.evaluate(() => globalThis.filesRead), ["one.png"]);
});

test("a training waits for the example that was taken last, and learns no other if that does not come", async () => {
  const page = await it.open({ serviceWorkers: "block" });
  await ready(page);
  await page.locator("#pictures img").first().waitFor();
  await set(page, { ...tiny, max_train_steps: 1, num_inference_steps: 1 });
  for (const [example, comes] of [["koala", false], ["blue-car", true]]) {
    let answer;
    const answered = new Promise((resolve) => (answer = resolve));
    await page.route(`**/concepts/${example}/*`, async (route) => {
      await answered;
      await (comes ? route.continue() : route.abort());
    });
    await page.getByRole("button", { name: example.replace("-", " ") }).click();
    await train(page);
    await page.locator("#form-status").getByText("Getting the pictures of the example").waitFor();
    assert.ok(await page.locator("#training").isHidden());
    answer();
    if (comes) continue;
    await notice(page).getByText("The pictures of the koala did not arrive").waitFor();
    await page.waitForFunction(() => document.querySelector("#form-status").textContent === "");
    assert.ok(await page.locator("#training").isHidden());
  }
  await finished(page);
  assert.match(await page.locator("#training-title").textContent(), /^Learning <blue-car>$/);
  await page.context().close();
});

test("a training that waits for its example does not begin when the visitor has turned to a result", async () => {
  const page = await it.open({ serviceWorkers: "block" });
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await page.locator("#pictures img").first().waitFor();
  await set(page, tiny);
  await train(page);
  await finished(page);
  await page.getByRole("button", { name: "Learn something else" }).click();
  const letIn = await held(page, "koala");
  await page.getByRole("button", { name: "koala" }).click();
  await train(page);
  await page.locator("#form-status").getByText("Getting the pictures of the example").waitFor();
  await page.getByRole("button", { name: "Show it" }).click();
  await finished(page);
  await letIn();
  assert.equal(await page.locator("#form-status").textContent(), "");
  assert.ok(await page.locator("#result").isVisible());
  assert.ok(await page.locator("#train").isEnabled());
  await page.context().close();
});

test("an example that comes after the visitor added more pictures does not take their place", async () => {
  const page = await it.open({ serviceWorkers: "block" });
  await page.locator("#pictures img").first().waitFor();
  await onePicture(page);
  const letIn = await held(page, "koala");
  await page.getByRole("button", { name: "koala" }).click();
  await page.locator("#files").setInputFiles({ name: "mine.png", mimeType: "image/png", buffer: Buffer.from(blackPng(64)) });
  await page.getByRole("img", { name: "mine.png" }).waitFor();
  await letIn();
  assert.equal(await page.locator("#pictures li").count(), 2);
  await page.context().close();
});

test("of a cut-out it is said that the colours that its file hides are learned", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await page.locator("#files").setInputFiles([
    { name: "whole.png", mimeType: "image/png", buffer: Buffer.from(blackPng(64)) },
    { name: "cut-out.png", mimeType: "image/png", buffer: Buffer.from(blackPng(64, 4)) },
  ]);
  await page.locator("#pictures li").nth(1).waitFor();
  await set(page, tiny);
  await train(page);
  await finished(page);
  assert.match(await notice(page).textContent(), /^1 picture is transparent in parts/);
});

test("a prompt without the word is refused, and can be mended", async () => {
  // a name in which a replacement would read signs of its own
  const page = await trained(it, { ...tiny, max_train_steps: 2, placeholder_token: "<ca$$h>" });
  const button = page.getByRole("button", { name: "Draw", exact: true });
  await page.locator("#prompt").fill("a house");
  await button.click();
  await page.locator("#draw-status").getByText("does not contain").waitFor();
  await page.locator("#prompt").fill("a {}");
  await button.click();
  await page.locator("#drawn img").nth(3).waitFor();
  assert.equal(await page.locator("#drawn img").first().getAttribute("alt"), "a <ca$$h>");
});

test("a model file that did not arrive whole can be asked for again", async () => {
  const weights = "unet/diffusion_pytorch_model.safetensors";
  it.server.cut.set(`tiny/${weights}`, 1000);
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await notice(page).getByText("did not arrive whole").waitFor();
  it.server.cut.clear();
  await page.getByRole("button", { name: "Try again" }).click();
  await ready(page);
});

test("a file of the page that is gone from the host is told with what helps", async () => {
  // what is not kept must come again
  const full = 'Cache.prototype.put = async () => { throw new DOMException("full", "QuotaExceededError"); };';
  const page = await openWithPrefix(it, full);
  await ready(page);
  await page.locator("#pictures img").first().waitFor();
  it.server.gone.add(".wasm");
  const [worker] = page.workers();
  const closed = worker.waitForEvent("close");
  await worker.evaluate(CRASH);
  await closed;
  await train(page);
  await notice(page).getByText(/\.wasm` did not arrive \(status 404\): reload the page, of which there may be a newer version\./).waitFor();
  it.server.gone.clear();
  await page.context().close();
});

test("full storage is said, and the training goes on", async () => {
  const page = await it.open();
  await ready(page);
  const session = await page.context().newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: it.server.origin, quotaSize: 1 });
  await page.goto(`${it.url}?model=tiny/`);
  await notice(page).getByText("storage is full").waitFor();
  await ready(page);
  await set(page, tiny);
  await train(page);
  await notice(page).getByText("could not be resumed").waitFor();
  await finished(page);
  assert.ok((await downloaded(page, "learned_embeds.safetensors")).length > 0);
});

test("where memory is not enough, the page names what to turn, and can go on", async () => {
  // 64 KiB each: enough to open the model, not for a large share of an evaluation
  const page = await openWithPrefix(it, limitMemory(500));
  await ready(page);
  await set(page, { ...tiny, eval_batch_size: 256 });
  await train(page);
  await notice(page).getByText("train_batch_size").waitFor();
  await ready(page);
  await set(page, tiny);
  await train(page);
  await finished(page);
});

const CRASH = () => void setTimeout(() => { throw new Error("a crash"); });
const END = () => void setTimeout(() => self.close());
for (const [what, happens, told] of [["crashes", CRASH, "a crash"], ["is gone without an error", END, "ended without saying why"]]) {
  test(`a worker that ${what} leaves the run to go on with`, async () => {
    const page = await training(it, { ...tiny, max_train_steps: 400 });
    await reached(page, 4);
    const worker = page.workers().find((each) => each.url().includes("worker-"));
    await worker.evaluate(happens);
    await notice(page).getByText(told).waitFor();
    const goOn = page.getByRole("button", { name: /Go on from step \d+/ });
    const from = Number((await goOn.textContent()).match(/step (\d+)/)[1]);
    await goOn.click();
    await reached(page, from + 2);
  });
}

test("a crash of a run that could not be stored leaves what it had learned to be saved", async () => {
  const page = await it.open();
  await ready(page);
  const session = await page.context().newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: it.server.origin, quotaSize: 1 });
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await set(page, { ...tiny, method: "dreambooth-lora", max_train_steps: 400 });
  await train(page);
  await reached(page, 4);
  // the model is not stored either, and does not come again: that is told in place of the crash
  it.server.cut.set("tiny/unet/diffusion_pytorch_model.safetensors", 1000);
  const [worker] = page.workers();
  await worker.evaluate(CRASH);
  await notice(page).getByText("did not arrive whole").waitFor();
  it.server.cut.clear();
  await page.evaluate(() => {
    globalThis.files = [];
    const { click } = HTMLAnchorElement.prototype;
    HTMLAnchorElement.prototype.click = function () {
      globalThis.files.push(this.download);
      click.call(this);
    };
  });
  const learned = await downloaded(page, "Save what it had learned");
  assert.ok(learned.includes(await page.locator("#option-placeholder_token").inputValue()));
  assert.deepEqual(await page.evaluate(() => globalThis.files), ["learned_embeds.safetensors", "pytorch_lora_weights.safetensors"]);
});

test("while a run is started, neither device nor model can be changed under it", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await page.locator("#pictures img").first().waitFor();
  await set(page, tiny);
  const waiting = await page.evaluate(() => {
    document.querySelector("#train").click();
    // in the same moment, so that the run cannot be further
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["no model"], "other.safetensors"));
    document.querySelector("main").dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
    const controls = document.querySelectorAll("#device input, #load-model, #site-model");
    return [...controls].map((control) => control.matches(":disabled"));
  });
  assert.deepEqual(waiting, [true, true, true, true]);
  await finished(page);
  await page.getByRole("button", { name: "Learn something else" }).click();
  for (const control of ["#device input[value=cpu]", "#load-model"]) assert.ok(await page.locator(control).isEnabled());
});
