// A drawing and a training show how far they are, each on its own bar, and how fast.

import assert from "node:assert/strict";
import { test } from "node:test";

import { figure, finished, goOnTo, ready, set, site, train, trained } from "./page.js";
import { NAMED_GPU, openWithPrefix } from "./worker_prefix.js";

const it = site();
const tiny = { max_train_steps: 12, train_batch_size: 1, eval_batch_size: 1, window: 50, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" };

/** Keeps from the worker what it is asked to draw, and to train after that, before a test calls its `letIn` of either. */
const HOLD = `
  {
    const held = [];
    globalThis.letIn = async (type) => {
      let found;
      while (!(found = held.find(({ data }) => data.type === type))) await new Promise((resolve) => setTimeout(resolve, 10));
      self.onmessage(found);
    };
    addEventListener("message", (event) => {
      const { type, id } = event.data ?? {};
      const waits = type === "draw" || (type === "train" && held.length > 0);
      // what is asked of the workers that compute for this one has no number
      if (id === undefined || !waits) return;
      event.stopImmediatePropagation();
      held.push(event);
    });
  }`;

/** A page that has trained and is asked to draw, of which its worker does not hear before `letIn`. */
async function drawing() {
  const page = await openWithPrefix(it, HOLD);
  await ready(page);
  await set(page, tiny);
  await train(page);
  await finished(page);
  await page.getByRole("button", { name: "Draw", exact: true }).click();
  await page.locator("#draw-status").getByText("Drawing", { exact: true }).waitFor();
  return page;
}

// the first worker is the page's
const letIn = (page, type) => page.workers()[0].evaluate((type) => globalThis.letIn(type), type);

test("the bar of the first visit never goes back", async () => {
  const page = await it.open();
  await page.addInitScript(() => {
    globalThis.shown = [];
    addEventListener("DOMContentLoaded", () => {
      const bar = document.querySelector("#load-bar");
      new MutationObserver(() => globalThis.shown.push(bar.value)).observe(bar, { attributes: true });
    });
  });
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  const shown = await page.evaluate(() => globalThis.shown);
  assert.ok(shown.length > 2, `${shown}`);
  assert.deepEqual(shown, shown.toSorted((a, b) => a - b));
  assert.equal(shown.at(-1), 1);
  await page.context().close();
});

test("a device that takes long for a step makes a part of one a second, and not none", async () => {
  // each look at the clock is 20 s after the one before
  const page = await openWithPrefix(it, "let seconds = 0; performance.now = () => 1000 * (seconds += 20);");
  await ready(page);
  await set(page, tiny);
  await train(page);
  await finished(page);
  const speed = Number(await figure(page, "Steps a second").textContent());
  assert.ok(speed > 0 && speed < 0.1, `${speed} steps a second`);
});

test("how fast a model was is not said of another", async () => {
  const page = await trained(it, { max_train_steps: 12, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" });
  const note = page.locator("#device-note");
  await page.reload();
  await note.getByText(/steps a second here/).waitFor();
  await page.goto(it.url);
  await note.getByText(/^CPU/).waitFor();
  assert.doesNotMatch(await note.textContent(), /steps a second/);
  await page.context().close();
});

test("devices are measured to the end also where the rule would stop before", async () => {
  const page = await openWithPrefix(it, NAMED_GPU, "?model=tiny/", { everywhere: true });
  await ready(page);
  await page.locator("#pictures img").first().waitFor();
  await set(page, { window: 2, threshold: 0.99, initializer_token: "a" });
  await page.getByRole("button", { name: "Measure both" }).click();
  await page.locator("#device-note").getByText(/^A GPU, measured about/).waitFor();
  await page.context().close();
});

test("a drawing that is under way when a training begins moves its own bar", async () => {
  const page = await drawing();
  await goOnTo(page, 24);
  const bars = () => page.evaluate(() => ["draw", "training"].map((name) => document.querySelector(`#${name}-bar`).value));
  const before = await bars();
  await letIn(page, "draw");
  await page.waitForFunction(
    (before) => ["draw", "training"].some((name, i) => document.querySelector(`#${name}-bar`).value !== before[i]),
    before,
  );
  const [drawn, trained] = await bars();
  assert.notEqual(drawn, before[0]);
  assert.equal(trained, before[1]);
  await page.context().close();
});

test("where an earlier drawing goes on, it is said why nothing else can be drawn, until it has ended", async () => {
  const page = await drawing();
  await goOnTo(page, 24);
  await letIn(page, "train");
  await finished(page);
  const status = page.locator("#draw-status");
  assert.ok(await page.locator("#draw-button").isDisabled());
  assert.equal(await status.textContent(), "What was asked for before is still being drawn");
  await letIn(page, "draw");
  await page.waitForFunction(() => !document.querySelector("#draw-button").disabled);
  assert.equal(await status.textContent(), "");
  assert.equal(await page.locator("#drawn img").count(), 0);
  await page.context().close();
});

test("a drawing that the visitor leaves is ended, and another training does not wait for it", async () => {
  const page = await drawing();
  await page.getByRole("button", { name: "Learn something else" }).click();
  await page.waitForFunction(() => document.querySelector("#draw-status").textContent === "The drawing was ended.");
  await ready(page);
  await train(page);
  await finished(page);
  assert.equal(await page.locator("#draw-button").isEnabled(), true);
});
