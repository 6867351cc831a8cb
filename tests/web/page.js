// Opens the page as a visitor would, and waits for what a visitor would wait for.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";

import { copyModel } from "../../web/public-files.mjs";
import { launch } from "./browser.js";
import { serve } from "./server.js";

export const ROOT = join(import.meta.dirname, "../..");
const DIST = join(ROOT, "web/dist");
/** A very small model with random weights. */
const TINY = join(ROOT, "tests/fixtures/golden/models/tiny-sd");

/** Training is slow where other programs compute too, and slower by far on SwiftShader. */
export const PATIENCE = Number(process.env.PATIENCE ?? 600_000);

/** A browser and a server for the tests of one file. */
export function site(options) {
  const site = {
    async open(context = {}) {
      const made = await site.browser.newContext(context);
      made.setDefaultTimeout(PATIENCE);
      return visit(made, site.url);
    },
  };
  before(async () => {
    site.folder = mkdtempSync(join(tmpdir(), "dvar-web-"));
    site.model = join(site.folder, "model");
    site.tiny = join(site.folder, "served");
    cpSync(TINY, site.model, { recursive: true });
    // pictures as small as they can be: SwiftShader takes minutes for more
    writeFileSync(join(site.model, "dvar.toml"), "resolution = 32\nnum_inference_steps = 2\nguidance_scale = 1.0\n");
    copyModel(site.model, site.tiny, "tiny-sd");
    site.server = await serve({ "/a/host/tiny/": site.tiny, "/a/host/": DIST });
    site.url = `${site.server.origin}/a/host/`;
    site.browser = await launch(options);
  });
  after(async () => {
    await site.browser?.close();
    await site.server?.close();
    if (site.folder) rmSync(site.folder, { recursive: true });
  });
  return site;
}

/** Serves the page at a second path too, with this change of its service worker. */
export function serveCopy({ folder, server }, path, change) {
  const copy = mkdtempSync(join(folder, "copy-"));
  cpSync(DIST, copy, { recursive: true });
  const worker = join(copy, "service_worker.js");
  writeFileSync(worker, change(readFileSync(worker, "utf8")));
  server.folders[path] = copy;
}

/** A new tab on the page, whose console and errors are kept. */
export async function visit(context, url) {
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") page.problems.push(message.text());
  });
  await page.goto(url);
  return page;
}

/** Waits until the model is open. */
export async function ready(page) {
  await page.waitForFunction(() => document.body.dataset.model === "open");
}

/** Sets options behind "Advanced". */
export async function set(page, options) {
  await page.locator("#advanced").evaluate((details) => (details.open = true));
  for (const [option, value] of Object.entries(options)) {
    const field = page.locator(`#option-${option}`);
    if ((await field.evaluate((control) => control.localName)) === "select") await field.selectOption(value);
    else await field.fill(String(value));
  }
}

/** Takes one picture of the visitor's own: enough where a GPU is played by the CPU. */
export async function onePicture(page) {
  await page.locator("#files").setInputFiles(join(UMBRELLA, "0.png"));
  await page.waitForFunction(() => document.querySelectorAll("#pictures li").length === 1);
}

export async function train(page) {
  await page.getByRole("button", { name: "Train", exact: true }).click();
}

/** Waits until the run has made `steps` steps. */
export async function reached(page, steps) {
  await page.waitForFunction((least) => {
    const text = document.querySelector("#figures dd")?.textContent ?? "";
    return Number.parseInt(text) >= least;
  }, steps);
}

/** A figure beside the chart. */
export const figure = (page, label) => page.locator("#figures div").filter({ hasText: label }).locator("dd");

/** Waits until the first screen shows all that it knows: the model's values come last. */
export async function settled(page) {
  await page.waitForFunction(() => document.querySelector("#option-window").value !== "");
}

/** The model that the stored run began with. */
export function storedModel(page) {
  return page.evaluate(
    () =>
      new Promise((resolve) => {
        const request = indexedDB.open(`dvar ${new URL(".", location.href).pathname}`, 1);
        request.onsuccess = () => {
          const read = request.result.transaction("run").objectStore("run").get("setup");
          read.onsuccess = () => resolve(read.result.model);
        };
      }),
  );
}

/** Changes a part of the stored run. */
export function changeStored(page, part, changes) {
  return page.evaluate(
    ([part, changes]) =>
      new Promise((resolve) => {
        const request = indexedDB.open(`dvar ${new URL(".", location.href).pathname}`, 1);
        request.onsuccess = () => {
          const store = request.result.transaction("run", "readwrite").objectStore("run");
          const read = store.get(part);
          read.onsuccess = () => (store.put({ ...read.result, ...changes }, part).onsuccess = () => resolve());
        };
      }),
    [part, changes],
  );
}

/** Changes the stored run as if it had begun with this model. */
export const storeModel = (page, model) => changeStored(page, "setup", { model });

export async function finished(page) {
  await page.locator("#result").waitFor({ state: "visible" });
}

/** A page that is asked to train the small model with these options. */
export async function training(site, options) {
  const page = await site.open();
  await page.goto(`${site.url}?model=tiny/`);
  await ready(page);
  await set(page, options);
  await train(page);
  return page;
}

/** A page on which such a training has ended. */
export async function trained(site, options) {
  const page = await training(site, options);
  await finished(page);
  return page;
}

/** Goes on with the run that has ended, up to `steps` steps, and waits until its result is gone. */
export async function goOnTo(page, steps) {
  await page.getByRole("button", { name: `Go on to ${steps} steps` }).click();
  await page.locator("#result").waitFor({ state: "hidden" });
}

/** Comes back to the page later, and shows the run that has ended. */
export async function showAgain(page) {
  await page.reload();
  await page.getByRole("button", { name: "Show it" }).click();
  await finished(page);
}

/** Discards the run that is on offer, and comes back to the page later. */
export async function discard(page) {
  await page.getByRole("button", { name: "Discard" }).click();
  await page.locator("#offer").waitFor({ state: "hidden" });
  await page.reload();
}

/** Makes sure that no run is on offer. */
export async function offersNothing(page) {
  await settled(page);
  assert.ok(await page.locator("#offer").isHidden());
}

/** Clicks a download and gives its bytes. */
export async function downloaded(page, name) {
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name, exact: true }).click(),
  ]);
  return readFileSync(await download.path());
}

/** The concept that is taken at the start. */
export const UMBRELLA = join(ROOT, "examples/concepts/blue-umbrella");
