// A browser that lends no storage, because site data are blocked or it has none, still trains.

import assert from "node:assert/strict";
import { test } from "node:test";

import { downloaded, finished, goOnTo, offersNothing, set, settled, site, train } from "./page.js";
import { openWithPrefix } from "./worker_prefix.js";

const it = site();
const tiny = { max_train_steps: 4, train_batch_size: 2, eval_batch_size: 2, save_steps: 2, window: 50, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" };

const throws = (method) => `
  ${method} = () => {
    throw new DOMException("blocked", "SecurityError");
  };`;
const METHODS = ["CacheStorage.prototype.open", "IDBFactory.prototype.open", "LockManager.prototype.request"];
const ALL = METHODS.map(throws).join("");
const REFUSALS = {
  ...Object.fromEntries(METHODS.map((method) => [`${method} throws`, throws(method)])),
  "all of it throws": ALL,
  "all of it is missing": `
    for (const name of ["caches", "indexedDB"]) Object.defineProperty(globalThis, name, { value: undefined });
    Object.defineProperty(navigator, "locks", { value: undefined });`,
};

for (const [what, refusal] of Object.entries(REFUSALS)) {
  test(`where ${what}, the page says that nothing is kept, learns, goes on and draws`, async () => {
    const page = await openWithPrefix(it, refusal, "?model=tiny/", { everywhere: true });
    await page.locator("#notice-text").getByText("This browser lets the page keep nothing").waitFor();
    await set(page, tiny);
    await train(page);
    await finished(page);
    await goOnTo(page, 8);
    await finished(page);
    assert.ok((await downloaded(page, "learned_embeds.safetensors")).length > 0);
    await page.locator("#draw-count").fill("2");
    await page.getByRole("button", { name: "Draw", exact: true }).click();
    await page.locator("#drawn img").nth(1).waitFor();
    assert.ok(await page.locator("#notice").isHidden());
    assert.deepEqual(page.problems, []);
    await page.reload();
    await offersNothing(page);
    await page.context().close();
  });
}

test("where the browser cannot read any more what it kept of the model, the page fetches it again", async () => {
  const broken = ["match", "keys"].map((method) => `
    Cache.prototype.${method} = async () => {
      throw new DOMException("Unexpected internal error", "UnknownError");
    };`);
  const page = await openWithPrefix(it, broken.join(""));
  await page.locator("#notice-text").getByText("The browser's storage is full or broken").waitFor();
  await set(page, tiny);
  await train(page);
  await finished(page);
  await page.context().close();
});

test("where the model is not kept, it is shown how much of it has come each time that it comes", async () => {
  const page = await openWithPrefix(it, ALL, "?model=tiny/", { everywhere: true });
  await settled(page);
  await page.evaluate(() => {
    const load = document.querySelector("#load");
    new MutationObserver(() => (globalThis.shown ||= !load.hidden)).observe(load, { attributes: true });
  });
  const [worker] = page.workers();
  const gone = worker.waitForEvent("close");
  await worker.evaluate(() => void setTimeout(() => { throw new Error("a crash"); }));
  await gone;
  await set(page, tiny);
  await train(page);
  await finished(page);
  assert.ok(await page.evaluate(() => globalThis.shown));
  assert.ok(await page.locator("#load").isHidden());
  await page.context().close();
});

test("a run that is kept nowhere is not left without a question, until it is saved", async () => {
  const page = await openWithPrefix(it, ALL, "?model=tiny/", { everywhere: true });
  await settled(page);
  await set(page, tiny);
  await train(page);
  await finished(page);
  const again = () => page.getByRole("link", { name: "start again" }).click();
  const question = page.waitForEvent("dialog", { timeout: 10_000 });
  const clicked = again();
  const dialog = await question;
  assert.equal(dialog.type(), "beforeunload");
  await dialog.dismiss();
  await clicked;
  assert.ok(await page.locator("#result").isVisible());

  await downloaded(page, "learned_embeds.safetensors");
  const asked = [];
  page.on("dialog", (dialog) => {
    asked.push(dialog.type());
    void dialog.accept();
  });
  await again();
  await page.locator("#start").waitFor();
  assert.deepEqual(asked, []);
  await page.context().close();
});

test("a LoRA that is kept nowhere is not left without a question either when its embedding alone is saved", async () => {
  const page = await openWithPrefix(it, ALL, "?model=tiny/", { everywhere: true });
  await settled(page);
  await set(page, { ...tiny, method: "dreambooth-lora" });
  await train(page);
  await finished(page);
  const asks = () => page.evaluate(() => !dispatchEvent(new Event("beforeunload", { cancelable: true })));
  await downloaded(page, "learned_embeds.safetensors");
  await downloaded(page, "metrics.jsonl");
  assert.ok(await asks());
  await downloaded(page, "pytorch_lora_weights.safetensors");
  assert.ok(!(await asks()));
  await page.context().close();
});

test("what is kept nowhere can still be saved when what the visitor does next fails", async () => {
  const page = await openWithPrefix(it, ALL, "?model=tiny/", { everywhere: true });
  await settled(page);
  await set(page, tiny);
  await train(page);
  await finished(page);
  it.server.cut.set("tiny/unet/diffusion_pytorch_model.safetensors", 1000);
  const [worker] = page.workers();
  const gone = worker.waitForEvent("close");
  await worker.evaluate(() => void setTimeout(() => { throw new Error("a crash"); }));
  await gone;
  await page.getByRole("button", { name: "Go on to 8 steps" }).click();
  await page.locator("#notice-text").getByText("did not arrive whole").waitFor();
  it.server.cut.clear();
  assert.ok((await downloaded(page, "Save what it had learned")).length > 0);
  await page.context().close();
});

test("what is kept nowhere can still be saved when the visitor turns to something else, and is not left without a question, until it is", async () => {
  const page = await openWithPrefix(it, ALL, "?model=tiny/", { everywhere: true });
  await settled(page);
  await set(page, tiny);
  const save = page.getByRole("button", { name: "Save what it had learned" });
  const asks = () => page.evaluate(() => !dispatchEvent(new Event("beforeunload", { cancelable: true })));
  for (const saved of [false, true]) {
    await train(page);
    await finished(page);
    if (saved) await downloaded(page, "learned_embeds.safetensors");
    await page.getByRole("button", { name: "Learn something else" }).click();
    await page.locator("#start").waitFor();
    assert.equal(await save.isVisible(), !saved);
    assert.equal(await asks(), !saved);
    if (!saved) assert.ok((await downloaded(page, "Save what it had learned")).length > 0);
    assert.ok(!(await asks()));
  }
  await page.context().close();
});
