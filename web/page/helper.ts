// A worker that computes for the one that trains: it has a copy of the program, of the model and of the run.

import { live } from "./alive";
import { asFailure } from "./failure";
import { Replica, type Studio } from "./pkg/dvar_web.js";
import { HELPER, type PoolRequest, type PoolRequests } from "./pool_protocol";
import { openStudio } from "./program";

let studio: Studio | undefined;
let replica: Replica | undefined;

const answers: { [N in keyof PoolRequests]: (ask: PoolRequests[N]["ask"]) => Promise<PoolRequests[N]["reply"]> } = {
  async open({ program }) {
    studio = await openStudio(program, "cpu", () => self.close());
    return true;
  },
  async prepare({ run }) {
    replica?.free();
    replica = run && (await Replica.open(studio!, run));
    return true;
  },
  async compute({ work, share, count }) {
    return replica!.compute(work, share, count);
  },
  async draw({ learned, request }) {
    return (await studio!.generate(learned, request, { progress() {} })) as Uint8Array<ArrayBuffer>[];
  },
};

/**
 * Serves until it is ended. What fails ends it, but for a request that cannot be met: whoever asked
 * computes it for himself, and sees why.
 */
export function serve(): void {
  // whoever waits for the lock is given it when this worker is no more: nothing may fail before it is held
  let last: Promise<unknown> = new Promise<void>((held) => {
    live(self.name, () => {
      self.postMessage(HELPER);
      held();
    });
  });
  self.onmessage = ({ data }: MessageEvent<PoolRequest>) => {
    const answer = answers[data.type] as (ask: PoolRequest) => Promise<unknown>;
    last = last
      .then(async () => self.postMessage(await answer(data)))
      .catch((thrown: unknown) => {
        if (asFailure(thrown).name === "InputError") self.postMessage(null);
        else self.close();
      });
  };
  for (const failure of ["error", "unhandledrejection"]) {
    self.addEventListener(failure, (event) => {
      event.preventDefault();
      self.close();
    });
  }
}
