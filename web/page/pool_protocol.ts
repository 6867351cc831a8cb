// What the worker that trains and those that compute for it say to each other.

import type { Work } from "./pkg/dvar_web.js";
import type { Program } from "./program";
import type { DrawRequest, Options, Picture } from "./protocol";

/** What every copy of a run is prepared from. */
export interface RunInputs {
  options: Options;
  pictures: Picture[];
}

/** What a worker is asked; each is answered once, in this order. */
export interface PoolRequests {
  open: { ask: { program: Program }; reply: true };
  /** Prepares a copy of a run, or drops it. */
  prepare: { ask: { run: RunInputs | undefined }; reply: true };
  compute: { ask: { work: Work; share: number; count: number }; reply: object };
  draw: {
    ask: { learned: Uint8Array<ArrayBuffer>; request: DrawRequest };
    reply: Uint8Array<ArrayBuffer>[];
  };
}

export type PoolRequest = {
  [N in keyof PoolRequests]: { type: N } & PoolRequests[N]["ask"];
}[keyof PoolRequests];

/** What the worker's name begins with; the rest is the name of the lock that it holds as long as it lives. */
export const HELPER = "dvar-helper-";
