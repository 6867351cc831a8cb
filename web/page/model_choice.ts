// Which model learns: the site's, or a checkpoint of the visitor's in one file.

import { byId } from "./dom";
import { modelUrl } from "./model_url";
import { focusHeading } from "./sections";

/** Whether a file is meant as a model; what it really is, wasm finds out. */
export function isModel({ name }: File): boolean {
  return /\.(safetensors|ckpt|pt|pth|bin|gguf)$/i.test(name);
}

/** The model of the page. */
export class ModelChoice {
  private file: File | undefined;

  /** `changed` is called when the visitor takes another model. */
  constructor(private readonly changed: () => void) {
    const input = byId<HTMLInputElement>("model-file");
    byId("load-model").onclick = () => input.click();
    input.onchange = () => {
      this.offer([...(input.files ?? [])]);
      input.value = "";
    };
    document.addEventListener("drop", (event) => {
      if (!byId("start").hidden && !input.disabled) this.offer([...(event.dataTransfer?.files ?? [])]);
    });
    byId("site-model").onclick = () => {
      this.refuse();
      focusHeading();
      this.changed();
    };
  }

  /** What the worker opens. */
  get asked(): string | File {
    return this.file ?? modelUrl();
  }

  /** The name of the visitor's checkpoint, if one was taken. */
  get own(): string | undefined {
    return this.file?.name;
  }

  /** Says what the visitor's file was found to be. */
  opened(name: string): void {
    byId("model-name").textContent = name;
    byId("model-taken").hidden = !this.file;
  }

  /** Takes a model folder of this site, for which the page is opened anew if it is another than the page's. */
  takeFolder(url: string): void {
    if (url === modelUrl()) byId("site-model").click();
    else location.search = String(new URLSearchParams({ model: new URL(url).pathname }));
  }

  /** Back to the site's model. */
  refuse(): void {
    this.file = undefined;
    byId("model-taken").hidden = true;
  }

  private offer(files: File[]): void {
    const file = files.find(isModel);
    if (!file) return;
    this.file = file;
    byId("model-taken").hidden = true;
    this.changed();
  }
}
