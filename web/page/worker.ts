// The worker: owns wasm and the run, so that the page stays free.

import { type Studio, fall } from "./pkg/dvar_web.js";

import { live } from "./alive";
import { asFailure, breaks } from "./failure";
import { watchDevices } from "./gpu_watch";
import { serve } from "./helper";
import { identify } from "./identity";
import { Downloads } from "./model_files";
import { Pool } from "./pool";
import { HELPER } from "./pool_protocol";
import { fetchProgram, openStudio } from "./program";
import type { DrawRequest, Events, FromWorker, Held, Opened, RequestName, Requests, ToWorker } from "./protocol";
import { RunHost } from "./run_host";
import { hasLocks } from "./storage";

type Bytes = Uint8Array<ArrayBuffer>;

let studio: Studio | undefined;
/** On the CPU, the workers that compute with this one. */
let pool: Pool | undefined;
let host: RunHost | undefined;
/** Set by a panic, whose own message says more than the trap that follows it. */
let panic: string | undefined;

function post(message: FromWorker, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

function emit<N extends keyof Events>(type: N, event: Events[N], transfer?: Transferable[]): void {
  post({ type, ...event } as FromWorker, transfer);
}

function broken(thrown: unknown): void {
  post({ type: "broken", error: asFailure(panic === undefined ? thrown : new Error(panic)) });
}

async function open({ device, model }: Requests["open"]["ask"]): Promise<Opened> {
  const downloads = new Downloads((loaded, total) => emit("loading", { loaded, total }));
  const program = await fetchProgram(model, downloads);
  studio = await openStudio(program, device, (message) => {
    panic = message;
    broken(message);
  });
  if (device === "cpu" && (await hasLocks())) pool = new Pool(program, (count) => emit("workers", { count }));
  return {
    device: studio.device(),
    model: studio.model(),
    identity: await identify(program),
    defaults: studio.defaults({}),
    uncached: !downloads.kept,
  };
}

function opened(): Studio {
  if (!studio) throw new Error("the model is not open");
  return studio;
}

const answers: { [N in RequestName]: (ask: Requests[N]["ask"]) => Promise<Requests[N]["reply"]> } = {
  open,
  async defaults({ options }) {
    return opened().defaults(options);
  },
  async check({ options, pictures }) {
    return opened().check(options, pictures);
  },
  async train({ run }) {
    host = new RunHost(run, emit, pool);
    await host.begin();
    const { options, pictures, checkpoint, samples } = run;
    const state = checkpoint && { state: checkpoint.state };
    const skip_before = samples.some(({ kind }) => kind === "before");
    pool?.take({ options, pictures });
    const trained = await opened()
      .train({ options, pictures, ...state, skip_before }, host)
      .finally(() => pool?.leave());
    const finished = { ...trained, fall: fall(host.losses, trained.window) } as Requests["train"]["reply"];
    await host.finish(finished);
    return finished;
  },
  async held({ name, bytes }) {
    return opened().held(bytes, name) as Held;
  },
  async draw({ learned, request }) {
    const progress = async (done: number, total: number) => emit("drawing", { done, total });
    const draw = (part: DrawRequest) => opened().generate(learned, part, { progress }) as Promise<Bytes[]>;
    return { pngs: await (pool ? pool.draw(learned, request, draw) : draw(request)) };
  },
};

async function answer(message: Extract<ToWorker, { id: number }>): Promise<void> {
  const { id, type } = message;
  try {
    const reply = answers[type] as (ask: unknown) => Promise<unknown>;
    post({ type: "answer", id, value: await reply(message) });
  } catch (thrown) {
    if (breaks(thrown)) broken(thrown);
    else post({ type: "failed", id, error: asFailure(thrown) });
  }
}

/** Serves the page. */
async function servePage(): Promise<void> {
  self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
    if ("id" in data) void answer(data);
    else if (data.type === "pause") host?.pause();
    else if (data.type === "resume") host?.resume();
    else host?.stop();
  };
  // A trap inside wasm's own tasks ends here, and whatever waits for them waits for ever.
  self.addEventListener("error", (event) => {
    event.preventDefault();
    broken(event.error ?? event.message);
  });
  self.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    broken(event.reason);
  });
  watchDevices((message) => post({ type: "broken", error: { name: "DeviceError", message } }));
  if (!(await hasLocks())) return;
  const lock = `dvar-worker-${crypto.randomUUID()}`;
  live(lock, () => post({ type: "alive", lock }));
}

// the workers that compute for this one run the same file
if (self.name.startsWith(HELPER)) serve();
else void servePage();
