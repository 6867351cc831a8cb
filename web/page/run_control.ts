// One run from the button to its result, over failures on the way.

import type { DeviceChoice } from "./device";
import { byId } from "./dom";
import type { DrawView } from "./draw_view";
import { EngineError, type Engine } from "./engine";
import { explain, hideNotice, notify } from "./notice";
import type { Checkpoint, Events, Finished, Options, Phase, Picture, Run, Samples, StepRecord } from "./protocol";
import { ResultView } from "./result_view";
import { goBack, withoutEmpty } from "./run_parts";
import { showOnly } from "./sections";
import type { StartView } from "./start_view";
import type { Studio } from "./studio";
import { TrainingView } from "./training_view";

type State = "running" | "paused" | "stopping" | "ended";

/** Starts, resumes, pauses and ends runs. */
export class RunControl {
  private readonly training = new TrainingView();
  private readonly result = new ResultView();
  private run: Run | undefined;
  private engine: Engine | undefined;
  private state: State = "running";
  /** Whether the storage has failed, which is said once. */
  private unstored = false;

  constructor(
    private readonly studio: Studio,
    private readonly device: DeviceChoice,
    private readonly view: StartView,
    private readonly draw: DrawView,
    /** Shows the first screen. */
    private readonly leave: () => void,
  ) {
    byId("pause").onclick = () => this.pause();
    byId("stop").onclick = () => this.stop();
  }

  /** Checks everything before anything slow, then trains. */
  async start(options: Options, pictures: Picture[]): Promise<void> {
    performance.mark("train");
    const { view } = this;
    view.busy(true);
    view.status("Getting ready");
    hideNotice();
    try {
      const { engine, opened } = await this.studio.open();
      const wanted = withoutEmpty(options);
      const { refused } = await engine.ask("check", { options: wanted, pictures });
      view.refuse(refused);
      const names = new Set(refused.map(({ name }) => name));
      const good = pictures.filter(({ name }) => !names.has(name));
      if (good.length === 0) return view.status("None of the pictures can be used.");
      if (refused.length > 0) {
        notify(`Learning from ${good.length} of ${pictures.length} pictures. Left out: ${refused.map(({ reason }) => reason).join("; ")}.`);
      }
      view.status("");
      await this.train({ ...opened.defaults, ...wanted }, { options: wanted, pictures: good, records: [], samples: [], keep: true });
    } catch (error) {
      if (error instanceof EngineError && error.name === "InputError") view.error(explain(error));
      else this.failed(error);
    } finally {
      view.busy(false);
    }
  }

  /** Goes on with a stored run. */
  async resume({ options, pictures, checkpoint, records, samples }: Omit<Run, "keep">): Promise<void> {
    const run = { options, pictures, checkpoint, records, samples, keep: true };
    goBack(run);
    hideNotice();
    try {
      const { opened } = await this.studio.open();
      await this.train({ ...opened.defaults, ...options }, run);
    } catch (error) {
      this.failed(error);
    }
  }

  /** Shows a run that ended. */
  async show(options: Options, finished: Finished, records: StepRecord[], samples: Samples[]): Promise<void> {
    showOnly("training", "result", "draw");
    this.training.begin(options, records, samples);
    this.end(options, finished, records, samples);
    const { opened } = await this.studio.open();
    this.offer(options, finished, opened.defaults);
  }

  get running(): boolean {
    return !byId("training").hidden && this.state !== "ended";
  }

  // what the worker tells

  phase(name: Phase): void {
    if (this.state === "running") this.training.phase(name);
  }

  drawing({ done, total }: Events["drawing"]): void {
    this.training.drawing(done, total);
  }

  step({ record, seconds }: Events["step"]): void {
    if (this.run?.records.length === 0) performance.measure("click-to-first-step", "train");
    this.run?.records.push(record);
    this.training.step(record, seconds);
  }

  samples(samples: Samples): void {
    this.run?.samples.push(samples);
    this.training.samples(samples);
  }

  saved({ step, state, learned, stored }: Events["saved"]): void {
    if (this.run) this.run.checkpoint = { step, state, learned } satisfies Checkpoint;
    if (stored || this.unstored) return;
    this.unstored = true;
    notify("The browser's storage is full. The training goes on, but could not be resumed if this tab is closed: keep it open until you have saved the result.");
  }

  private async train(shown: Options, run: Run): Promise<void> {
    this.run = run;
    this.unstored = false;
    showOnly("training");
    this.training.begin(shown, run.records, run.samples);
    byId("training-title").focus();
    const finished = await this.toTheEnd();
    const { defaults } = (await this.studio.open()).opened;
    const usual = ["train_batch_size", "eval_batch_size"].every((size) => shown[size] === defaults[size]);
    if (usual && this.training.speed) this.device.remember(this.device.kind, this.training.speed);
    showOnly("training", "result", "draw");
    this.end(shown, finished, run.records, run.samples);
    this.offer(shown, finished, defaults);
    byId("result-title").focus();
  }

  /** Trains; where the GPU fails, goes on from the last checkpoint on the CPU. */
  private async toTheEnd(): Promise<Finished> {
    for (;;) {
      const { engine } = await this.studio.open();
      this.engine = engine;
      this.controls("running");
      const { run } = this;
      if (!run) throw new Error("there is no run");
      try {
        return await engine.ask("train", { run });
      } catch (error) {
        const gpu = error instanceof EngineError && error.name === "DeviceError";
        if (!gpu || this.device.kind === "cpu") throw error;
        const step = run.checkpoint?.step ?? 0;
        this.studio.close("The GPU failed");
        this.device.fallBack();
        goBack(run);
        this.training.rewind(run.records);
        const from = step > 0 ? `goes on from step ${step}` : "starts again";
        notify(`${explain(error)} The training ${from} on the CPU.`);
      }
    }
  }

  private end(shown: Options, finished: Finished, records: StepRecord[], samples: Samples[]): void {
    this.controls("ended");
    this.training.stopped(finished.steps);
    this.result.show(shown, finished, records, samples);
  }

  private offer(shown: Options, { learned, adapter }: Finished, defaults: Options): void {
    const token = String(shown.placeholder_token);
    this.draw.offer({ token, bytes: learned, ...(adapter && { adapter: adapter.bytes }) }, defaults);
  }

  private pause(): void {
    if (this.state === "paused") {
      this.engine?.tell("resume");
      this.controls("running");
      this.training.status("Learning");
    } else if (this.state === "running") {
      this.engine?.tell("pause");
      this.controls("paused");
      this.training.status("Paused");
    }
  }

  /** The first time asks for an end with a result, the second time ends at once. */
  private stop(): void {
    if (this.state === "stopping") return this.studio.close("The training was ended");
    this.engine?.tell("stop");
    this.controls("stopping");
    this.training.status("Stopping after this step, then drawing the pictures once more");
  }

  private controls(state: State): void {
    this.state = state;
    const [pause, stop] = [byId<HTMLButtonElement>("pause"), byId<HTMLButtonElement>("stop")];
    pause.textContent = state === "paused" ? "Go on" : "Pause";
    pause.disabled = state === "stopping";
    stop.textContent = state === "stopping" ? "End now" : "Stop";
    pause.hidden = stop.hidden = state === "ended";
    byId("training").classList.toggle("ended", state === "ended");
  }

  /** Back to the first screen, with the run's checkpoint on offer. */
  private failed(error: unknown): void {
    const ended = error instanceof EngineError && error.name === "Ended";
    this.studio.close("The run failed");
    this.leave();
    if (!ended) notify(explain(error));
  }
}
