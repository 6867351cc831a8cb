// A tab that is closed midway loses nothing.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  changeStored, discard, downloaded, figure, finished, goOnTo, offersNothing, onePicture, PATIENCE, reached, ready, set, settled, showAgain, site, storedModel, train,
  trained, training, visit,
} from "./page.js";
import { KEEP_STORAGE, openWithPrefix } from "./worker_prefix.js";

const it = site();
const tiny = { max_train_steps: 12, train_batch_size: 1, eval_batch_size: 1, save_steps: 4, window: 50, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" };

test("a closed page goes on where it was, and ends with the bytes of an unbroken run", async () => {
  const first = await trained(it, tiny);
  const whole = await downloaded(first, "learned_embeds.safetensors");
  await first.context().close();

  const second = await training(it, tiny);
  await reached(second, 6);
  await second.close();

  const third = await visit(second.context(), second.url());
  // the second click of a double click starts nothing
  await third.getByRole("button", { name: /Go on from step \d+/ }).dblclick();
  await finished(third);
  assert.match(await third.locator("#why").textContent(), /all its 12 steps/);
  assert.deepEqual(await downloaded(third, "learned_embeds.safetensors"), whole);
  assert.equal((await downloaded(third, "metrics.jsonl")).toString().trim().split("\n").length, 12);
  assert.equal(await third.locator("#before img").count(), 1);

  // the result stays for the next visit, until it is discarded
  await showAgain(third);
  await third.reload();
  await discard(third);
  await offersNothing(third);
});

test("a run can be paused, resumed and stopped", async () => {
  const page = await training(it, { ...tiny, max_train_steps: 2000 });
  await reached(page, 2);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused").waitFor();
  await page.getByRole("button", { name: "Go on" }).click();
  const at = await page.locator("#figures dd").first().textContent();
  await reached(page, Number.parseInt(at) + 2);
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await finished(page);
  assert.match(await page.locator("#why").textContent(), /You stopped it after \d+ steps?/);
  const made = Number(/after (\d+) steps/.exec(await page.locator("#why").textContent())[1]);
  await page.getByRole("button", { name: "Go on learning" }).click();
  await reached(page, made + 2);
});

test("a run that is stopped before it learns ends after its first step, and the page says so then and later", async () => {
  // pictures that take longer than the click
  const page = await training(it, { ...tiny, num_inference_steps: 500 });
  await page.locator("#status").getByText("Drawing pictures").waitFor();
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  assert.match(await page.locator("#status").textContent(), /^Stopping after the next step/);
  await finished(page);
  assert.match(await page.locator("#why").textContent(), /^You stopped it after 1 step\./);
  await page.reload();
  await page.locator("#offer-text").getByText(/^You stopped the last run, of <.*>\.$/).waitFor();
});

test("a stop while the last pictures are drawn promises no other step", async () => {
  // pictures that take longer than the click
  const page = await training(it, { ...tiny, max_train_steps: 1, num_inference_steps: 500 });
  await reached(page, 1);
  await page.locator("#status").getByText("Drawing pictures").waitFor();
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  assert.equal(await page.locator("#status").textContent(), "Stopping when these pictures are drawn");
  await finished(page);
  assert.match(await page.locator("#why").textContent(), /^It made its one step/);
  await page.context().close();
});

test("a run that is being stopped shows how far its last pictures are", async () => {
  // pictures that take longer than to look at them
  const page = await training(it, { ...tiny, max_train_steps: 20_000, threshold: 0, sample_frequency: 0, num_inference_steps: 500 });
  await reached(page, 2);
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await page.locator("#status").getByText("Drawing pictures to compare with").waitFor();
  assert.ok(await page.locator("#training-bar").isVisible());
  await finished(page);
  await page.context().close();
});

test("a run whose bounds were left to the model is shown with them later", async () => {
  const page = await training(it, { ...tiny, max_train_steps: "", threshold: "" });
  await reached(page, 2);
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await finished(page);
  const steps = () => page.locator("#figures dd").first().textContent();
  const shown = await steps();
  assert.match(shown, /^\d+ \/ \d{3,}$/);
  await showAgain(page);
  assert.equal(await steps(), shown);
});

test("a run that learned nothing is not called learned", async () => {
  const page = await trained(it, { ...tiny, max_train_steps: 60, learning_rate: "1e-30", window: 3 });
  assert.match(await page.locator("#result-title").textContent(), /^Learned nothing of </);
  assert.match(await page.locator("#why").textContent(), /does not change at all/);
  await page.reload();
  await page.locator("#offer-text").getByText(/^The last run learned nothing of </).waitFor();
});

test("a run whose loss did not fall, or whose pictures came no closer, is not called learned", async () => {
  const page = await trained(it, tiny);
  const [title, why] = [page.locator("#result-title"), page.locator("#why")];
  // too short for any figures
  assert.match(await title.textContent(), /^<.*>, as far as it was learned$/);
  assert.match(await why.textContent(), /More steps let the rule decide\./);
  const fell = { text: "0.5 at first, 0.4 in the last 50 evaluations", goes_on: false, fell: true };
  const stop = { reason: "dvar", step: 11, ratio: 0.1, threshold: 0.2, window: 50 };
  const good = { stop, fall: fell, clip_i_before: 0.5, clip_i: 0.8 };
  for (const [changes, offered, called, said] of [
    [good, /^The last run learned <.*>\.$/, /^Learned </, /varies less than the threshold allows\./],
    [{ fall: { ...fell, fell: false } }, /came to its end\.$/, /as far as it was learned$/, /The loss on the fixed batch: 0\.5/],
    [{ clip_i: 0.4 }, /came to its end\.$/, /as far as it was learned$/, /less like yours/],
    [{ clip_i_before: null, clip_i: null }, /^The last run learned <.*>\.$/, /^Learned </, /varies less/],
  ]) {
    await changeStored(page, "finished", { ...good, ...changes });
    await page.reload();
    await page.locator("#offer-text").getByText(offered).waitFor();
    await page.getByRole("button", { name: "Show it" }).click();
    await finished(page);
    assert.match(await title.textContent(), called);
    assert.match(await why.textContent(), said);
  }
});

test("a result that an earlier version of the page stored is shown", async () => {
  const page = await trained(it, tiny);
  await changeStored(page, "finished", { words: undefined, fall: undefined });
  await showAgain(page);
  await page.getByRole("button", { name: "Go on to 24 steps" }).waitFor();
  assert.equal(await page.locator("#after img").count(), 1);
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test("what ended a run whose threshold never stops it is not said to be slower than the rule", async () => {
  const page = await trained(it, { ...tiny, threshold: 0 });
  assert.match(await page.locator("#why").textContent(), /^It made all its 12 steps\. \(/);
});

test("a run that made all its steps goes on beyond them", async () => {
  const page = await trained(it, tiny);
  await goOnTo(page, 24);
  await finished(page);
  assert.match(await page.locator("#why").textContent(), /all its 24 steps/);
  const records = (await downloaded(page, "metrics.jsonl")).toString().trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(records.map(({ step }) => step), Array.from({ length: 24 }, (_, step) => step));
});

test("a run whose page is closed before the first save can begin again, with its pictures and settings", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await onePicture(page);
  // pictures that take longer than the reload
  await set(page, { ...tiny, placeholder_token: "<mine>", num_inference_steps: 500 });
  const begin = async () => {
    await train(page);
    await page.locator("#status").getByText("Drawing pictures").waitFor();
    await page.reload();
  };
  await begin();
  await page.getByRole("button", { name: "Begin it again" }).click();
  await finished(page);
  assert.match(await page.locator("#result-title").textContent(), /<mine>/);
  assert.match(await page.locator("#why").textContent(), /all its 12 steps/);
  assert.deepEqual(page.problems, []);

  await page.getByRole("button", { name: "Learn something else" }).click();
  await set(page, { ...tiny, num_inference_steps: 500 });
  await begin();
  await discard(page);
  await offersNothing(page);
  await page.context().close();
});

test("the time of a run goes on from where it was, and is shown later", async () => {
  const page = await training(it, { ...tiny, max_train_steps: 2000, threshold: 0 });
  await reached(page, 6);
  await page.reload();
  await settled(page);
  await changeStored(page, "checkpoint", { seconds: 3600 });
  await page.reload();
  await page.getByRole("button", { name: /Go on from step \d+/ }).click();
  const time = () => figure(page, "Time").textContent();
  await page.locator("#status").getByText("Learning", { exact: true }).waitFor();
  assert.match(await time(), /^60 min/);
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await finished(page);
  const shown = await time();
  assert.match(shown, /^6\d min/);
  await showAgain(page);
  assert.equal(await time(), shown);
  await page.context().close();
});

const LOST = {
  closes: () => globalThis.databases[0].close(),
  empties: () =>
    new Promise((resolve) => {
      const [database] = globalThis.databases;
      const transaction = database.transaction("run", "readwrite");
      transaction.objectStore("run").clear();
      transaction.oncomplete = () => resolve(database.close());
    }),
};
for (const [what, lose] of Object.entries(LOST)) {
  test(`where the browser ${what} the storage under a training, what the next save stores can go on`, async () => {
    const page = await openWithPrefix(it, KEEP_STORAGE);
    await ready(page);
    await set(page, { ...tiny, max_train_steps: 20_000, threshold: 0 });
    await train(page);
    await reached(page, 6);
    const [worker] = page.workers();
    await worker.evaluate(lose);
    const at = Number.parseInt(await page.locator("#figures dd").first().textContent());
    await reached(page, at + 10);
    assert.ok(await page.locator("#notice").isHidden());
    await page.reload();
    const goOn = page.getByRole("button", { name: /Go on from step \d+/ });
    const from = Number((await goOn.textContent()).match(/step (\d+)/)[1]);
    assert.ok(from >= at, `from ${from}, storage lost at ${at}`);
    await goOn.click();
    await reached(page, from + 2);
    await page.context().close();
  });
}

test("buttons that waited when the page was reloaded, as Firefox leaves them, can be used", async () => {
  const context = await it.browser.newContext({ serviceWorkers: "block" });
  await context.route(({ pathname }) => pathname === "/a/host/", async (route) => {
    const response = await route.fetch();
    const body = (await response.text()).replaceAll(/<(button|input) /g, "<$1 disabled ");
    await route.fulfill({ response, body });
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await visit(context, `${it.url}?model=tiny/`);
  await ready(page);
  await page.locator("#pictures img").first().waitFor();
  const disabled = await page.locator(":disabled").evaluateAll((all) => all.map(({ id, value }) => id || value));
  assert.deepEqual(disabled, ["webgpu"]);
  await set(page, tiny);
  await train(page);
  await finished(page);
  await page.getByRole("button", { name: "Draw", exact: true }).click();
  await page.locator("#drawn img").first().waitFor();
  await context.close();
});

test("while a run goes on or starts again, the visitor cannot be somewhere else when it begins", async () => {
  const page = await trained(it, tiny);
  const again = page.locator("#again-button");
  assert.ok(await again.isEnabled());
  const waiting = await page.evaluate(() => {
    document.querySelector("#more button").click();
    // in the same moment, so that the run cannot be further
    return document.querySelector("#again-button").disabled;
  });
  assert.ok(waiting);
  await page.locator("#result").waitFor({ state: "hidden" });
  await finished(page);
  assert.ok(await again.isEnabled());
  await page.context().close();
});

test("a tab discards the run that it offers, and not another's that was stored meanwhile", async () => {
  const page = await trained(it, tiny);
  const other = await visit(page.context(), page.url());
  await other.getByRole("button", { name: "Discard" }).waitFor();
  await goOnTo(page, 24);
  await finished(page);
  await discard(other);
  await discard(other);
  await offersNothing(other);
});

test("a tab goes on with what is stored, and not from where another tab was when it looked", async () => {
  const page = await training(it, { ...tiny, max_train_steps: 20_000, threshold: 0 });
  await reached(page, 5);
  const other = await visit(page.context(), page.url());
  const goOn = other.getByRole("button", { name: /Go on from step \d+/ });
  await goOn.waitFor();
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await finished(page);
  await goOn.click();
  await other.getByText("Another tab of this page has changed what is stored.").waitFor();
  await other.locator("#offer-text").getByText(/^You stopped the last run/).waitFor();
  await other.getByRole("button", { name: "Show it" }).click();
  await finished(other);
  await page.context().close();
});

test("a result whose place in the storage another tab has taken is not left without a question", async () => {
  const page = await trained(it, tiny);
  const comesBack = () => page.evaluate(() => void document.dispatchEvent(new Event("visibilitychange")));
  await comesBack();
  await storedModel(page);
  assert.ok(await page.evaluate(() => dispatchEvent(new Event("beforeunload", { cancelable: true }))));
  const other = await visit(page.context(), page.url());
  await settled(other);
  await set(other, { ...tiny, seed: 1 });
  await train(other);
  await finished(other);
  await comesBack();
  await page.waitForFunction(() => !dispatchEvent(new Event("beforeunload", { cancelable: true })));
  await page.getByRole("button", { name: "Learn something else" }).click();
  await page.getByRole("button", { name: "Save what it had learned" }).waitFor();
  await page.context().close();
});

test("a result that a tab still offers, and that another tab has replaced, is not left without a question", async () => {
  const page = await trained(it, tiny);
  const other = await visit(page.context(), page.url());
  const show = other.getByRole("button", { name: "Show it" });
  await show.waitFor();
  await page.getByRole("button", { name: "Learn something else" }).click();
  await set(page, { ...tiny, seed: 1 });
  await train(page);
  await finished(page);
  await show.click();
  await finished(other);
  await other.waitForFunction(() => !dispatchEvent(new Event("beforeunload", { cancelable: true })));
  await page.context().close();
});

test("a second tab leaves the run of the first alone", async () => {
  const page = await training(it, { ...tiny, max_train_steps: 20_000, threshold: 0 });
  await reached(page, 5);
  const other = await visit(page.context(), page.url());
  await other.getByRole("button", { name: /Go on from step \d+/ }).click();
  await other.getByText(/Another tab of this page is learning/).waitFor();
  assert.ok(await other.locator("#start").isVisible());
  // its own run is not kept, but whole
  await ready(other);
  await set(other, tiny);
  await train(other);
  await finished(other);
  assert.match(await other.locator("#notice-text").textContent(), /This one is lost if the tab is closed/);
  assert.equal(await other.locator("#before img").count(), 1);
  // this run is not the one that the first tab could go on with
  await goOnTo(other, 24);
  await finished(other);
  assert.match(await other.locator("#why").textContent(), /all its 24 steps/);
  assert.match(await other.locator("#notice-text").textContent(), /This one is lost if the tab is closed/);
  const at = await page.locator("#figures dd").first().textContent();
  await reached(page, Number.parseInt(at) + 2);
});
