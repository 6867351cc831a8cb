// One run from the button to its result, over failures on the way.

import { stayAwake } from "./awake";
import type { DeviceChoice } from "./device";
import { byId, download } from "./dom";
import type { DrawView } from "./draw_view";
import { EngineError, type Engine } from "./engine";
import type { ModelChoice } from "./model_choice";
import { explain, hideNotice, notify } from "./notice";
import type { Events, Finished, LearnedFiles, Options, Phase, Picture, Run, Samples, StepRecord, StopReason } from "./protocol";
import { ResultView } from "./result_view";
import { isSame } from "./run_model";
import { aboutPictures, filled, goBack, isUsual, withoutEmpty } from "./run_parts";
import { SavedRun } from "./saved_run";
import { showOnly } from "./sections";
import type { StartView } from "./start_view";
import { alone } from "./storage";
import type { Studio } from "./studio";
import { TrainingView } from "./training_view";

const UNKEPT = "Another tab of this page is learning, and its run is the one that is kept. This one is lost if the tab is closed before you have saved the result.";

type State = "running" | "paused" | "stopping" | "ended";

/** Starts, resumes, pauses and ends runs. */
export class RunControl {
  private readonly training = new TrainingView();
  private readonly result: ResultView;
  private run: Run | undefined;
  private engine: Engine | undefined;
  private state: State = "running";
  /** Whether a run is being started or made: a second click does nothing. */
  private busy = false;
  private stopAsked = 0;
  private at: Phase = "loading";
  /** Whether it has made a step since it was started. */
  private stepped = false;
  /** Whether the storage has failed, which is said once. */
  private unstored = false;
  /** Whether the visitor has saved what the run learned. */
  private downloaded = false;
  /** Whether what is on offer to be saved is kept nowhere else. */
  private atStake = false;

  constructor(
    private readonly studio: Studio,
    private readonly device: DeviceChoice,
    private readonly model: ModelChoice,
    private readonly view: StartView,
    private readonly draw: DrawView,
    /** Shows the first screen. */
    private readonly leave: () => void,
  ) {
    this.result = new ResultView({
      goOn: (stop, steps) => void this.goOn(stop, steps),
      startFrom: (word) => void this.startFrom(word),
      saved: () => (this.downloaded = true),
    });
    addEventListener("beforeunload", (event) => {
      if (this.onlyHere || this.atStake) event.preventDefault();
    });
    document.addEventListener("visibilitychange", () => void this.look());
    byId("pause").onclick = () => this.pause();
    byId("stop").onclick = () => this.stop();
  }

  /** Checks everything before anything slow, then trains. */
  start(options: Options, pictures: Picture[]): Promise<void> {
    const { view } = this;
    return this.once(async () => {
      const { engine, opened } = await this.studio.open();
      const wanted = withoutEmpty(options);
      const checked = await engine.ask("check", { options: wanted, pictures });
      const { refused } = checked;
      view.refuse(refused);
      const names = new Set(refused.map(({ name }) => name));
      const good = pictures.filter(({ name }) => !names.has(name));
      if (good.length === 0) return view.status("None of the pictures can be used.");
      const told = aboutPictures(pictures.length, checked);
      const shown = await filled(engine, wanted);
      view.status("");
      await alone(async (turn) => {
        if (turn === "taken") told.push(UNKEPT);
        if (told.length > 0) notify(told.join(" "));
        await this.train(shown, { options: wanted, pictures: good, model: opened.identity, records: [], samples: [], keep: turn === "free" });
      });
    });
  }

  /** Goes on with a run: the one that is stored, or another. */
  resume({ options, pictures, model, asked, checkpoint, records, samples }: Omit<Run, "keep">, stored = true): Promise<void> {
    const run = { options, pictures, model, asked, checkpoint, records, samples, keep: true };
    goBack(run);
    return this.once(async () => {
      const { engine } = await this.studio.open();
      const shown = await filled(engine, options);
      this.view.status("");
      await alone(async (turn) => {
        if (turn === "taken" && stored) return notify("Another tab of this page is learning. Go on there, or close that tab and try again.");
        if (turn === "free" && stored && !(await new SavedRun().holds(checkpoint))) {
          this.leave();
          return notify("Another tab of this page has changed what is stored. What is there now is on offer, if anything.");
        }
        if (turn === "taken") notify(UNKEPT);
        run.keep = turn === "free";
        await this.train(shown, run);
      });
    });
  }

  /** Shows a run that ended; `options` are all of its options that are known. */
  async show(run: Omit<Run, "keep">, finished: Finished, options: Options): Promise<void> {
    if (this.busy) return;
    this.run = { ...run, keep: true };
    this.unstored = this.downloaded = false;
    showOnly("training", "result");
    this.training.begin(options, run);
    this.end(options, finished, run.records, run.samples);
    byId("result-title").focus();
    void this.look();
    try {
      const { opened } = await this.studio.open();
      // only the model that learned it draws it and goes on with it
      if (!isSame(run.model, opened.identity)) byId("more").hidden = true;
      // the visitor may have left meanwhile
      else if (!byId("result").hidden) this.offer(options, finished, opened.defaults);
    } catch (error) {
      notify(explain(error));
    }
  }

  /** Goes on with the run on the screen, to twice its steps where it was not the visitor who ended it. */
  private async goOn({ reason }: StopReason, steps: number): Promise<void> {
    const { run } = this;
    if (!run) return;
    const longer = {
      max_train_steps: 2 * steps,
      // a rule that has stopped the run once would stop it again at once
      min_train_steps: reason === "max_steps" ? steps : 2 * steps,
    };
    const options = { ...run.options, ...(reason !== "interrupted" && longer) };
    await this.resume({ ...run, options, asked: run.asked ?? run.options }, false);
  }

  /** Learns the pictures of the run on the screen anew, from another word. */
  private async startFrom(word: string): Promise<void> {
    const { run } = this;
    if (run) await this.start({ ...(run.asked ?? run.options), initializer_token: word }, run.pictures);
  }

  /** The visitor turns from the run on the screen to another: what is kept nowhere can still be saved. */
  turnAway(): void {
    if (this.onlyHere && this.run?.checkpoint) this.offerToSave(this.run.checkpoint, true);
  }

  /** Finds out whether the run on the screen, when it has ended, is still stored: another tab may have stored one since. */
  private async look(): Promise<void> {
    const { run } = this;
    if (this.state !== "ended" || !run?.keep || (await new SavedRun().holds(run.checkpoint))) return;
    if (this.run === run) this.unstored = true;
  }

  /** Whether the run on the screen would be lost with the tab. */
  private get onlyHere(): boolean {
    return !byId("training").hidden && !this.downloaded && (this.unstored || !this.run?.keep);
  }

  // what the worker tells

  phase(name: Phase): void {
    this.at = name;
    if (name === "loading") this.stepped = false;
    // the last pictures of a run that is being stopped take as long as any
    const last = this.state === "stopping" && this.stepped && name === "drawing";
    if (this.state === "running" || last) this.training.phase(name);
  }

  progress({ done, total }: Events["progress"]): void {
    this.training.progress(done, total);
  }

  step({ record, seconds }: Events["step"]): void {
    if (this.run?.records.length === 0) performance.measure("click-to-first-step", "train");
    this.stepped = true;
    this.run?.records.push(record);
    this.training.step(record, seconds);
  }

  workers(count: number): void {
    this.training.workers(count);
  }

  samples(samples: Samples): void {
    this.run?.samples.push(samples);
    this.training.samples(samples);
  }

  saved({ stored, ...checkpoint }: Events["saved"]): void {
    if (this.run) this.run.checkpoint = checkpoint;
    // what another tab keeps this one from storing was told at the start
    if (stored || this.unstored || !this.run?.keep) return;
    this.unstored = true;
    notify("The browser's storage is full. The training goes on, but could not be resumed if this tab is closed: keep it open until you have saved the result.");
  }

  private async train(shown: Options, run: Run): Promise<void> {
    this.run = run;
    this.unstored = this.downloaded = this.atStake = false;
    byId("rescue").hidden = true;
    showOnly("training");
    this.training.begin(shown, run);
    byId("training-title").focus();
    const finished = await this.toTheEnd();
    const { defaults, device } = (await this.studio.open()).opened;
    const usual = this.model.own === undefined && isUsual(shown, defaults);
    if (usual && this.training.speed) this.device.remember(device.kind, this.training.speed);
    showOnly("training", "result");
    this.end(shown, finished, run.records, run.samples);
    this.offer(shown, finished, defaults);
    byId("result-title").focus();
  }

  /** Trains; where the GPU fails, goes on from the last checkpoint on the CPU. */
  private async toTheEnd(): Promise<Finished> {
    this.controls("running");
    for (;;) {
      const { engine, opened } = await this.studio.open();
      const { kind } = this.device;
      this.engine = engine;
      const { run } = this;
      if (!run) throw new Error("there is no run");
      if (!isSame(run.model, opened.identity)) throw new Error("The run goes on with the model that it began with alone, and that is not the one here");
      run.model = opened.identity;
      try {
        const finished = engine.ask("train", { run });
        // what the visitor asked of the device before
        if (this.state === "paused") engine.tell("pause");
        if (this.state === "stopping") engine.tell("stop");
        return await finished;
      } catch (error) {
        const step = run.checkpoint?.step ?? 0;
        const from = step > 0 ? `goes on from step ${step}` : "starts again";
        if (!this.studio.fallBack(kind, error, `The training ${from} on the CPU.`)) throw error;
        goBack(run);
        this.training.rewind(run);
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
    const [prompt] = (shown.validation_prompt ?? []) as string[];
    this.draw.offer({ token, bytes: learned, ...(adapter && { adapter: adapter.bytes }) }, defaults, prompt);
    byId("draw").hidden = false;
  }

  private pause(): void {
    if (this.state === "paused") {
      this.engine?.tell("resume");
      this.controls("running");
      this.training.phase(this.at);
    } else if (this.state === "running") {
      this.engine?.tell("pause");
      this.controls("paused");
      this.training.status("Paused");
    }
  }

  /** The first time asks for an end with a result, the second time ends at once. */
  private stop(): void {
    if (this.state === "stopping") {
      // the second click of a double click is meant for the first button
      if (performance.now() - this.stopAsked > 1000) this.studio.close("The training was ended");
      return;
    }
    this.stopAsked = performance.now();
    this.engine?.tell("stop");
    this.controls("stopping");
    // at the end no other step comes, and pictures on the way belong to a step that is made
    const drawn = this.stepped && this.at === "drawing";
    const step = this.at === "training" ? "this step" : "the next step";
    this.training.status(drawn ? "Stopping when these pictures are drawn" : `Stopping after ${step}, then drawing the pictures once more`);
  }

  private controls(state: State): void {
    this.state = state;
    stayAwake(state === "running" || state === "stopping");
    const [pause, stop] = [byId<HTMLButtonElement>("pause"), byId<HTMLButtonElement>("stop")];
    pause.textContent = state === "paused" ? "Go on" : "Pause";
    pause.disabled = state === "stopping";
    stop.textContent = state === "stopping" ? "End now" : "Stop";
    pause.hidden = stop.hidden = state === "ended";
    byId("training").classList.toggle("ended", state === "ended");
  }

  /** Does one thing at a time; a failure is told where it can be read. */
  private async once(act: () => Promise<void>): Promise<void> {
    if (this.busy) return;
    performance.mark("train");
    this.busy = true;
    this.view.busy(true);
    this.view.status("Getting ready");
    hideNotice();
    try {
      await act();
    } catch (error) {
      this.view.status("");
      const input = error instanceof EngineError && error.name === "InputError";
      if (input && byId("training").hidden) this.view.error(explain(error), error.option);
      else this.failed(error);
    } finally {
      stayAwake(false);
      this.busy = false;
      this.view.busy(false);
    }
  }

  /** Back to the first screen, with the run's checkpoint on offer. */
  private failed(error: unknown): void {
    const { name = "", lastGood } = error instanceof EngineError ? error : {};
    const { onlyHere } = this;
    // what comes after a result that is stored nowhere may fail too
    const unsaved = (!byId("training").hidden && this.state !== "ended") || onlyHere;
    this.studio.close("The run failed");
    this.leave();
    if (name !== "Ended") notify(explain(error));
    // a worker that is gone cannot say what it had learned: what it last saved may be stored nowhere
    const learned = lastGood ?? (unsaved ? this.run?.checkpoint : undefined);
    if (learned) this.offerToSave(learned, onlyHere);
  }

  /** Offers what a training had learned until another begins: not in a notice, which the next one replaces. */
  private offerToSave({ learned, adapter }: LearnedFiles, onlyHere: boolean): void {
    this.atStake = onlyHere;
    byId("rescue-save").onclick = () => {
      download("learned_embeds.safetensors", learned);
      if (adapter) download(adapter.file, adapter.bytes);
      this.atStake = false;
    };
    byId("rescue").hidden = false;
  }
}
