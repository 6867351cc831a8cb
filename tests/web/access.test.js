// The page can be used by keyboard and read by screen readers, light and dark, narrow and wide.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

import { finished, reached, ready, set, site } from "./page.js";
import { blackPng } from "./png.js";
import { shoot } from "./screenshots.js";
import { HOLD_FILES, openWithPrefix } from "./worker_prefix.js";

const it = site();
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDE = { width: 1280, height: 860 };
const NARROW = { width: 360, height: 740 };

for (const [colorScheme, viewport] of [["light", WIDE], ["dark", WIDE], ["light", NARROW]]) {
  test(`${colorScheme}, ${viewport.width} px: by keyboard, and no serious findings`, async () => {
    const page = await it.open({ colorScheme, viewport, reducedMotion: "reduce" });
    await page.goto(`${it.url}?model=tiny/`);
    await ready(page);
    await page.locator("#pictures img").first().waitFor();
    if (viewport === NARROW) await shoot(page, "start-narrow");
    else if (colorScheme === "dark") await shoot(page, "start-dark");
    await set(page, { max_train_steps: 400, train_batch_size: 1, eval_batch_size: 1, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" });
    await check(page);

    // back from the last field by Tab alone, as far as the button
    await page.locator("#option-window").focus();
    await tabTo(page, "train", "Shift+Tab");
    await page.keyboard.press("Enter");
    await reached(page, 2);
    await check(page);
    assert.equal(await focused(page), "training-title");
    await tabTo(page, "stop", "Tab");
    await page.keyboard.press("Enter");
    await finished(page);
    await check(page);
    assert.equal(await focused(page), "result-title");
    await page.locator("#draw-button").press("Enter");
    await page.locator("#drawn img").nth(3).waitFor();
    assert.equal(await focused(page), "draw-button");
    await page.close();
  });
}

test("where the button that was pressed is gone, the heading has the focus", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  // pictures that take longer than the second press
  await set(page, { max_train_steps: 400, train_batch_size: 1, eval_batch_size: 1, save_steps: 2, initializer_token: "a", num_inference_steps: 500, validation_prompt: "a {}" });
  await page.locator("#train").press("Enter");
  await reached(page, 3);
  await page.locator("#stop").press("Enter");
  // without the wait that tells a second press from a double click
  await page.evaluate(() => {
    const { now } = Performance.prototype;
    performance.now = () => now.call(performance) + 2000;
  });
  await page.getByRole("button", { name: "End now" }).press("Enter");
  await page.locator("#start").waitFor();
  assert.equal(await focused(page), "title");
  await page.getByRole("button", { name: "Discard" }).press("Enter");
  await page.locator("#offer").waitFor({ state: "hidden" });
  assert.equal(await focused(page), "title");
  await page.context().close();
});

test("a notice is seen wherever the page is scrolled, and gives the focus back when it is closed", async () => {
  const page = await it.open({ viewport: NARROW });
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await page.locator("#pictures img").first().waitFor();
  await page.locator("#advanced").evaluate((details) => (details.open = true));
  await page.locator("#load-model").focus();
  await page.locator("#model-file").setInputFiles({ name: "a.gguf", mimeType: "application/octet-stream", buffer: Buffer.from("GGUF") });
  await page.locator("#notice-text").getByText("The page keeps to its own model").waitFor();
  const { top, bottom, scrolled } = await page.locator("#notice").evaluate((notice) => {
    const { top, bottom } = notice.getBoundingClientRect();
    return { top, bottom, scrolled: scrollY };
  });
  // so far that the place of the notice is out of sight
  assert.ok(scrolled > 400, `${scrolled} px`);
  assert.ok(top >= 0 && bottom <= NARROW.height, `from ${top} to ${bottom} px`);
  await page.getByRole("button", { name: "Close" }).press("Enter");
  await page.locator("#notice").waitFor({ state: "hidden" });
  assert.equal(await focused(page), "title");
  await page.context().close();
});

test("a notice of many files leaves room for the page, and can be closed", async () => {
  const page = await it.open({ viewport: NARROW });
  await page.locator("#pictures img").first().waitFor();
  const clips = Array.from({ length: 60 }, (_, i) => ({ name: `a clip of the summer ${i}.mp4`, mimeType: "video/mp4", buffer: Buffer.from("") }));
  await page.locator("#files").setInputFiles(clips);
  const notice = page.locator("#notice");
  await notice.getByText("Only pictures are taken").waitFor();
  await page.locator("#load-embedding").scrollIntoViewIfNeeded();
  const bottom = await notice.evaluate((notice) => notice.getBoundingClientRect().bottom);
  assert.ok(bottom < 0.6 * NARROW.height, `${bottom} px`);
  await check(page);
  await page.getByRole("button", { name: "Close" }).click();
  await notice.waitFor({ state: "hidden" });
  await page.context().close();
});

test("what the page says while its buttons wait is spoken, because nothing around it is said to be busy", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await page.locator("#pictures img").first().waitFor();
  await set(page, { window: 1, initializer_token: "a" });
  await page.evaluate(() => {
    globalThis.said = [];
    const status = document.querySelector("#form-status");
    const hear = () => globalThis.said.push({ text: status.textContent, spoken: !status.closest("[aria-busy=true]") });
    new MutationObserver(hear).observe(status, { childList: true });
  });
  await page.locator("#train").press("Enter");
  await page.locator("#form-status").getByText("One setting needs another value.").waitFor();
  const said = await page.evaluate(() => globalThis.said);
  assert.equal(said[0].text, "Getting ready");
  assert.deepEqual(said.filter(({ spoken }) => !spoken), []);
  await page.context().close();
});

test("the new word is not translated, and each number of a drawing and each file is explained", async () => {
  const page = await it.open();
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  await set(page, { max_train_steps: 2, train_batch_size: 1, eval_batch_size: 1, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" });
  await page.locator("#train").press("Enter");
  await finished(page);
  for (const place of ["#training-title", "#result-title", "#prompt-note"]) {
    assert.equal(await page.locator(`${place} .token`).getAttribute("translate"), "no", place);
  }
  const numbers = page.locator("#draw-controls input");
  const told = await numbers.evaluateAll((all) => all.map((input) => document.getElementById(input.getAttribute("aria-describedby"))?.textContent));
  assert.equal(told.length, 4);
  assert.ok(told.every((help) => help), `${told}`);
  const about = await page.locator("#downloads + p").textContent();
  for (const name of await page.locator("#downloads button").allTextContents()) assert.ok(about.includes(name), name);
  await page.reload();
  await page.locator("#offer").getByText("The next training takes its place.").waitFor();
  await check(page);
  await page.context().close();
});

test("how much of the model has come is seen on a phone wherever the page is scrolled", async () => {
  const page = await openWithPrefix(it, HOLD_FILES, "?model=tiny/", { viewport: NARROW });
  await page.locator("#pictures img").first().waitFor();
  await page.locator("#load").waitFor();
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  const { top, bottom, scrolled } = await page.locator("#load-bar").evaluate((bar) => {
    const { top, bottom } = bar.getBoundingClientRect();
    return { top, bottom, scrolled: scrollY };
  });
  // so far that the place of the bar in a wide window is out of sight
  assert.ok(scrolled > 400, `${scrolled} px`);
  assert.ok(top >= 0 && bottom <= NARROW.height, `from ${top} to ${bottom} px`);
  await check(page);
  await page.context().close();
});

test("names without an end are broken before they are wider than a phone", async () => {
  const page = await it.open({ viewport: NARROW });
  await page.goto(`${it.url}?model=tiny/`);
  await ready(page);
  const long = "screenshot_20260131_235959_of_something_that_has_no_end";
  const file = (name, bytes) => ({ name, mimeType: "image/png", buffer: Buffer.from(bytes) });
  await page.locator("#files").setInputFiles([file("one.png", blackPng(64)), file(`${long}.png`, "no picture")]);
  await page.locator("#pictures li").nth(1).waitFor();
  await set(page, { placeholder_token: `<${long}>`, max_train_steps: 400, train_batch_size: 1, eval_batch_size: 1, initializer_token: "a", num_inference_steps: 2, validation_prompt: "a {}" });
  await page.locator("#train").press("Enter");
  await reached(page, 2);
  await page.locator("#notice-text").getByText(long).waitFor();
  await check(page);
  await page.locator("#stop").press("Enter");
  await finished(page);
  await check(page);
  await page.getByRole("button", { name: "Learn something else" }).click();
  await page.locator("#pictures .refused").waitFor();
  await page.locator("#offer-text").getByText(long).waitFor();
  await check(page);
  await page.context().close();
});

test("in the system's own few colours it shows which example and which device are chosen", async () => {
  const page = await it.open({ forcedColors: "active", reducedMotion: "reduce" });
  await page.locator("#pictures img").first().waitFor();
  const colors = await page.evaluate(() => {
    const color = (selector) => getComputedStyle(document.querySelector(selector)).backgroundColor;
    return {
      page: color("html"),
      device: color("#device input:checked + span"),
      chosen: color("#concepts [aria-pressed=true]"),
      other: color("#concepts [aria-pressed=false]"),
    };
  });
  assert.notEqual(colors.chosen, colors.other);
  assert.notEqual(colors.device, colors.page);
  await page.context().close();
});

for (const colorScheme of ["light", "dark"]) {
  test(`${colorScheme}: the numbers of the chart, which axe does not see, stand out from the card`, async () => {
    const page = await it.open({ colorScheme });
    const contrasts = await page.evaluate(() => {
      const probe = document.createElement("span");
      document.body.append(probe);
      const luminance = (name) => {
        probe.style.color = `var(--${name})`;
        const shares = getComputedStyle(probe).color.match(/\d+/g).map((value) => value / 255);
        const [red, green, blue] = shares.map((share) => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
      };
      return ["muted", "evaluated", "ratio"].map((name) => {
        const both = [luminance(name), luminance("card")];
        return [name, Math.max(...both) / Math.min(...both)];
      });
    });
    assert.deepEqual(contrasts.filter(([, contrast]) => !(contrast >= 4.5)), []);
    await page.context().close();
  });
}

const focused = (page) => page.evaluate(() => document.activeElement.id);

async function tabTo(page, id, key) {
  for (let i = 0; i < 40; i++) {
    if ((await focused(page)) === id) return;
    await page.keyboard.press(key);
  }
  assert.fail(`${key} never reaches #${id}`);
}

/** No finding of axe that is serious, and nothing wider than the window. */
async function check(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run());
  const found = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(", ")}`);
  assert.deepEqual(found, []);
  // what is said in them is only spoken where they are there before
  const silent = await page.locator("section:not([hidden]) .status").evaluateAll((all) =>
    all.filter((status) => status.checkVisibility() === false && !status.closest(".ended")).map(({ id }) => id));
  assert.deepEqual(silent, []);
  const { scroll, client } = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    client: document.documentElement.clientWidth,
  }));
  assert.ok(scroll <= client, `${scroll} px in a window of ${client} px`);
}
