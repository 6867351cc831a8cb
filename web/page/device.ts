// Which device computes, what it is called, and how fast it was here.

import { byId, pace } from "./dom";
import { modelUrl } from "./model_url";
import type { DeviceKind } from "./protocol";

interface Adapter {
  info?: { description?: string; vendor?: string; architecture?: string; isFallbackAdapter?: boolean };
  isFallbackAdapter?: boolean;
}

interface WithGpu {
  gpu?: { requestAdapter(options?: unknown): Promise<Adapter | null> };
}

/** Under which name the speeds with this page's model are stored: another model makes other steps. */
const speedsOfModel = (): string => `dvar-speeds ${modelUrl()}`;

/** The choice between GPU and CPU. */
export class DeviceChoice {
  kind: DeviceKind = "cpu";
  /** Resolves when the GPU was looked for: before, nothing should be opened. */
  readonly found: Promise<void>;
  private gpu: { name: string; software: boolean } | undefined;
  private readonly radios = [...byId("device").querySelectorAll("input")];

  /** `changed` is called when the visitor takes the other device. */
  constructor(changed: () => void) {
    for (const radio of this.radios) {
      radio.onchange = () => {
        this.kind = radio.value as DeviceKind;
        this.show();
        changed();
      };
    }
    this.found = this.find();
  }

  /** Looks for a GPU and takes it, unless it is only a program that plays one. */
  private async find(): Promise<void> {
    const { gpu } = navigator as unknown as WithGpu;
    const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
    if (adapter) {
      const { description, vendor, architecture } = adapter.info ?? {};
      const name = description || [vendor, architecture].filter(Boolean).join(" ") || "GPU";
      const software =
        (adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false) ||
        /swiftshader|llvmpipe|software|basic render/i.test(`${name} ${architecture}`);
      this.gpu = { name, software };
      this.kind = software ? "cpu" : "webgpu";
    }
    this.show();
  }

  /** From now on on the CPU, because the GPU failed. */
  fallBack(): void {
    this.kind = "cpu";
    this.show();
  }

  /** Remembers how many steps a second the device makes with the page's model and its default method and batches. */
  remember(kind: DeviceKind, stepsPerSecond: number): void {
    const speeds = { ...this.speeds(), [kind]: stepsPerSecond };
    try {
      localStorage.setItem(speedsOfModel(), JSON.stringify(speeds));
    } catch {
      // only the note beside the switch would be better with it
    }
    this.show();
  }

  private show(): void {
    for (const radio of this.radios) {
      radio.checked = radio.value === this.kind;
      radio.disabled = radio.value === "webgpu" && !this.gpu;
    }
    byId("device-note").textContent = this.note();
    const { webgpu, cpu } = this.speeds();
    byId("measure").hidden = !this.gpu || (webgpu !== undefined && cpu !== undefined);
  }

  private note(): string {
    const { webgpu, cpu } = this.speeds();
    const measured = webgpu && cpu ? webgpu / cpu : undefined;
    if (this.kind === "webgpu") {
      const { name = "", software = false } = this.gpu ?? {};
      if (software && !measured) return `${name}: a GPU played by the CPU, slower than the CPU itself`;
      return measured ? `${name}, measured ${times(measured)} the CPU here` : name;
    }
    const here = cpu ? `CPU (WebAssembly), ${pace(cpu)} steps a second here` : "CPU (WebAssembly)";
    if (!this.gpu) return `${here}. No GPU can be used: this browser offers none by WebGPU`;
    if (this.gpu.software && !measured) return `${here}. This browser's GPU is only played by the CPU`;
    return measured ? `${here}, ${times(1 / measured)} the GPU` : `${here}, usually slower than the GPU`;
  }

  private speeds(): Partial<Record<DeviceKind, number>> {
    try {
      return JSON.parse(localStorage.getItem(speedsOfModel()) ?? "{}") as Partial<Record<DeviceKind, number>>;
    } catch {
      return {};
    }
  }
}

function times(factor: number): string {
  if (factor > 0.95 && factor < 1.05) return "about as fast as";
  const [ratio, word] = factor >= 1 ? [factor, "faster than"] : [1 / factor, "slower than"];
  return `about ${ratio.toFixed(ratio < 10 ? 1 : 0)} times ${word}`;
}
