// Several workers train and draw together what one would alone.

import assert from "node:assert/strict";
import { test } from "node:test";

import { downloaded, figure, finished, reached, ready, set, site, train } from "./page.js";
import { machine, openWithPrefix } from "./worker_prefix.js";

const it = site();
const options = { max_train_steps: 40, train_batch_size: 4, eval_batch_size: 5, window: 50, save_steps: 4, initializer_token: "a", num_inference_steps: 3, validation_prompt: "a {}\ntwo {}\none {}" };
/** What the trial of the first steps says, whatever else the machine does. */
const [ALL, ONE] = [3, 1 / 3];

test("two workers learn and draw the bytes of one, and the page says how many work", async () => {
  const alone = await learned(await begin(machine(1, ALL)));
  assert.equal(alone.workers, "1");

  const page = await begin(machine(2, ALL));
  await together(page, 2);
  assert.equal(page.workers().length, 2);
  const two = await learned(page);
  assert.equal(two.workers, "2");
  assert.deepEqual(two, { ...alone, workers: "2" });
});

test("a worker that dies is replaced, and the run ends with the same bytes", async () => {
  const alone = await learned(await begin(machine(1, ALL)));
  const page = await begin(machine(3, ALL));
  await together(page, 3);
  await reached(page, 5);
  const [helper] = await helpers(page);
  await helper.evaluate(() => self.close());
  await reached(page, 10);
  await together(page, 3);
  assert.deepEqual(await learned(page), { ...alone, workers: "3" });
});

test("where a trial finds that one worker is as fast, the others are let go", async () => {
  const page = await begin(machine(2, ONE), 300);
  const [helper] = await together(page, 2);
  await helper.waitForEvent("close");
  await working(page, 1);
  assert.equal((await helpers(page)).length, 0);
});

test("a run of two inputs for each step leaves all workers to the next run", async () => {
  const page = await begin(machine(3, ALL), 300, {}, { train_batch_size: 2 });
  await together(page, 2);
  await finished(page);
  await page.getByRole("button", { name: "Learn something else" }).click();
  await set(page, { train_batch_size: 4 });
  await train(page);
  await together(page, 3);
});

test("a phone works with one worker", async () => {
  const phone = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36";
  const page = await begin(machine(8, ALL), 40, { userAgent: phone, isMobile: true });
  await finished(page);
  await working(page, 1);
  assert.equal(page.workers().length, 1);
});

test("pictures that several workers draw are those of one", async () => {
  const drawn = [];
  for (const cores of [1, 3]) {
    const page = await begin(machine(cores, ALL), 1);
    await finished(page);
    await page.locator("#draw-count").fill("4");
    await page.getByRole("button", { name: "Draw", exact: true }).click();
    await page.locator("#drawn img").nth(3).waitFor();
    assert.equal((await helpers(page)).length, cores - 1);
    drawn.push(await pixels(page, "#drawn"));
  }
  assert.equal(drawn[0].length, 4);
  assert.deepEqual(drawn[1], drawn[0]);
});

async function begin(prefix, max_train_steps = options.max_train_steps, context = {}, more = {}) {
  const page = await openWithPrefix(it, prefix, "?model=tiny/", context);
  await ready(page);
  await set(page, { ...options, max_train_steps, ...more });
  await train(page);
  return page;
}

/** Lets the run wait until so many work: the model is so small that it would be over before. */
async function together(page, count) {
  await page.locator("#status").getByText("Learning", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await working(page, count);
  const all = await helpers(page);
  await page.getByRole("button", { name: "Go on" }).click();
  return all;
}

const workers = (page) => figure(page, "Workers");
/** Waits until the page says that so many work. */
const working = (page, count) => workers(page).getByText(String(count), { exact: true }).waitFor();

/** The workers beside the one that trains. */
async function helpers(page) {
  const all = await Promise.all(page.workers().map(async (worker) => [worker, await worker.evaluate(() => self.name)]));
  return all.filter(([, name]) => name.startsWith("dvar-helper-")).map(([worker]) => worker);
}

/** All that comes of a run. */
async function learned(page) {
  await finished(page);
  return {
    workers: await workers(page).textContent(),
    vectors: await downloaded(page, "learned_embeds.safetensors"),
    metrics: await downloaded(page, "metrics.jsonl"),
    before: await pixels(page, "#before"),
    after: await pixels(page, "#after"),
  };
}

/** The pixels of each picture of a grid. */
function pixels(page, grid) {
  return page.locator(`${grid} img`).evaluateAll((images) =>
    images.map((image) => {
      const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      return [...context.getImageData(0, 0, canvas.width, canvas.height).data].join();
    }),
  );
}
