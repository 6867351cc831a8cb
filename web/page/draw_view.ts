// Drawing with a learned embedding: prompt, seed, steps.

import { byId, element, showPictures, withToken } from "./dom";
import { explain } from "./notice";
import type { DrawRequest, Options } from "./protocol";

/** An embedding, and the adapter that belongs to it where there is one. */
export interface Learned {
  token: string;
  bytes: Uint8Array<ArrayBuffer>;
  adapter?: Uint8Array<ArrayBuffer>;
}

const CONTROLS = [
  { name: "count", label: "Pictures", help: "how many", step: "1", min: "1" },
  { name: "seed", label: "Seed", help: "the same one draws the same pictures", step: "1", min: "0" },
  { name: "num_inference_steps", label: "Steps", help: "more take longer and are finer", step: "1", min: "1" },
  { name: "guidance_scale", label: "Guidance", help: "how closely the prompt is followed", step: "any", min: "0" },
] as const;

/** The section `#draw`. */
export class DrawView {
  private learned: Learned | undefined;
  /** Whether a drawing is under way. */
  drawing = false;
  private readonly inputs = new Map<string, HTMLInputElement>();
  private readonly bar = byId<HTMLProgressElement>("draw-bar");

  /** `draw` asks the worker. */
  constructor(draw: (learned: Learned, request: DrawRequest) => Promise<Uint8Array<ArrayBuffer>[]>) {
    for (const { name, label, help, step, min } of CONTROLS) {
      const input = element("input", { type: "number", id: `draw-${name}`, step, min, required: true });
      const about = element("span", { className: "small", id: `${input.id}-help`, textContent: help });
      input.setAttribute("aria-describedby", about.id);
      this.inputs.set(name, input);
      byId("draw-controls").append(
        element("div", { className: "field" }, element("label", { htmlFor: input.id, textContent: label }), input, about),
      );
    }
    byId("draw-form").onsubmit = (event) => {
      event.preventDefault();
      void this.submit(draw);
    };
  }

  /** Offers to draw with `learned`, first a prompt of its training where one is known. */
  offer(learned: Learned, defaults: Options, prompt = "a photo of a {}"): void {
    this.learned = learned;
    byId("draw").hidden = false;
    showPictures(byId("drawn"), [], [], () => "");
    byId("draw-status").textContent = this.drawing ? "What was asked for before is still being drawn" : "";
    byId<HTMLInputElement>("prompt").value = prompt.replaceAll("{}", () => learned.token);
    byId("prompt-note").replaceChildren(...withToken("", learned.token, " (or {}) is what was learned"));
    this.set("count", 4);
    this.set("seed", defaults.sampling_seed ?? 37);
    this.set("num_inference_steps", defaults.num_inference_steps ?? 20);
    this.set("guidance_scale", defaults.guidance_scale ?? 4);
  }

  progress({ done, total }: { done: number; total: number }): void {
    this.bar.hidden = false;
    this.bar.value = done / Math.max(total, 1);
  }

  private async submit(draw: (learned: Learned, request: DrawRequest) => Promise<Uint8Array<ArrayBuffer>[]>): Promise<void> {
    const { learned } = this;
    const button = byId<HTMLButtonElement>("draw-button");
    const status = byId("draw-status");
    const wrong = [...this.inputs.values()].find((input) => !input.checkValidity());
    if (wrong) {
      status.textContent = `${wrong.labels?.[0]?.textContent ?? "A setting"}: ${wrong.validationMessage}`;
      wrong.focus();
      return;
    }
    if (!learned || this.drawing) return;
    const { token, adapter } = learned;
    const prompt = byId<HTMLInputElement>("prompt").value.replaceAll("{}", () => token);
    const read = (name: string) => Number(this.inputs.get(name)?.value);
    const request: DrawRequest = {
      prompt,
      seed: read("seed"),
      num_inference_steps: read("num_inference_steps"),
      guidance_scale: read("guidance_scale"),
      count: read("count"),
      ...(adapter && { adapter }),
    };
    const focused = document.activeElement as HTMLElement;
    this.drawing = button.disabled = true;
    status.textContent = "Drawing";
    try {
      const pngs = await draw(learned, request);
      // another may be on offer by now
      if (this.learned !== learned) {
        status.textContent = "";
        return;
      }
      showPictures(byId("drawn"), pngs, pngs.map(() => prompt), (i) => `${request.seed}-${i + 1}.png`);
      status.textContent = `Drew ${pngs.length} of “${prompt}”. Click a picture to save it.`;
    } catch (error) {
      status.textContent = explain(error);
    } finally {
      this.drawing = button.disabled = false;
      // what cannot be used has lost the focus
      if (document.activeElement === document.body) focused.focus();
      this.bar.hidden = true;
    }
  }

  private set(name: string, value: unknown): void {
    const input = this.inputs.get(name);
    if (input) input.value = String(value);
  }
}
