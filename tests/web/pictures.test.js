// The visitor's own pictures: read before they are learned, and counted for those who do not see them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { finished, onePicture, ready, set, site, train } from "./page.js";
import { blackPng } from "./png.js";
import { limitMemory, openWithPrefix } from "./worker_prefix.js";

const it = site();
const tiny = { max_train_steps: 6, train_batch_size: 1, eval_batch_size: 1, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" };
const status = (page) => page.locator("#form-status");

/** A page on the small model. */
async function open() {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  return page;
}

for (const comes of [true, false]) {
  test(`a training waits for a picture that a phone has to fetch, and ${comes ? "learns it" : "does not begin where it cannot be read"}`, async () => {
    const page = await open();
    await onePicture(page);
    await set(page, tiny);
    await page.evaluate((comes) => {
      const { arrayBuffer } = Blob.prototype;
      const fetched = new Promise((resolve) => (globalThis.letIn = resolve));
      Blob.prototype.arrayBuffer = async function () {
        await fetched;
        if (!comes) throw new DOMException("no connection", "NotReadableError");
        return arrayBuffer.call(this);
      };
    }, comes);
    await page.locator("#files").setInputFiles({ name: "late.jpg", mimeType: "image/jpeg", buffer: Buffer.from("no picture") });
    await train(page);
    await status(page).getByText("Reading the pictures").waitFor();
    assert.ok(await page.locator("#training").isHidden());
    await page.evaluate(() => globalThis.letIn());
    if (comes) {
      await finished(page);
      assert.match(await page.locator("#notice-text").textContent(), /^Learning from 1 of 2 pictures\..*late\.jpg/);
    } else {
      await page.locator("#notice-text").getByText("`late.jpg` cannot be read: what is kept online must be saved on this device first.").waitFor();
      await page.waitForFunction(() => document.querySelector("#form-status").textContent === "");
      assert.ok(await page.locator("#training").isHidden());
      assert.ok(await page.locator("#train").isEnabled());
    }
    await page.context().close();
  });
}

test("pictures for which memory is not enough are advised to be smaller", async () => {
  // 64 KiB each: enough to open the model, not for so many pixels
  const page = await openWithPrefix(it, limitMemory(500));
  await ready(page);
  await page.locator("#files").setInputFiles({ name: "large.png", mimeType: "image/png", buffer: Buffer.from(blackPng(5000)) });
  await status(page).getByText("1 picture to learn from").waitFor();
  await set(page, tiny);
  await train(page);
  await page.locator("#notice-text").getByText("and with pictures of fewer pixels.").waitFor();
  await page.context().close();
});

test("how many pictures there are is said when some are added or removed", async () => {
  const page = await open();
  const file = (name) => ({ name, mimeType: "image/png", buffer: Buffer.from(blackPng(64)) });
  await page.locator("#files").setInputFiles([file("one.png"), file("two.png")]);
  await status(page).getByText("2 pictures to learn from").waitFor();
  await page.getByRole("button", { name: "Remove one.png" }).press("Enter");
  assert.equal(await status(page).textContent(), "1 picture to learn from");
  await page.context().close();
});

test("of a style the pictures are drawn as of one, and prompts that the visitor has written stay", async () => {
  const page = await open();
  await onePicture(page);
  const prompts = page.locator("#option-validation_prompt");
  assert.match(await prompts.inputValue(), /^a photo of a \{\}\n/);
  await set(page, { learnable_property: "style" });
  assert.match(await prompts.inputValue(), /^a cat in the style of \{\}\n/);
  await set(page, { ...tiny, validation_prompt: "a house in the style of {}" });
  await page.getByRole("button", { name: "koala" }).click();
  await page.getByRole("button", { name: "koala", pressed: true }).waitFor();
  await onePicture(page);
  assert.equal(await prompts.inputValue(), "a house in the style of {}");
  await set(page, { initializer_token: "a" });
  await train(page);
  await finished(page);
  assert.equal(await page.locator("#prompt").inputValue(), "a house in the style of <my-thing>");
  await page.context().close();
});

test("a text that is dropped on a field or pasted there is the field's, also with a picture beside it", async () => {
  const page = await open();
  await onePicture(page);
  const taken = await page.evaluate(() => {
    const given = (target, type, picture) => {
      const data = new DataTransfer();
      data.setData("text/plain", "cat");
      if (picture) data.items.add(new File(["a picture"], "cell.png", { type: "image/png" }));
      const options = { bubbles: true, cancelable: true };
      const event = type === "paste" ? new ClipboardEvent(type, { ...options, clipboardData: data }) : new DragEvent(type, { ...options, dataTransfer: data });
      document.querySelector(target).dispatchEvent(event);
      return event.defaultPrevented;
    };
    return [
      given("#option-initializer_token", "dragover", false),
      given("#option-initializer_token", "drop", false),
      given("#option-initializer_token", "paste", true),
      // what no field takes must not lead the browser to another page
      given("main", "drop", false),
    ];
  });
  assert.deepEqual(taken, [false, false, false, true]);
  // a picture that is given now would be read after one that was given before
  await page.locator("#files").setInputFiles({ name: "last.png", mimeType: "image/png", buffer: Buffer.from(blackPng(64)) });
  await page.getByRole("img", { name: "last.png" }).waitFor();
  assert.equal(await page.locator("#pictures li").count(), 2);
  await page.context().close();
});
