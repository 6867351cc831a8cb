// The page: which part is shown, and what leads from one to the next.

import { DeviceChoice } from "./device";
import { byId, pace } from "./dom";
import { DrawView, type Learned } from "./draw_view";
import { readLearned } from "./embedding_file";
import { EngineError } from "./engine";
import { measure } from "./measure";
import { ModelChoice } from "./model_choice";
import { explain, hideNotice, notify } from "./notice";
import { offerSavedRun } from "./offer";
import type { DrawRequest } from "./protocol";
import { RunControl } from "./run_control";
import { isUsual, withoutEmpty } from "./run_parts";
import { StartView } from "./start_view";
import { keeps } from "./storage";
import { Studio } from "./studio";
import { showOnly } from "./sections";

const device = new DeviceChoice(() => {
  studio.close("The device was changed");
  void prepare();
});
const model = new ModelChoice(() => {
  studio.close("Another model was taken");
  hideNotice();
  byId("offer").hidden = true;
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
const draw = new DrawView(drawn);
const run = new RunControl(studio, device, model, start, draw, leave);

/** Whether the visitor was told what is not kept: once, as it takes the place of other notices. */
let toldUnkept = false;

const FULL = "The browser's storage is full or broken: the page works, but will load the model again next time.";
const BLOCKED = "This browser lets the page keep nothing: a training is lost if the tab is closed before you have saved its result.";

/** Back to the first screen; what had the focus is gone. */
function leave(): void {
  showOnly("start");
  byId("title").focus();
  void prepare();
}

/** Opens the model ahead of the button, and offers what an earlier visit left. */
async function prepare(): Promise<void> {
  try {
    const open = await studio.open();
    const { engine, opened } = open;
    model.opened(opened.model.name);
    await offerSavedRun(run, model, open);
    start.defaults(await engine.ask("defaults", { options: start.method }));
    const kept = await keeps();
    if ((opened.uncached || !kept) && !toldUnkept) {
      toldUnkept = true;
      notify(kept ? FULL : BLOCKED);
    }
  } catch (error) {
    const name = error instanceof EngineError ? error.name : undefined;
    if (name === "Ended") return;
    if (model.own !== undefined && name !== "DownloadError") {
      model.refuse();
      notify(`${explain(error)} The page keeps to its own model.`);
      return prepare();
    }
    notify(explain(error), { label: "Try again", act: () => void prepare() });
    await offerSavedRun(run, model, undefined);
  }
}

/** Draws pictures; on the CPU where the GPU fails. */
async function drawn(learned: Learned, request: DrawRequest): Promise<Uint8Array<ArrayBuffer>[]> {
  const { engine } = await studio.open();
  const { kind } = device;
  try {
    return (await engine.ask("draw", { learned: learned.bytes, request })).pngs;
  } catch (error) {
    if (!studio.fallBack(kind, error, "The pictures are drawn on the CPU.")) throw error;
    return drawn(learned, request);
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
      else other.push(`${name}: ${pace(speed)} steps a second`);
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
    // a training that began meanwhile would be hidden by what is drawn
    start.busy(true);
    start.status("Getting ready");
    try {
      const files = [...(input.files ?? [])];
      const { engine, opened } = await studio.open();
      const learned = await readLearned(files, (name, bytes) => engine.ask("held", { name, bytes }));
      showOnly("draw");
      draw.offer(learned, opened.defaults);
      byId("draw-title").focus();
    } catch (error) {
      notify(explain(error));
    } finally {
      input.value = "";
      start.status("");
      start.busy(false);
    }
  };
}

async function begin(): Promise<void> {
  byId("starting").hidden = true;
  // Firefox keeps through a reload what was disabled before it
  for (const control of document.querySelectorAll<HTMLButtonElement | HTMLInputElement>("button, input")) control.disabled = false;
  byId("again-button").onclick = () => {
    hideNotice();
    // the next training would wait for it
    if (draw.drawing) studio.close("The drawing was ended");
    run.turnAway();
    leave();
  };
  byId("measure").onclick = () => void measureBoth();
  offerEmbeddings();
  void prepare();
  // without network this fails, and the one of the last visit serves
  await navigator.serviceWorker
    ?.register(new URL("service_worker.js", document.baseURI))
    .catch(() => undefined);
}

void begin();
