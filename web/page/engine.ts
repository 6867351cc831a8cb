// The page's end of the worker: questions with one answer, and events.

import { outlive } from "./alive";
import type {
  Events,
  Failure,
  FailureName,
  FromWorker,
  LearnedFiles,
  RequestName,
  Requests,
  ToWorker,
} from "./protocol";

/** A failure that the worker reported. */
export class EngineError extends Error {
  override name: FailureName;
  readonly option: string | undefined;
  readonly lastGood: LearnedFiles | undefined;

  constructor(failure: Failure) {
    super(failure.message);
    this.name = failure.name;
    this.option = failure.option;
    this.lastGood = failure.last_good;
  }
}

/** What is done with what the worker tells. */
export type Handlers = { [N in keyof Events]?: (event: Events[N]) => void };
type Pending = { resolve(value: unknown): void; reject(error: EngineError): void };

/** One worker. After a failure that breaks it, or `end`, a new engine must be made. */
export class Engine {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private readonly pending = new Map<number, Pending>();
  private broken: EngineError | undefined;
  private asked = 0;

  constructor(private readonly handlers: Handlers) {
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      const message = event.message || "The program did not load; reload the page";
      this.break({ name: "Error", message });
    };
  }

  /** Asks, and waits for the answer. */
  ask<N extends RequestName>(
    type: N,
    ask: Requests[N]["ask"],
    transfer: Transferable[] = [],
  ): Promise<Requests[N]["reply"]> {
    if (this.broken) return Promise.reject(this.broken);
    const id = ++this.asked;
    this.worker.postMessage({ type, id, ...ask }, transfer);
    return new Promise<unknown>((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
    }) as Promise<Requests[N]["reply"]>;
  }

  /** Pauses, resumes or stops the training. */
  tell(type: "pause" | "resume" | "stop"): void {
    this.worker.postMessage({ type } satisfies ToWorker);
  }

  /** Ends the worker; whatever waits for an answer is told `message`. */
  end(message: string): void {
    this.break({ name: "Ended", message });
  }

  get usable(): boolean {
    return this.broken === undefined;
  }

  private receive(message: FromWorker): void {
    if (this.broken) return;
    if (message.type === "answer" || message.type === "failed") {
      const pending = this.pending.get(message.id);
      this.pending.delete(message.id);
      if (message.type === "answer") pending?.resolve(message.value);
      else pending?.reject(new EngineError(message.error));
    } else if (message.type === "broken") {
      this.break(message.error);
    } else if (message.type === "alive") {
      outlive(message.lock, () => this.break({ name: "Error", message: "The program ended without saying why: memory may have been short" }));
    } else {
      const handler = this.handlers[message.type] as ((event: typeof message) => void) | undefined;
      handler?.(message);
    }
  }

  private break(failure: Failure): void {
    if (this.broken) return;
    this.broken = new EngineError(failure);
    this.worker.terminate();
    for (const { reject } of this.pending.values()) reject(this.broken);
    this.pending.clear();
  }
}
