// What wasm's training calls back: it reports, saves, and lets pause and stop through.

import type { Helpers } from "./pkg/dvar_web.js";
import type { Events, Finished, LearnedFiles, Phase, Run, Samples, SampleKind, StepRecord } from "./protocol";
import { type Parts, SavedRun } from "./saved_run";

type Emit = <N extends keyof Events>(type: N, event: Events[N]) => void;

/** One run in the worker. */
export class RunHost {
  private readonly saved = new SavedRun();
  private readonly records: StepRecord[];
  private readonly drawn: Samples[];
  /** What all steps took, also those before the run went on. */
  private seconds: number;
  /** Whether everything that the run needs to go on has been stored so far. */
  private whole = false;
  private stopping = false;
  /** Resolves when a pause is over; undefined while running. */
  private paused: Promise<void> | undefined;
  private unpause: (() => void) | undefined;
  private since = performance.now();

  constructor(
    private readonly run: Run,
    private readonly emit: Emit,
    /** Who computes with this worker; wasm shares its work out to them. */
    readonly helpers: Helpers | undefined,
  ) {
    this.records = run.records.slice();
    this.drawn = run.samples.slice();
    this.seconds = run.checkpoint?.seconds ?? 0;
  }

  /** Stores what the run is made of, so that it can go on after a reload. */
  async begin(): Promise<void> {
    if (!this.run.keep) return;
    if (!this.run.checkpoint) await this.saved.clear();
    this.whole = await this.saved.write(this.parts);
  }

  /** All that is stored. */
  private get parts(): Partial<Parts> {
    const { options, pictures, model, asked, checkpoint } = this.run;
    const setup = { options, pictures, model, asked };
    // a run that goes on beyond its end has not ended, and what is stored may be another tab's
    return { setup, checkpoint, records: this.records, samples: this.drawn, finished: undefined };
  }

  /** Stores what is new; where that fails, everything, because the browser may have emptied its storage. */
  private async store(parts: Partial<Parts>): Promise<boolean> {
    if (!this.whole) return false;
    return (await this.saved.write(parts)) || this.saved.write({ ...this.parts, ...parts });
  }

  /** The losses of the fixed batch, of all steps that evaluated it. */
  get losses(): Float64Array {
    return Float64Array.from(this.records.flatMap(({ eval_loss }) => (eval_loss === undefined ? [] : [eval_loss])));
  }

  async finish(finished: Finished): Promise<void> {
    await this.store({ finished, records: this.records });
  }

  pause(): void {
    this.paused ??= new Promise((resolve) => (this.unpause = resolve));
  }

  resume(): void {
    this.unpause?.();
    this.paused = undefined;
  }

  stop(): void {
    this.stopping = true;
    this.resume();
  }

  // called by wasm

  async phase(name: Phase): Promise<void> {
    this.emit("phase", { name });
    await this.breath();
  }

  async samples(
    kind: SampleKind,
    step: number,
    pngs: Uint8Array<ArrayBuffer>[],
    prompts: string[],
    clip_i: number | null,
  ): Promise<void> {
    const drawn = { kind, step, pngs, prompts, clip_i };
    this.drawn.push(drawn);
    this.emit("samples", drawn);
    await this.store({ samples: this.drawn });
    this.since = performance.now();
  }

  async progress(done: number, total: number): Promise<void> {
    this.emit("progress", { done, total });
    await this.breath();
  }

  async step(record: StepRecord): Promise<"continue" | "stop"> {
    this.records.push(record);
    const seconds = (performance.now() - this.since) / 1000;
    this.seconds += seconds;
    this.emit("step", { record, seconds });
    await this.breath();
    return this.stopping ? "stop" : "continue";
  }

  async save(step: number, state: Uint8Array<ArrayBuffer>, files: LearnedFiles): Promise<void> {
    const checkpoint = { step, seconds: this.seconds, state, ...files };
    this.run.checkpoint = checkpoint;
    const stored = await this.store({ checkpoint, records: this.records });
    this.emit("saved", { ...checkpoint, stored });
    this.since = performance.now();
  }

  /** Lets messages in, and waits where they ask for a pause. */
  private async breath(): Promise<void> {
    await turn();
    while (this.paused) await this.paused;
    this.since = performance.now();
  }
}

const { port1: here, port2: there } = new MessageChannel();

/** Lets messages in: a microtask would not, and a timer would wait for some milliseconds. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    here.onmessage = () => resolve();
    there.postMessage(undefined);
  });
}
