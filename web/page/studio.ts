// The worker with an open model: made when needed, replaced when broken or when the device changes.

import type { DeviceChoice } from "./device";
import { byId } from "./dom";
import { Engine, EngineError, type Handlers } from "./engine";
import type { ModelChoice } from "./model_choice";
import { explain, notify } from "./notice";
import type { DeviceKind, Events, Opened } from "./protocol";

/** An engine, and what it has open. */
export interface Open {
  engine: Engine;
  opened: Opened;
}

/** Keeps one engine with an open model. */
export class Studio {
  private engine: Engine | undefined;
  private opening: Promise<Open> | undefined;
  /** Whether the browser has kept what was opened, so that no bar is needed for it again. */
  private kept = false;

  constructor(
    private readonly device: DeviceChoice,
    private readonly model: ModelChoice,
    private readonly handlers: Omit<Handlers, "loading">,
  ) {}

  /** The engine with its model open, on the chosen device, or on the CPU where the GPU fails. */
  async open(): Promise<Open> {
    const missing = whatIsMissing();
    if (missing !== undefined) throw new Error(missing);
    await this.device.found;
    if (!this.engine?.usable) this.close("The page took another worker");
    return (this.opening ??= this.begin());
  }

  private async begin(): Promise<Open> {
    const engine = new Engine({
      ...this.handlers,
      loading: (event) => this.progress(event),
    });
    this.engine = engine;
    const { kind } = this.device;
    try {
      const opened = await engine.ask("open", { device: kind, model: this.model.asked });
      this.kept = !opened.uncached;
      document.body.dataset.model = "open";
      return { engine, opened };
    } catch (error) {
      if (this.engine === engine) this.close("The model did not open");
      if (this.fallBack(kind, error, "The page goes on on the CPU.")) return this.open();
      throw error;
    } finally {
      byId("load").hidden = true;
    }
  }

  /** Takes the CPU where what failed on this device was a GPU, and says what goes on; tells whether it was. */
  fallBack(kind: DeviceKind, error: unknown, goesOn: string): boolean {
    if (kind === "cpu" || !(error instanceof EngineError) || error.name !== "DeviceError") return false;
    // a drawing and a training may both have been on it
    if (this.device.kind !== "cpu") {
      this.close("The GPU failed");
      this.device.fallBack();
    }
    notify(`${explain(error)} ${goesOn}`);
    return true;
  }

  /** Ends the worker; the next `open` makes a new one. */
  close(message: string): void {
    this.engine?.end(message);
    delete document.body.dataset.model;
    this.engine = undefined;
    this.opening = undefined;
  }

  private progress({ loaded, total }: Events["loading"]): void {
    byId("load").hidden = this.kept || total === 0;
    byId<HTMLProgressElement>("load-bar").value = loaded / Math.max(total, 1);
    const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0);
    byId("load-text").textContent = `Getting the model: ${megabytes(loaded)} of ${megabytes(total)} MB`;
  }
}

/** Why this browser cannot run the program as the page came to it, if it cannot. */
function whatIsMissing(): string | undefined {
  if (!window.isSecureContext) {
    return "This page must come over https, or from localhost: browsers lend storage and GPU to no other";
  }
  if (!("WebAssembly" in window)) {
    return "The program needs WebAssembly, which this browser does not have or has switched off, as Apple's Lockdown Mode does";
  }
  return undefined;
}
