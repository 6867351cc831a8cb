// The worker with an open model: made when needed, replaced when broken or when the device changes.

import type { DeviceChoice } from "./device";
import { byId } from "./dom";
import { Engine, type Handlers } from "./engine";
import type { ModelChoice } from "./model_choice";
import type { Events, Opened } from "./protocol";

/** Keeps one engine with an open model. */
export class Studio {
  private engine: Engine | undefined;
  private opening: Promise<Opened> | undefined;
  /** Whether the model has been opened once on this page, so that no bar is needed. */
  private seen = false;

  constructor(
    private readonly device: DeviceChoice,
    private readonly model: ModelChoice,
    private readonly handlers: Omit<Handlers, "loading">,
  ) {}

  /** The engine with its model open, on the chosen device. */
  async open(): Promise<{ engine: Engine; opened: Opened }> {
    const missing = whatIsMissing();
    if (missing !== undefined) throw new Error(missing);
    await this.device.found;
    if (!this.engine?.usable) this.close("The page took another worker");
    this.engine ??= new Engine({
      ...this.handlers,
      loading: (event) => this.progress(event),
    });
    const { engine } = this;
    this.opening ??= engine.ask("open", { device: this.device.kind, model: this.model.asked });
    try {
      const opened = await this.opening;
      this.seen = true;
      document.body.dataset.model = "open";
      return { engine, opened };
    } catch (error) {
      if (this.engine === engine) this.close("The model did not open");
      throw error;
    } finally {
      byId("load").hidden = true;
    }
  }

  /** Ends the worker; the next `open` makes a new one. */
  close(message: string): void {
    this.engine?.end(message);
    delete document.body.dataset.model;
    this.engine = undefined;
    this.opening = undefined;
  }

  private progress({ loaded, total }: Events["loading"]): void {
    byId("load").hidden = this.seen || total === 0;
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
