// What the visitor sees while the model learns.

import { Chart } from "./chart";
import { byId, duration, element, figure, pace, rarely, showPictures, withToken } from "./dom";
import type { Options, Phase, Run, Samples, StepRecord } from "./protocol";

const FIGURES = {
  step: "Step, at most",
  loss: "Training loss",
  evaluated: "Deterministic loss",
  ratio: "Ratio",
  speed: "Steps a second",
  elapsed: "Time",
  workers: "Workers",
};

const PHASES: Record<Phase, string> = {
  loading: "Reading the model",
  class: "Drawing pictures of the kind",
  encoding: "Looking at the pictures",
  searching: "Finding the word to start from",
  drawing: "Drawing pictures to compare with",
  training: "Learning",
};

/** The section `#training`. */
export class TrainingView {
  private readonly chart = new Chart(byId("chart"));
  private readonly values = new Map<string, HTMLElement>();
  private readonly bar = byId<HTMLProgressElement>("training-bar");
  private recent: number[] = [];
  private elapsed = 0;
  /** Both are unknown where they were left to a model that is not open. */
  private most: unknown;
  private threshold: number | null = null;
  private shown: StepRecord | undefined;

  constructor() {
    for (const [name, label] of Object.entries(FIGURES)) {
      const value = element("dd", { textContent: "–" });
      this.values.set(name, value);
      byId("figures").append(element("div", {}, element("dt", { textContent: label }), value));
    }
  }

  /** Shows a run at its start, or as far as its records go. */
  begin(options: Options, { checkpoint, records, samples }: Omit<Run, "keep">): void {
    this.recent = [];
    this.elapsed = checkpoint?.seconds ?? 0;
    this.most = options.max_train_steps;
    byId("training-title").replaceChildren(...withToken("Learning ", String(options.placeholder_token)));
    for (const value of this.values.values()) value.textContent = "–";
    byId("previews").hidden = true;
    this.bar.hidden = true;
    this.threshold = typeof options.threshold === "number" ? options.threshold : null;
    this.chart.reset(this.threshold, records);
    this.shown = undefined;
    // not every step is evaluated
    const last = [records.findLast(({ eval_loss }) => eval_loss !== undefined), records.at(-1)];
    for (const record of last) if (record) this.figures(record);
    for (const drawn of samples) this.samples(drawn);
    this.status("Starting");
  }

  /** One sentence about what happens now, also spoken. */
  status(text: string): void {
    byId("status").textContent = text;
  }

  phase(name: Phase): void {
    this.status(PHASES[name]);
    this.bar.hidden = !["class", "drawing", "searching"].includes(name);
    this.bar.value = 0;
  }

  progress(done: number, total: number): void {
    this.bar.value = done / Math.max(total, 1);
  }

  /** Seconds of this step, without pauses and saving. */
  step(record: StepRecord, seconds: number): void {
    this.elapsed += seconds;
    this.recent.push(seconds);
    if (this.recent.length > 10) this.recent.shift();
    this.chart.add(record);
    this.shown = record;
    this.later();
  }

  /** So many workers make the steps from now on. */
  workers(count: number): void {
    this.set("workers", String(count));
  }

  /** Steps a second over the last ones; undefined until there are enough. */
  get speed(): number | undefined {
    if (this.recent.length < 5) return undefined;
    return this.recent.length / this.recent.reduce((sum, seconds) => sum + seconds, 0);
  }

  samples({ kind, step, pngs, prompts }: Samples): void {
    if (kind === "after") return;
    byId("previews").hidden = false;
    byId("preview-title").textContent = kind === "before" ? "Before" : `After step ${step}`;
    showPictures(byId("preview"), pngs, prompts, (i) => `step-${step}-${i + 1}.png`);
  }

  /** Shows fewer records than before, because the run goes on from a checkpoint. */
  rewind({ checkpoint, records }: Pick<Run, "checkpoint" | "records">): void {
    this.recent = [];
    this.elapsed = checkpoint?.seconds ?? 0;
    this.chart.reset(this.threshold, records);
  }

  /** Marks the stop. */
  stopped(steps: number): void {
    this.chart.mark(steps);
  }

  private readonly later = rarely(() => {
    if (this.shown) this.figures(this.shown);
  });

  private figures(record: StepRecord): void {
    const step = (record.step ?? 0) + 1;
    this.set("step", this.most === undefined ? String(step) : `${step} / ${this.most}`);
    this.set("loss", figure(record.loss));
    // not every step is evaluated: the last figures stay
    if (record.eval_loss !== undefined) {
      this.set("evaluated", figure(record.eval_loss));
      this.set("ratio", figure(record.ratio, 3));
    }
    this.set("speed", this.speed === undefined ? "–" : pace(this.speed));
    this.set("elapsed", this.elapsed > 0 ? duration(this.elapsed) : "–");
  }

  private set(name: keyof typeof FIGURES, text: string): void {
    const value = this.values.get(name);
    if (value) value.textContent = text;
  }
}
