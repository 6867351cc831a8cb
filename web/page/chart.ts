// The live chart: losses above, the criterion's ratio and its threshold below.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { rarely } from "./dom";
import type { StepRecord } from "./protocol";

/** Distances between the numbers of steps on the axis. */
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

type Column = (number | null)[];

/** Draws rarely, whatever arrives. */
export class Chart {
  private steps: number[] = [];
  private trained: Column = [];
  private evaluated: Column = [];
  private ratio: Column = [];
  private stop: number | undefined;
  private plots: uPlot[] = [];
  private threshold: number | null = null;

  constructor(private readonly host: HTMLElement) {
    new ResizeObserver(() => this.resize()).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.build());
  }

  /** Starts again with the records of a run. */
  reset(threshold: number | null, records: StepRecord[]): void {
    this.threshold = threshold;
    this.steps = [];
    this.trained = [];
    this.evaluated = [];
    this.ratio = [];
    this.stop = undefined;
    for (const record of records) this.push(record);
    this.build();
  }

  add(record: StepRecord): void {
    this.push(record);
    this.later();
  }

  /** Marks where the run stopped. */
  mark(step: number): void {
    this.stop = step;
    this.later();
  }

  private push(record: StepRecord): void {
    this.steps.push((record.step ?? this.steps.length) + 1);
    this.trained.push(record.loss ?? null);
    this.evaluated.push(record.eval_loss ?? null);
    this.ratio.push(record.ratio ?? null);
  }

  private readonly later = rarely(() => {
    const [losses, ratio] = this.plots;
    losses?.setData([this.steps, this.trained, this.evaluated]);
    ratio?.setData([this.steps, this.ratio, this.steps.map(() => this.threshold)]);
  });

  private resize(): void {
    if (this.plots.length === 0) return this.build();
    for (const plot of this.plots) plot.setSize({ width: this.host.clientWidth, height: plot.height });
  }

  private build(): void {
    for (const plot of this.plots) plot.destroy();
    this.plots = [];
    const width = this.host.clientWidth;
    if (width === 0) return;
    const narrow = width < 480;
    const style = getComputedStyle(this.host);
    const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: color("muted"), font: "12px system-ui", grid: { stroke: color("line"), width: 1 }, ticks: { show: false } };
    const side = narrow ? 42 : 50;
    const common = {
      width,
      padding: [8, 0, 0, 0] as uPlot.Padding,
      cursor: { show: false },
      legend: { show: false },
      hooks: { draw: [(plot: uPlot) => this.drawStop(plot, color("text"))] },
    };
    const x = { time: false, range: (_: uPlot, low: number, high: number): [number, number] => [low, Math.max(high, low + 10)] };
    const losses = new uPlot(
      {
        ...common,
        height: narrow ? 170 : 210,
        scales: { x, evaluated: {}, trained: {} },
        axes: [
          { ...axis, size: 24, incrs: WHOLE },
          { ...axis, scale: "evaluated", size: side, stroke: color("evaluated") },
          { ...axis, scale: "trained", side: 1, size: side, grid: { show: false } },
        ],
        series: [
          {},
          { scale: "trained", stroke: color("trained"), width: 1.25, points: { show: false } },
          { scale: "evaluated", stroke: color("evaluated"), width: 2, points: { show: false }, spanGaps: true },
        ],
      },
      [this.steps, this.trained, this.evaluated],
      this.host,
    );
    const ratio = new uPlot(
      {
        ...common,
        height: narrow ? 130 : 150,
        // from 0 to at least 1, so that the way down to the threshold is seen
        scales: { x, ratio: { range: (_, __, high) => [0, Math.max(1.05, Math.min(high ?? 1, 3))] } },
        axes: [
          { ...axis, size: 24, incrs: WHOLE },
          { ...axis, scale: "ratio", size: side, stroke: color("ratio") },
          { ...axis, scale: "ratio", side: 1, size: side, grid: { show: false }, values: () => [] },
        ],
        series: [
          {},
          { scale: "ratio", stroke: color("ratio"), width: 2, points: { show: false }, spanGaps: true },
          { scale: "ratio", stroke: color("text"), width: 1.5, dash: [6, 4], points: { show: false } },
        ],
      },
      [this.steps, this.ratio, this.steps.map(() => this.threshold)],
      this.host,
    );
    this.plots = [losses, ratio];
  }

  private drawStop(plot: uPlot, color: string): void {
    if (this.stop === undefined) return;
    const { ctx, bbox } = plot;
    const at = plot.valToPos(this.stop, "x", true);
    ctx.save();
    ctx.strokeStyle = color;
    ctx.fillStyle = color;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    ctx.font = `600 ${12 * devicePixelRatio}px system-ui`;
    ctx.textAlign = "right";
    ctx.fillText("stop", at - 6 * devicePixelRatio, bbox.top + 14 * devicePixelRatio);
    ctx.restore();
  }
}
