// The concept's pictures: from files, the clipboard, a drop, or an example.

import { unpressConcepts } from "./concepts";
import { byId, element } from "./dom";
import { isModel } from "./model_choice";
import { notify } from "./notice";
import type { Picture, Refusal } from "./protocol";

/** Whether the system calls a file a picture, or does not know; what it really is, wasm finds out. */
function mayBePicture({ type }: File): boolean {
  return type === "" || type.startsWith("image/");
}

function names(files: File[]): string {
  return files.map(({ name }) => `\`${name}\``).join(", ");
}

/** The chosen pictures and how they look. */
export class Pictures {
  chosen: Picture[] = [];
  /** Whether the pictures are the visitor's, not an example's. */
  private own = false;
  private refused = new Map<string, string>();

  /** `changed` is called with whether the pictures are the visitor's own. */
  constructor(private readonly changed: (own: boolean) => void) {
    const files = byId<HTMLInputElement>("files");
    files.onchange = () => {
      void this.add(files.files);
      // the same file may be chosen again
      files.value = "";
    };
    document.addEventListener("paste", (event) => {
      if (!byId("start").hidden) void this.add(event.clipboardData?.files);
    });
    const drop = byId("drop");
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.classList.toggle("over", !byId("start").hidden);
    });
    document.addEventListener("dragleave", () => drop.classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      if (!byId("start").hidden) void this.add(event.dataTransfer?.files);
    });
  }

  /** Takes pictures of an example in place of the ones before. */
  take(pictures: Picture[]): void {
    this.chosen = pictures;
    this.own = false;
    this.changed(false);
    this.refuse([]);
  }

  /** Marks the pictures that the check refused. */
  refuse(refused: Refusal[]): void {
    this.refused = new Map(refused.map(({ name, reason }) => [name, reason]));
    this.show();
  }

  private show(): void {
    byId("chosen").hidden = this.chosen.length === 0;
    const list = byId("pictures");
    for (const image of list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    list.replaceChildren(...this.chosen.map((picture) => this.tile(picture)));
  }

  /** The pictures that were not refused. */
  get good(): Picture[] {
    return this.chosen.filter(({ name }) => !this.refused.has(name));
  }

  private async add(files: FileList | null | undefined): Promise<void> {
    // the list is emptied with the input that it belongs to; models are taken elsewhere
    const given = [...(files ?? [])].filter((file) => !isModel(file));
    const read: Picture[] = [];
    // a video may have gigabytes, which nobody reads for nothing
    const others = given.filter((file) => !mayBePicture(file));
    const unreadable: File[] = [];
    for (const file of given.filter(mayBePicture)) {
      try {
        read.push({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) });
      } catch {
        unreadable.push(file);
      }
    }
    const told = [
      ...(others.length > 0 ? [`Only pictures are taken, and not ${names(others)}.`] : []),
      ...(unreadable.length > 0 ? [`Give the pictures themselves, not their folder: ${names(unreadable)} cannot be read.`] : []),
    ];
    if (told.length > 0) notify(told.join(" "));
    if (read.length === 0) return;
    unpressConcepts();
    const chosen = this.own ? [...this.chosen] : [];
    if (!this.own) this.refused.clear();
    for (const { name, bytes } of read) chosen.push({ name: this.unused(name, chosen), bytes });
    this.chosen = chosen;
    if (!this.own) this.changed(true);
    this.own = true;
    this.show();
  }

  /** Names are keys; pasted pictures are all called the same. */
  private unused(name: string, taken: Picture[]): string {
    let free = name;
    for (let i = 2; taken.some((picture) => picture.name === free); i++) {
      free = name.replace(/(\.[^.]*)?$/, (ending) => ` ${i}${ending}`);
    }
    return free;
  }

  private tile(picture: Picture): HTMLElement {
    const src = URL.createObjectURL(new Blob([picture.bytes]));
    const image = element("img", { src, alt: picture.name });
    const remove = element("button", { type: "button", textContent: "×", title: `Remove ${picture.name}` });
    remove.setAttribute("aria-label", `Remove ${picture.name}`);
    remove.onclick = () => {
      this.chosen = this.chosen.filter((other) => other !== picture);
      this.refused.delete(picture.name);
      this.show();
      byId("files").focus();
    };
    const reason = this.refused.get(picture.name);
    const tile = element("li", { className: reason ? "refused" : "" }, image, remove);
    if (reason) tile.append(element("span", { className: "error", textContent: `Left out: ${reason}` }));
    return tile;
  }
}
