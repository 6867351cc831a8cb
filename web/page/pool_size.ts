// How many workers a machine has room for.

/** A worker's memory beside its weights: the program and what a step computes. */
const STEP_BYTES = 100e6;
/** Weights are kept in f32, and their files are in f16. */
const WEIGHTS = 2;
/** Of the machine's memory, what a page may take. */
const SHARE = 1 / 4;
/** Gigabytes of a machine whose browser does not say. */
const USUAL = 4;

interface Machine extends WorkerNavigator {
  deviceMemory?: number;
  userAgentData?: { mobile: boolean };
}

/** Workers at most, for a model of so many bytes: one on a phone, else by its cores and its memory. */
export function most(modelBytes: number): number {
  const { deviceMemory = USUAL, hardwareConcurrency, userAgent, userAgentData } = navigator as unknown as Machine;
  // older browsers let no worker have workers
  if (typeof Worker === "undefined") return 1;
  if (userAgentData?.mobile ?? /Mobi|Android/.test(userAgent)) return 1;
  const room = (deviceMemory * 1e9 * SHARE) / (WEIGHTS * modelBytes + STEP_BYTES);
  return Math.max(1, Math.min(hardwareConcurrency, Math.floor(room)));
}
