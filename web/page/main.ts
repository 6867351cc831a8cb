// The page: which part is shown, and what leads from one to the next.

import { DeviceChoice } from "./device";
import { byId } from "./dom";
import { DrawView } from "./draw_view";
import { readLearned } from "./embedding_file";
import { EngineError } from "./engine";
import { measure } from "./measure";
import { ModelChoice } from "./model_choice";
import { explain, hideNotice, notify } from "./notice";
import { RunControl } from "./run_control";
import { isUsual, withoutEmpty } from "./run_parts";
import { SavedRun } from "./saved_run";
import { StartView } from "./start_view";
import { alone, keeps } from "./storage";
import { Studio } from "./studio";
import { showOnly } from "./sections";

const device = new DeviceChoice(() => {
  studio.close("The device was changed");
  void prepare();
});
const model = new ModelChoice(() => {
  studio.close("Another model was taken");
  hideNotice();
  void offerSavedRun();
  void prepare();
});
const studio = new Studio(device, model, {
  phase: ({ name }) => run.phase(name),
  step: (event) => run.step(event),
  workers: ({ count }) => run.workers(count),
  samples: (samples) => run.samples(samples),
  saved: (checkpoint) => run.saved(checkpoint),
  progress: (progress) => run.progress(progress),
  drawing: (progress) => draw.progress(progress),
});
const start = new StartView(
  (options, pictures) => void run.start(options, pictures),
  () => void prepare(),
);
const draw = new DrawView(async (learned, request) => {
  const { engine } = await studio.open();
  const { pngs } = await engine.ask("draw", { learned: learned.bytes, request });
  return pngs;
});
const run = new RunControl(studio, device, model, start, draw, leave);

/** Whether the visitor was told what is not kept: once, as it takes the place of other notices. */
let toldUnkept = false;

const FULL = "The browser's storage is full: the page works, but will load the model again next time.";
const BLOCKED = "This browser lets the page keep nothing: a training is lost if the tab is closed before you have saved its result.";

/** Back to the first screen; what had the focus is gone. */
function leave(): void {
  showOnly("start");
  byId("title").focus();
  void offerSavedRun();
  void prepare();
}

/** Opens the model ahead of the button. */
async function prepare(): Promise<void> {
  try {
    const { engine, opened } = await studio.open();
    start.defaults(await engine.ask("defaults", { options: start.method }));
    model.opened(opened.model.name);
    const kept = await keeps();
    if ((opened.uncached || !kept) && !toldUnkept) {
      toldUnkept = true;
      notify(kept ? FULL : BLOCKED);
    }
  } catch (error) {
    const name = error instanceof EngineError ? error.name : undefined;
    if (name === "DeviceError") {
      device.fallBack();
      notify(`${explain(error)} The page goes on on the CPU.`);
      return prepare();
    }
    if (name === "Ended") return;
    if (model.own !== undefined && name !== "DownloadError") {
      model.refuse();
      void offerSavedRun();
      notify(`${explain(error)} The page keeps to its own model.`);
      return prepare();
    }
    notify(explain(error), { label: "Try again", act: () => void prepare() });
  }
}

/** Makes some steps on GPU and CPU, so that the visitor can choose. */
async function measureBoth(): Promise<void> {
  const { pictures } = start.chosen;
  const options = withoutEmpty(start.chosen.options);
  start.busy(true);
  try {
    const { asked, own } = model;
    const { defaults } = (await studio.open()).opened;
    const usual = own === undefined && isUsual({ ...defaults, ...options }, defaults);
    studio.close("Both devices are measured");
    const other: string[] = [];
    for (const kind of ["webgpu", "cpu"] as const) {
      const name = kind === "cpu" ? "CPU" : "GPU";
      start.status(`Measuring the ${name}`);
      const speed = await measure(kind, asked, options, pictures);
      // what these settings alone make is no figure of the device's
      if (usual) device.remember(kind, speed);
      else other.push(`${name}: ${speed.toFixed(2)} steps a second`);
    }
    start.status(other.join("; "));
  } catch (error) {
    start.status(explain(error));
  } finally {
    start.busy(false);
    void prepare();
  }
}

/** Draws with files of the visitor's. */
function offerEmbeddings(): void {
  const input = byId<HTMLInputElement>("embedding-files");
  byId("load-embedding").onclick = () => input.click();
  input.onchange = async () => {
    try {
      const learned = await readLearned([...(input.files ?? [])]);
      const { opened } = await studio.open();
      showOnly("draw");
      draw.offer(learned, opened.defaults);
      byId("draw-title").focus();
    } catch (error) {
      notify(explain(error));
    } finally {
      input.value = "";
    }
  };
}

/** Offers what an earlier visit left. */
async function offerSavedRun(): Promise<void> {
  const saved = new SavedRun();
  const { setup, checkpoint, records = [], samples = [], finished } = await saved.read();
  if (!setup || !checkpoint) return;
  const token = String(setup.options.placeholder_token);
  const text = byId("offer-text");
  text.textContent = finished ? `The last run learned ${token}.` : `The last run, of ${token}, did not come to its end.`;
  // a checkpoint of the visitor's is not kept: it may be larger than what a browser stores
  const other = setup.model !== model.own;
  if (other) {
    const taken = setup.model === undefined ? "take the page's own model" : `drop \`${setup.model}\` here`;
    text.textContent += ` To ${finished ? "draw with it" : "go on"}, ${taken}.`;
  }
  const go = byId("offer-go");
  const stored = { ...setup, checkpoint, records, samples };
  go.hidden = other && !finished;
  go.textContent = finished ? "Show it" : `Go on from step ${checkpoint.step}`;
  go.onclick = () => void (finished ? run.show(stored, finished) : run.resume(stored));
  byId("offer").hidden = false;
  byId("offer-discard").onclick = () => {
    byId("offer").hidden = true;
    byId("title").focus();
    // another tab may have stored its run in its place
    void alone(async (turn) => {
      if (turn !== "taken") await saved.clear();
    });
  };
}

async function begin(): Promise<void> {
  if (!window.isSecureContext) {
    notify("This page must come over https, or from localhost: browsers lend storage and GPU to no other.");
    return;
  }
  byId("again-button").onclick = () => {
    hideNotice();
    leave();
  };
  byId("measure").onclick = () => void measureBoth();
  offerEmbeddings();
  await offerSavedRun();
  void prepare();
  // without network this fails, and the one of the last visit serves
  await navigator.serviceWorker
    ?.register(new URL("service_worker.js", document.baseURI))
    .catch(() => undefined);
}

void begin();
