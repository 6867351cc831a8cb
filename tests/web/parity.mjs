// The same run by the command line and by WebAssembly on the CPU: the same stop step, and the same
// losses, ratio and vectors within a tolerance. Node runs the wasm; no browser is needed.
//
//   node tests/web/parity.mjs PATH/TO/dvar [--json FILE] [OPTION VALUE ...]

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { blackPng } from "./png.js";

const root = resolve(new URL("../..", import.meta.url).pathname);
const [cli, ...more] = process.argv.slice(2);
if (!cli) throw new Error("give the path of the `dvar` program");

/** Largest relative differences: rounding alone, in another order of adding. */
const TOLERANCE = { loss: 1e-4, grad_norm: 1e-2, eval_loss: 1e-5, embedding_distance: 1e-2, ratio: 5e-2, lr: 0 };
/** Of the vectors, in proportion to the way that they went. */
const VECTORS = 5e-2;

/** Small enough for every change, with a real stop of the criterion. */
const options = {
  placeholder_token: "<blue-umbrella>",
  initializer_token: "umbrella",
  validation_prompt: ["a photo of a {}"],
  num_samples: 1,
  num_inference_steps: 2,
  train_batch_size: 1,
  eval_batch_size: 2,
  // what the model's own preset has otherwise
  stopping: "dvar",
  eval_interval: 1,
  learning_rate: 0.001,
  min_timestep: 0,
  flip: 0.5,
  window: 8,
  threshold: 0.6,
  max_train_steps: 60,
  save_steps: 10,
};
let report;
for (let i = 0; i + 1 < more.length; i += 2) {
  const [flag, value] = [more[i].replace(/^--/, "").replaceAll("-", "_"), more[i + 1]];
  if (flag === "json") report = value;
  else options[flag] = Number.isNaN(Number(value)) ? value : Number(value);
}
const pictures = join(root, "examples/concepts/blue-umbrella");
const model = join(root, "models/pretrained/dvar-tiny-emoji");

function runCli() {
  const folder = mkdtempSync(join(tmpdir(), "dvar-parity-"));
  try {
    const run = join(folder, "run");
    const flags = Object.entries(options).flatMap(([name, value]) =>
      [value].flat().flatMap((value) => [`--${name.replaceAll("_", "-")}`, String(value)]),
    );
    const start = performance.now();
    execFileSync(cli, ["train", "--model", model, "--train-data-dir", pictures, "--output-dir", run,
      "--device", "cpu", ...flags], { stdio: ["ignore", "ignore", "inherit"] });
    const seconds = (performance.now() - start) / 1000;
    const text = (file) => readFileSync(join(run, file), "utf8");
    return {
      seconds,
      timing: JSON.parse(text("timing.json")),
      records: text("metrics.jsonl").trim().split("\n").map((line) => JSON.parse(line)),
      ...JSON.parse(text("result.json")),
      learned: readFileSync(join(run, "learned_embeds.safetensors")),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A model folder, read as a worker reads it: piece by piece, without waiting. */
function source(folder) {
  return {
    size(path) {
      const found = statSync(join(folder, path), { throwIfNoEntry: false });
      return found?.isFile() ? found.size : undefined;
    },
    read(path, offset, length) {
      const bytes = new Uint8Array(length);
      const file = openSync(join(folder, path), "r");
      const read = readSync(file, bytes, 0, length, offset);
      closeSync(file);
      return bytes.subarray(0, read);
    },
  };
}

/** The same with other texts in place of some files. */
function changed(folder, texts) {
  const { size, read } = source(folder);
  const files = Object.fromEntries(Object.entries(texts).map(([path, text]) => [path, new TextEncoder().encode(text)]));
  return {
    size: (path) => files[path]?.length ?? size(path),
    read: (path, offset, length) => files[path]?.slice(offset, offset + length) ?? read(path, offset, length),
  };
}

async function openStudio() {
  const pkg = join(root, "web/page/pkg");
  const { initSync, on_panic, Replica, Studio } = await import(join(pkg, "dvar_web.js"));
  const wasm = initSync({ module: readFileSync(join(pkg, "dvar_web_bg.wasm")) });
  on_panic((message) => {
    console.error(`wasm panicked: ${message}`);
    process.exit(1);
  });
  const studio = await Studio.open("cpu", source(model), "dvar-tiny-emoji");
  return { studio, Replica, Studio, memory: () => wasm.memory.buffer.byteLength };
}

/** Collects a run; `stopAfter` ends it by hand. */
function host(stopAfter = Infinity) {
  const seen = { records: [], saves: [], samples: [], phases: [], times: [] };
  return {
    seen,
    phase: async (name) => void seen.phases.push(name),
    samples: async (kind, step, pngs, prompts, clip_i) => void seen.samples.push({ kind, step, pngs, prompts, clip_i }),
    async step(record) {
      seen.records.push(record);
      seen.times.push(performance.now());
      return seen.records.length >= stopAfter ? "stop" : "continue";
    },
    save: async (step, state, learned) => void seen.saves.push({ step, state, learned }),
  };
}

function concept() {
  const files = readdirSync(pictures).filter((file) => file.endsWith(".png")).sort();
  return files.map((name) => ({ name, bytes: new Uint8Array(readFileSync(join(pictures, name))) }));
}

/** The only tensor of a safetensors file of f32. */
function vectors(file) {
  const bytes = new Uint8Array(file);
  const header = 8 + new DataView(bytes.buffer).getUint32(0, true);
  return new Float32Array(bytes.slice(header).buffer);
}

/** Median of the seconds between two steps. */
function pace(times) {
  const gaps = times.slice(1).map((time, i) => (time - times[i]) / 1000).sort((a, b) => a - b);
  return gaps[gaps.length >> 1];
}

const native = runCli();
const { studio, Replica, Studio, memory } = await openStudio();
const run = { options, pictures: concept() };
assert.deepEqual(studio.check(options, run.pictures), { refused: [], transparent: 0 });

const watched = host();
const start = performance.now();
const wasm = await studio.train(run, watched);
const seconds = (performance.now() - start) / 1000;
const { records, samples, phases, times } = watched.seen;

const differences = {};
for (const [i, record] of records.entries()) {
  assert.deepEqual(Object.keys(record), Object.keys(native.records[i]), `figures of step ${i}`);
  for (const [name, value] of Object.entries(record)) {
    const want = native.records[i][name];
    const difference = want === value ? 0 : Math.abs(value - want) / Math.abs(want);
    differences[name] = Math.max(differences[name] ?? 0, difference);
  }
}
const [got, want] = [vectors(wasm.learned), vectors(native.learned)];
const apart = Math.hypot(...got.map((value, i) => value - want[i]));
differences.vectors = apart / native.records.at(-1).embedding_distance;
const summary = {
  stop: wasm.stop, steps: wasm.steps, differences,
  clip_i: [native.clip_i_before, wasm.clip_i_before, native.clip_i, wasm.clip_i],
  wasm_seconds_per_step: pace(times), wasm_seconds: seconds, wasm_memory: memory(),
  native_seconds: native.seconds, native_timing: native.timing,
};
console.log(JSON.stringify(summary, null, 1));
if (report) writeFileSync(report, JSON.stringify({ ...summary, native: native.records, wasm: records }));
assert.equal(wasm.steps, native.steps, "the stop step");
assert.equal(wasm.stop.reason, native.stop.reason);
for (const [name, most] of Object.entries({ ...TOLERANCE, step: 0, vectors: VECTORS })) {
  assert.ok((differences[name] ?? 0) <= most, `${name} differs by ${differences[name]}, over ${most}`);
}
assert.deepEqual(samples.map(({ kind }) => kind), ["before", "after"]);
assert.deepEqual(phases, ["loading", "encoding", "drawing", "training", "drawing"]);

// Broken off in the middle and gone on with: the same bytes as without the break.
const half = Math.floor(wasm.steps / 2);
const first = host(half);
const stopped = await studio.train(run, first);
assert.equal(stopped.stop.reason, "interrupted");
assert.equal(stopped.steps, half);
const second = host();
const { state } = first.seen.saves.at(-1);
const resumed = await studio.train({ ...run, state, skip_before: true }, second);
assert.deepEqual([...first.seen.records, ...second.seen.records], records);
assert.deepEqual(resumed.learned, wasm.learned);
assert.deepEqual(resumed.stop, wasm.stop);
assert.deepEqual(second.seen.samples.map(({ kind }) => kind), ["after"]);

// Computed in part by a copy of the run, and once by nobody: the same bytes as alone.
const wide = { ...run, options: { ...options, train_batch_size: 3, max_train_steps: 5, validation_prompt: ["a {}", "two {}"] } };
const alone = host();
const byOne = await studio.train(wide, alone);
const replica = await Replica.open(studio, wide);
const kinds = new Map();
const helpers = {
  begin: (shares) => assert.equal(shares, 3),
  share(work, count) {
    kinds.set(work.kind, (kinds.get(work.kind) ?? 0) + 1);
    const copy = structuredClone(work);
    const lost = work.kind === "gradient" && kinds.get(work.kind) === 2;
    return Array.from({ length: count }, (_, share) => {
      if (share % 2 === 0) return null;
      return lost ? Promise.resolve(null) : replica.compute(copy, share, count).then(structuredClone);
    });
  },
  done() {},
};
const helped = host();
const byTwo = await studio.train(wide, { ...helped, helpers });
assert.deepEqual([...kinds.keys()].sort(), ["evaluation", "gradient", "picture"]);
assert.deepEqual(helped.seen.records, alone.seen.records);
assert.deepEqual(helped.seen.samples, alone.seen.samples);
assert.deepEqual(byTwo.learned, byOne.learned);

// What a visitor can get wrong is an error of one sentence that says whose fault it is.
const fails = async (name, words, act, option = undefined) => {
  const error = await Promise.resolve().then(act).then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof Error, `no error where \`${words}\` was wanted`);
  assert.equal(error.name, name, error.message);
  assert.ok(error.message.includes(words), error.message);
  assert.equal(error.option, option, error.message);
};
const refuses = (words, change, option) =>
  fails("InputError", words, () => studio.check({ ...options, ...change }, run.pictures), option);
await refuses("`windw`", { windw: 3 }, "windw");
await refuses("`window` cannot be read", { window: "x" }, "window");
await refuses("window is 1", { window: 1 }, "window");
await refuses("`eval_batch_size`", { eval_batch_size: 0 }, "eval_batch_size");
await refuses("<my cat>", { placeholder_token: "<my cat>" }, "placeholder_token");
await refuses("`logger`", { logger: "wandb" }, "logger");
await refuses("has 32 tokens", { validation_prompt: ["a {}", `${"very ".repeat(31)}{}`] }, "validation_prompt");
await fails("InputError", "no pictures were given", () => studio.check(options, []), "train_data_dir");
await fails("InputError", "are not those that the run began with", () =>
  studio.train({ ...run, options: { ...options, seed: 1 }, state, skip_before: true }, host()));
const bad = { name: "bad.png", bytes: run.pictures[0].bytes.slice(0, 100) };
// a side of it by a side of what it becomes, and that squared, is 2^32, which wasm counts as 0
const large = { name: "large.png", bytes: blackPng(1024) };
// a page reads fewer formats than the command line
const gif = { name: "moving.gif", bytes: new TextEncoder().encode("GIF89a and more") };
const sheer = { name: "sheer.png", bytes: blackPng(16, 4) };
const { refused, transparent } = studio.check(options, [...run.pictures, bad, gif, large, sheer]);
assert.deepEqual(refused.map(({ name }) => name), ["bad.png", "moving.gif"]);
assert.match(refused[1].reason, /is not a PNG, JPEG or WebP picture/);
assert.equal(transparent, 1);
const thrown = new Error("the page's own");
await assert.rejects(studio.train(run, { ...host(), step: () => { throw thrown; } }), (error) => error === thrown);

// What a training had learned before it failed comes with the error.
const diverging = { ...run, options: { ...options, learning_rate: 1e30, preserve_embedding_norm: false } };
const diverged = await studio.train(diverging, host()).catch((error) => error);
assert.equal(diverged.option, "learning_rate");
assert.ok(vectors(diverged.last_good.learned).every(Number.isFinite));

// The CLI's file draws here.
let progress = [];
const request = { prompt: "a photo of a {}", seed: 1, num_inference_steps: 2, guidance_scale: 3, count: 2 };
const drawn = await studio.generate(new Uint8Array(native.learned), request, {
  progress: async (done, total) => void progress.push([done, total]),
});
assert.equal(drawn.length, 2);
assert.deepEqual(progress, [[1, 4], [2, 4], [3, 4], [4, 4]]);
const drawing = (prompt) => studio.generate(new Uint8Array(native.learned), { ...request, prompt }, {});
// as a phone's keyboard writes it
assert.deepEqual(await drawing("A photo of a <Blue-Umbrella>"), drawn);
await fails("InputError", "<blue-umbrella>", () => drawing("a cat"));
// a prompt of 31 words and the concept
const long = `${"very ".repeat(31)}{}`;
await fails("InputError", "has 32 tokens, of which this model reads only 30, without `<blue-umbrella>`", () => drawing(long));
await fails("InputError", "`(<blue-umbrella>:1.2)` weighs words", () => drawing("a ({}:1.2)"));
await fails("InputError", "`<lora:ink:1>` in a prompt loads nothing", () => drawing("a {} <lora:ink:1>"));

// A model that its advice, and not its scheduler's file, calls one of the velocity is drawn with as such.
const text = (file) => readFileSync(join(model, file), "utf8");
const [advice, scheduler] = ["dvar.toml", "scheduler/scheduler_config.json"];
const drawnWith = async (texts) => {
  const other = await Studio.open("cpu", changed(model, texts), "dvar-tiny-emoji");
  return other.generate(new Uint8Array(native.learned), request, { progress() {} });
};
const byAdvice = await drawnWith({ [advice]: `prediction_type = "v_prediction"\n${text(advice)}` });
const asVelocity = { ...JSON.parse(text(scheduler)), prediction_type: "v_prediction" };
assert.deepEqual(byAdvice, await drawnWith({ [scheduler]: JSON.stringify(asVelocity) }));
assert.notDeepEqual(byAdvice, drawn);

// What a file holds is told with the token that the CLI knows it by.
const { token, adapter, learned } = studio.held(new Uint8Array(native.learned), "some-file.safetensors");
assert.deepEqual([token, adapter], ["<blue-umbrella>", false]);
assert.deepEqual(Buffer.from(learned), native.learned);
console.log("parity holds");
