// The parts of the page, of which some are shown.

import { byId } from "./dom";

const SECTIONS = ["start", "training", "result", "draw"] as const;

type Section = (typeof SECTIONS)[number];

/** Gives the focus to the heading of what is shown, where the element that had it is gone; nothing scrolls. */
export function focusHeading(): void {
  document.querySelector<HTMLElement>("main > section:not([hidden]) [tabindex='-1']")?.focus({ preventScroll: true });
}

/** Shows these sections and hides the others. */
export function showOnly(...shown: Section[]): void {
  for (const section of SECTIONS) byId(section).hidden = !shown.includes(section);
  byId("again").hidden = shown.includes("start") || (shown.length === 1 && shown[0] === "training");
  byId("offer").hidden = true;
  scrollTo({ top: 0 });
}
