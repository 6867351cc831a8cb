// The workers that compute together: the one that trains, and copies of it that lend a hand.

import type { Helpers, Work } from "./pkg/dvar_web.js";
import type { RunInputs } from "./pool_protocol";
import { most } from "./pool_size";
import { Trial } from "./pool_trial";
import { PoolWorker } from "./pool_worker";
import { modelSize, type Program } from "./program";
import type { DrawRequest } from "./protocol";

type Bytes = Uint8Array<ArrayBuffer>;

/** So many lost workers are replaced; where more are lost, memory must be short. */
const REPLACED = 3;

/** Shares work out. All numbers count the trainer's own worker too. */
export class Pool implements Helpers {
  private helpers: PoolWorker[] = [];
  /** Those of them that have a copy of the run. */
  private ready: PoolWorker[] = [];
  private run: RunInputs | undefined;
  private trial: Trial | undefined;
  /** As many as a trial found worth while, where it had tried more. */
  private worthwhile = Infinity;
  /** The most that were tried. */
  private tried = 1;
  private wanted = 1;
  private replaced = 0;
  private begun = 0;
  private told = 0;

  /** `tell` hears how many work whenever that changes. */
  constructor(
    private readonly program: Program,
    private readonly tell: (workers: number) => void,
  ) {}

  /** This run is the next. */
  take(run: RunInputs): void {
    this.run = run;
    this.told = 0;
    this.say();
  }

  /** It is over: copies of it take no more memory. */
  leave(): void {
    this.run = this.trial = undefined;
    this.ready = [];
    for (const helper of this.helpers) void helper.ask("prepare", { run: undefined });
  }

  // called by wasm

  /** The run has so many shares: opens what can be of use, and each worker joins in when it is ready. */
  begin(shares: number): void {
    this.open(shares);
    // a drawing may have opened more
    for (const helper of this.helpers.splice(this.wanted - 1)) helper.end();
    for (const helper of this.helpers) void this.prepare(helper);
  }

  share(work: Work, count: number): (Promise<object | null> | null)[] {
    this.begun = performance.now();
    const workers = Math.min(this.working, count);
    return Array.from({ length: count }, (_, share) => {
      const helper = this.ready[Math.floor((share * workers) / count) - 1];
      return helper ? helper.ask("compute", { work, share, count }) : null;
    });
  }

  done({ kind }: Work): void {
    if (!this.trial || kind !== "gradient") return;
    const found = this.trial.took((performance.now() - this.begun) / 1000);
    if (found !== undefined) {
      this.tried = this.wanted;
      if (found < this.tried) this.worthwhile = found;
      this.wanted = found;
      this.trial = undefined;
      for (const helper of this.helpers.splice(found - 1)) helper.end();
      this.ready = this.ready.filter((helper) => this.helpers.includes(helper));
    }
    this.say();
  }

  /** The pictures of a request, some of them drawn by others; `own` draws the rest. */
  async draw(
    learned: Bytes,
    request: DrawRequest,
    own: (part: DrawRequest) => Promise<Bytes[]>,
  ): Promise<Bytes[]> {
    this.open(request.count);
    const workers = Math.min(this.helpers.length + 1, request.count);
    const edge = (worker: number) => Math.floor((worker * request.count) / workers);
    const parts = Array.from({ length: workers }, (_, worker) => {
      const part = { ...request, first: edge(worker), end: edge(worker + 1) };
      return { part, drawn: this.helpers[worker - 1]?.ask("draw", { learned, request: part }) };
    });
    const pictures: Bytes[] = [];
    for (const { part, drawn } of parts) pictures.push(...((await drawn) ?? (await own(part))));
    return pictures;
  }

  private get working(): number {
    return Math.min(this.trial?.now ?? this.wanted, this.ready.length + 1);
  }

  private open(shares: number): void {
    this.wanted = Math.min(most(modelSize(this.program)), this.worthwhile, shares);
    while (this.helpers.length < this.wanted - 1) this.add();
  }

  private add(): PoolWorker {
    const helper = new PoolWorker(() => this.lost(helper));
    this.helpers.push(helper);
    void helper.ask("open", { program: this.program });
    return helper;
  }

  /** Gives a worker a copy of the run; then it joins in. */
  private async prepare(helper: PoolWorker): Promise<void> {
    const { run } = this;
    this.ready = this.ready.filter((other) => other !== helper);
    if ((await helper.ask("prepare", { run })) === null || this.run !== run) return;
    this.ready.push(helper);
    this.settle();
  }

  /** A worker ended by itself: another takes its place. */
  private lost(helper: PoolWorker): void {
    this.helpers = this.helpers.filter((other) => other !== helper);
    this.ready = this.ready.filter((other) => other !== helper);
    this.trial = undefined;
    if (this.replaced++ < REPLACED) {
      const next = this.add();
      if (this.run) void this.prepare(next);
    } else {
      this.wanted = this.helpers.length + 1;
    }
    this.settle();
  }

  /** Once all are there, a trial begins. */
  private settle(): void {
    if (this.wanted > this.tried && this.ready.length === this.wanted - 1) this.trial = new Trial(this.wanted);
    this.say();
  }

  private say(): void {
    if (this.run && this.working !== this.told) this.tell((this.told = this.working));
  }
}
