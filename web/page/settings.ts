// The form of the training options.

import { byId, element } from "./dom";
import type { Options } from "./protocol";
import { ADVANCED, NAMING, type Field } from "./settings_fields";

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

/** Reads and shows options, and shows what is wrong with them where it is wrong. */
export class Settings {
  private readonly controls = new Map<string, { field: Field; control: Control; error: HTMLElement }>();

  /** `methodChanged` is called when another method is chosen. */
  constructor(methodChanged: () => void) {
    byId("naming").append(...NAMING.map((field) => this.row(field)));
    byId("settings").append(...ADVANCED.map((field) => this.row(field)));
    this.controls.get("method")?.control.addEventListener("change", () => {
      this.fitMethod();
      methodChanged();
    });
  }

  /** Shows the options that have a field. */
  show(options: Options): void {
    for (const [option, { field, control }] of this.controls) {
      const value = options[option];
      if (value === undefined || value === null) continue;
      control.value = field.kind === "lines" ? (value as string[]).join("\n") : String(value);
    }
    this.fitMethod();
  }

  /** What the form says; a number that is none is passed on as text, for the check to refuse. */
  read(): Options {
    const options: Options = {};
    for (const [option, { field, control }] of this.controls) {
      if (control.closest("[hidden]")) continue;
      // the browser keeps what was typed in place of a number to itself
      const text = control.validity.badInput ? "no number" : control.value.trim();
      if (field.kind === "lines") {
        const lines = text.split("\n").map((line) => line.trim());
        options[option] = lines.filter((line) => line !== "");
      } else if (field.kind === "number") {
        options[option] = text === "" || Number.isNaN(Number(text)) ? text : Number(text);
      } else {
        options[option] = text;
      }
    }
    return options;
  }

  get method(): string | undefined {
    return this.controls.get("method")?.control.value;
  }

  /** Shows an error of the check at its option; false if the option has no field here. */
  showError(message: string, option: string | undefined): boolean {
    this.clearErrors();
    const shown = this.controls.get(option ?? "");
    if (!shown) return false;
    shown.error.textContent = message;
    shown.control.setAttribute("aria-invalid", "true");
    shown.control.closest("details")?.setAttribute("open", "");
    shown.control.focus();
    return true;
  }

  clearErrors(): void {
    for (const { control, error } of this.controls.values()) {
      error.textContent = "";
      control.removeAttribute("aria-invalid");
    }
  }

  /** Hides what the chosen method does not ask for. */
  private fitMethod(): void {
    for (const { field, control } of this.controls.values()) {
      const row = control.closest<HTMLElement>(".field");
      if (row && field.method) row.hidden = field.method !== this.method;
    }
  }

  private row(field: Field): HTMLElement {
    const control = build(field);
    control.id = `option-${field.option}`;
    const help = element("span", { className: "small", id: `${control.id}-help` });
    help.append(element("code", { textContent: field.option }), ` ${field.help}`);
    const error = element("span", { className: "error", id: `${control.id}-error` });
    control.setAttribute("aria-describedby", `${help.id} ${error.id}`);
    this.controls.set(field.option, { field, control, error });
    const label = element("label", { htmlFor: control.id, textContent: field.label });
    return element("div", { className: `field ${field.kind}` }, label, control, help, error);
  }
}

function build(field: Field): Control {
  if (field.kind === "choice") {
    const choices = field.choices ?? [];
    const options = choices.map(([value, text]) => element("option", { value, textContent: text }));
    return element("select", {}, ...options);
  }
  if (field.kind === "lines") return element("textarea", { rows: 4, spellcheck: false });
  const input = element("input", { type: field.kind, autocomplete: "off" });
  if (field.kind === "number") input.step = String(field.step ?? "any");
  return input;
}
