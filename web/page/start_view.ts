// The first screen: what to learn from, and the button.

import { arriving, conceptOptions, showConcepts } from "./concepts";
import { byId } from "./dom";
import { notify } from "./notice";
import { Pictures } from "./pictures";
import type { Options, Picture, Refusal } from "./protocol";
import { Settings } from "./settings";
import { ADVANCED } from "./settings_fields";

/** Prompts for the visitor's own pictures, by what these share. */
const PROMPTS: Record<string, string[]> = {
  object: ["a photo of a {}", "two {}", "a {} on a blue background", "a small {}"],
  style: ["a cat in the style of {}", "a car in the style of {} on a blue background", "a sunflower in the style of {}", "a small robot in the style of {}"],
};

/** Name and prompts for the visitor's own pictures. */
const OWN: Options = {
  placeholder_token: "<my-thing>",
  initializer_token: "",
  learnable_property: "object",
  validation_prompt: PROMPTS.object,
};

/** What suits a page, where drawing is slow and a tab is closed at any time. */
const HERE: Options = { sample_frequency: 50, save_steps: 5, n_images_per_val_prompt: 1 };

/** What waits while a run is started: it would start another, change the device or the model under it, or leave what the
 * run then takes the page back to. */
const WAITING = ["train", "device", "measure", "offer-go", "offer-model", "offer-discard", "load-model", "model-file", "site-model", "load-embedding", "again-button"];

/** The section `#start`. */
export class StartView {
  private readonly settings: Settings;
  private readonly pictures = new Pictures((own) => this.ownPictures(own), (count) => this.status(count));
  private touched = new Set<string>();
  /** What had the focus before the buttons were made to wait. */
  private focused = document.body;

  /** `train` is called by the button and by Enter, `methodChanged` when another method is chosen. */
  constructor(train: (options: Options, pictures: Picture[]) => void, methodChanged: () => void) {
    this.settings = new Settings(() => {
      this.settings.show(Object.fromEntries(this.advised.map((option) => [option, ""])));
      methodChanged();
    });
    const form = byId("form");
    form.addEventListener("input", (event) => {
      const { id, value } = event.target as HTMLInputElement;
      if (id.startsWith("option-")) this.touched.add(id.slice("option-".length));
      if (id === "option-learnable_property") this.suggest({ validation_prompt: PROMPTS[value] });
      this.settings.clearErrors();
    });
    form.onsubmit = (event) => {
      event.preventDefault();
      if (!this.pictures.reading && !arriving()) return this.submit(train);
      this.status(this.pictures.reading ? "Reading the pictures" : "Getting the pictures of the example");
      void this.arrived().then((taken) => {
        // the visitor may have turned to something else
        if (byId<HTMLButtonElement>("train").disabled) return;
        this.status("");
        if (taken && !byId("start").hidden) this.submit(train);
      });
    };
    void showConcepts((concept, pictures) => {
      this.suggest(conceptOptions(concept));
      this.pictures.take(pictures);
      this.status("");
    }).catch(() => notify("The examples did not arrive. Your own pictures can still be used."));
  }

  /** Waits for the pictures that are on their way; tells whether they were taken. */
  private async arrived(): Promise<boolean> {
    return (await this.pictures.reading) !== false && (await arriving()) !== false;
  }

  private submit(train: (options: Options, pictures: Picture[]) => void): void {
    // those refused before too: the check says again what it leaves out
    const { chosen } = this.pictures;
    if (chosen.length === 0) this.status("Take an example or add pictures first.");
    else train(this.chosen.options, chosen);
  }

  /** Fills in the model's values where the visitor has not chosen. */
  defaults(defaults: Options): void {
    const values: Options = { ...defaults, ...HERE };
    const open = ADVANCED.filter(({ option }) => option in values && !this.touched.has(option));
    this.settings.show(Object.fromEntries(open.map(({ option }) => [option, values[option]])));
  }

  /** The numbers that the visitor has left to the model, which may tell others for another method. */
  private get advised(): string[] {
    const numbers = ADVANCED.filter(({ kind, option }) => kind === "number" && !(option in HERE));
    return numbers.map(({ option }) => option).filter((option) => !this.touched.has(option));
  }

  /** Marks pictures that cannot be used. */
  refuse(refused: Refusal[]): void {
    this.pictures.refuse(refused);
  }

  /** The options that the model's values depend on. */
  get method(): Options {
    return { method: this.settings.method };
  }

  /** What the form says now. */
  get chosen(): { options: Options; pictures: Picture[] } {
    return { options: { ...HERE, ...this.settings.read() }, pictures: this.pictures.good };
  }

  /** Shows an error at its field, or below the button. */
  error(message: string, option: string | undefined): void {
    if (this.settings.showError(message, option)) this.status("One setting needs another value.");
    else this.status(message);
  }

  status(text: string): void {
    byId("form-status").textContent = text;
  }

  /** While a run or a measurement is prepared or made, the buttons wait. */
  busy(busy: boolean): void {
    if (busy) this.focused = document.activeElement as HTMLElement;
    for (const id of WAITING) byId<HTMLButtonElement | HTMLInputElement | HTMLFieldSetElement>(id).disabled = busy;
    // what cannot be used has lost the focus
    if (!busy && document.activeElement === document.body) this.focused.focus();
  }

  private ownPictures(own: boolean): void {
    // an example has its name already
    if (own) byId("chosen").append(byId("naming"));
    else byId("settings").before(byId("naming"));
    if (own) this.suggest(OWN);
  }

  /** Shows what suits the pictures; prompts that the visitor has written stay. */
  private suggest(options: Options): void {
    this.settings.show(this.touched.has("validation_prompt") ? { ...options, validation_prompt: undefined } : options);
  }
}
