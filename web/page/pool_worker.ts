// The trainer's end of a worker that computes for it.

import { outlive } from "./alive";
import { HELPER, type PoolRequest, type PoolRequests } from "./pool_protocol";

/** Another worker of the same program. It may end at any time; whatever was asked is then answered by `null`. */
export class PoolWorker {
  private readonly worker: Worker;
  /** Those who wait, in the order of their questions. */
  private readonly waiting: ((answer: unknown) => void)[] = [];
  private gone = false;

  /** `lost` is called when it ends without being told to. */
  constructor(private readonly lost: () => void) {
    const name = HELPER + crypto.randomUUID();
    // the same file: the worker looks at its name
    this.worker = new Worker(self.location.href, { type: "module", name });
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.lose();
    };
    this.worker.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (data !== HELPER) return this.waiting.shift()?.(data);
      outlive(name, () => this.lose());
    };
  }

  ask<N extends keyof PoolRequests>(type: N, ask: PoolRequests[N]["ask"]): Promise<PoolRequests[N]["reply"] | null> {
    if (this.gone) return Promise.resolve(null);
    this.worker.postMessage({ type, ...ask } as PoolRequest);
    return new Promise((resolve) => this.waiting.push(resolve as (answer: unknown) => void));
  }

  end(): void {
    this.gone = true;
    this.worker.terminate();
    for (const resolve of this.waiting.splice(0)) resolve(null);
  }

  private lose(): void {
    if (this.gone) return;
    this.end();
    this.lost();
  }
}
