// What the browser lends this page to keep things. Where site data are blocked, each kind of storage
// throws or is missing: the page then works, and keeps nothing.

import { FOLDER } from "./folder";
import { SavedRun } from "./saved_run";

/** The cache of wasm and models. */
export const CACHE = `dvar-files ${FOLDER}`;

/** Whose turn it is to store a run: this tab's, another's that is learning, or nobody's. */
export type Turn = "free" | "taken" | "refused";

let asked: Promise<boolean> | undefined;

/** Whether the browser keeps anything for this page. */
export function keeps(): Promise<boolean> {
  return (asked ??= works(async () => {
    await caches.open(CACHE);
    await new SavedRun().open();
    await requestLock();
  }));
}

/** Whether there are locks, by which it is noticed that another worker has ended. */
export function hasLocks(): Promise<boolean> {
  return works(requestLock);
}

/** Calls `act` when it is known whose turn it is: two tabs would mix their runs. */
export async function alone(act: (turn: Turn) => Promise<void>): Promise<void> {
  if (!(await keeps())) return act("refused");
  await navigator.locks.request(`dvar-run ${FOLDER}`, { ifAvailable: true }, (lock) => act(lock ? "free" : "taken"));
}

async function requestLock(): Promise<void> {
  await navigator.locks.request("dvar-probe", { mode: "shared" }, () => {});
}

async function works(ask: () => Promise<void>): Promise<boolean> {
  try {
    await ask();
    return true;
  } catch {
    return false;
  }
}
