// Errors that concern the whole page, and what the visitor can do about them.

import { byId, element } from "./dom";
import { EngineError } from "./engine";
import { focusHeading } from "./sections";

interface Action {
  label: string;
  act: () => void;
}

/** Shows a notice until it is hidden or replaced. */
export function notify(text: string, ...actions: Action[]): void {
  byId("notice-text").textContent = text;
  const close = { label: "Close", act: () => {} };
  const buttons = [...actions, close].map(({ label, act }) => {
    const button = element("button", { type: "button", textContent: label });
    button.onclick = () => {
      hideNotice();
      focusHeading();
      act();
    };
    return button;
  });
  byId("notice-actions").replaceChildren(...buttons);
  byId("notice").hidden = false;
}

export function hideNotice(): void {
  byId("notice").hidden = true;
}

/** An error in the visitor's words: what happened and what to do. */
export function explain(error: unknown): string {
  if (!(error instanceof EngineError)) return sentence(error instanceof Error ? error.message : String(error));
  switch (error.name) {
    case "MemoryError":
      return "The browser's memory was not enough. Close other tabs and try again; a training takes less with a smaller Batch (train_batch_size) or Evaluation batch (eval_batch_size), and with pictures of fewer pixels.";
    case "ModelError":
      return `${sentence(error.message)} The model cannot be used.`;
    case "DeviceError":
      return `The GPU failed: ${sentence(error.message.replace(/^the device failed: /, ""))}`;
    default:
      return `${sentence(error.message)}${remedy(error)}`;
  }
}

/** What to turn, where a message tells of a training and not of a setting. */
function remedy({ message, option }: EngineError): string {
  const told = option !== "learning_rate" || message.includes("learning_rate") || message.includes("lower");
  return told ? "" : " Make Learning rate (learning_rate) smaller and train again.";
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
