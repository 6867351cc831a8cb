// How many workers are worth while: the first steps of a run are made by all, by half of them, and so on,
// which changes nothing of what they compute.

/** Steps by each number of workers; the first is not counted, because programs are compiled in it. */
const STEPS = 4;
/** So much faster more workers must be: they take memory, and warm the machine. */
const WORTH = 1.1;

/** Measures steps by several numbers of workers. */
export class Trial {
  private readonly times: { workers: number; seconds: number }[] = [];
  private steps = 0;
  private best = Infinity;

  constructor(private workers: number) {}

  /** How many are to make the next step. */
  get now(): number {
    return this.workers;
  }

  /** The step took so long; once all numbers have been tried, the one to stay with. */
  took(seconds: number): number | undefined {
    if (this.steps > 0) this.best = Math.min(this.best, seconds);
    if (++this.steps < STEPS) return undefined;
    this.times.push({ workers: this.workers, seconds: this.best });
    if (this.workers > 1) {
      [this.workers, this.steps, this.best] = [Math.ceil(this.workers / 2), 0, Infinity];
      return undefined;
    }
    const fastest = Math.min(...this.times.map((time) => time.seconds));
    return this.times.findLast((time) => time.seconds <= WORTH * fastest)?.workers;
  }
}
