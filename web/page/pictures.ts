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

/** Whether what is pasted or dropped is a text that the field under it takes by itself. */
function isForField(target: EventTarget | null, data: DataTransfer | null): boolean {
  const field = target instanceof Element && target.matches("textarea, input:not([type=file], [type=radio])");
  return field && data?.types.includes("text/plain") === true;
}

/** The chosen pictures and how they look. */
export class Pictures {
  chosen: Picture[] = [];
  /** Whether the pictures are the visitor's, not an example's. */
  private own = false;
  private refused = new Map<string, string>();
  /** While files are read: whether any of those that were given last can be taken. */
  reading: Promise<boolean> | undefined;

  /** `changed` is called with whether the pictures are the visitor's own, `counted` with how many there are when the
   * visitor has added or removed some. */
  constructor(
    private readonly changed: (own: boolean) => void,
    private readonly counted: (count: string) => void,
  ) {
    const files = byId<HTMLInputElement>("files");
    files.onchange = () => {
      this.give(files.files);
      // the same file may be chosen again
      files.value = "";
    };
    document.addEventListener("paste", (event) => {
      const { target, clipboardData } = event;
      if (!byId("start").hidden && !isForField(target, clipboardData)) this.give(clipboardData?.files);
    });
    const drop = byId("drop");
    document.addEventListener("dragover", (event) => {
      if (isForField(event.target, event.dataTransfer)) return;
      event.preventDefault();
      drop.classList.toggle("over", !byId("start").hidden);
    });
    document.addEventListener("dragleave", () => drop.classList.remove("over"));
    document.addEventListener("drop", (event) => {
      if (isForField(event.target, event.dataTransfer)) return;
      event.preventDefault();
      drop.classList.remove("over");
      if (!byId("start").hidden) this.give(event.dataTransfer?.files);
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

  /** Takes files when those before them have been read, which takes long where a phone has to fetch them first. */
  private give(files: FileList | null | undefined): void {
    // the list is emptied with the input that it belongs to; models are taken elsewhere
    const given = [...(files ?? [])].filter((file) => !isModel(file));
    if (given.length === 0) return;
    const reading = Promise.resolve(this.reading)
      .then(() => this.add(given))
      .finally(() => {
        if (this.reading === reading) this.reading = undefined;
      });
    this.reading = reading;
  }

  /** Takes those files that can be read; tells whether there are any. */
  private async add(given: File[]): Promise<boolean> {
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
    // only of what it calls a picture the system knows that it is no folder
    const folders = unreadable.filter(({ type }) => type === "");
    const away = unreadable.filter(({ type }) => type !== "");
    const told = [
      ...(others.length > 0 ? [`Only pictures are taken, and not ${names(others)}.`] : []),
      ...(folders.length > 0 ? [`Give the pictures themselves, not their folder: ${names(folders)} cannot be read.`] : []),
      ...(away.length > 0 ? [`${names(away)} cannot be read: what is kept online must be saved on this device first.`] : []),
    ];
    if (told.length > 0) notify(told.join(" "));
    if (read.length === 0) return false;
    unpressConcepts();
    const chosen = this.own ? [...this.chosen] : [];
    if (!this.own) this.refused.clear();
    for (const { name, bytes } of read) chosen.push({ name: this.unused(name, chosen), bytes });
    this.chosen = chosen;
    if (!this.own) this.changed(true);
    this.own = true;
    this.show();
    this.count();
    return true;
  }

  private count(): void {
    const { length } = this.good;
    this.counted(length === 1 ? "1 picture to learn from" : `${length} pictures to learn from`);
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
      this.count();
      byId("files").focus();
    };
    const reason = this.refused.get(picture.name);
    const tile = element("li", { className: reason ? "refused" : "" }, image, remove);
    if (reason) tile.append(element("span", { className: "error", textContent: `Left out: ${reason}` }));
    return tile;
  }
}
