// The worker: owns wasm and the run, so that the page stays free.

import init, { Studio, fall, on_panic } from "./pkg/dvar_web.js";
import wasm from "./pkg/dvar_web_bg.wasm?url";

import { asFailure, breaks } from "./failure";
import { watchDevices } from "./gpu_watch";
import { Downloads, fetchModel, source } from "./model_files";
import type { Events, FromWorker, Opened, RequestName, Requests, ToWorker } from "./protocol";
import { RunHost } from "./run_host";

/** Bytes of the wasm file, whose name changes with its content; set by the build. */
declare const WASM_SIZE: number;

let studio: Studio | undefined;
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
  downloads.expect(WASM_SIZE);
  const whole = async (blob: Blob) => blob.size === WASM_SIZE;
  const program = await downloads.file(new URL(wasm, self.location.href).href, whole);
  let make: () => Promise<Studio>;
  if (model instanceof File) {
    make = () => Studio.open_file(device, source(new Map([[model.name, model]])), model.name);
  } else {
    const { name, files } = await fetchModel(model, downloads);
    await downloads.forgetOthers();
    make = () => Studio.open(device, files, name);
  }
  const response = new Response(program, { headers: { "content-type": "application/wasm" } });
  await init({ module_or_path: response });
  on_panic((message: string) => {
    panic = message;
    broken(message);
  });
  studio = await make();
  return {
    device: studio.device(),
    model: studio.model(),
    defaults: studio.defaults(),
    uncached: !downloads.kept,
  };
}

function opened(): Studio {
  if (!studio) throw new Error("the model is not open");
  return studio;
}

const answers: { [N in RequestName]: (ask: Requests[N]["ask"]) => Promise<Requests[N]["reply"]> } = {
  open,
  async check({ options, pictures }) {
    return opened().check(options, pictures);
  },
  async train({ run }) {
    host = new RunHost(run, emit);
    await host.begin();
    const { options, pictures, checkpoint, samples, keep } = run;
    const state = checkpoint && { state: checkpoint.state };
    const skip_before = !keep || samples.some(({ kind }) => kind === "before");
    const trained = await opened().train({ options, pictures, ...state, skip_before }, host);
    const finished = { ...trained, fall: fall(host.losses, trained.window) } as Requests["train"]["reply"];
    await host.finish(finished);
    return finished;
  },
  async draw({ learned, request }) {
    const pngs = await opened().generate(learned, request, {
      async progress(done: number, total: number) {
        emit("drawing", { done, total });
      },
    });
    return { pngs: pngs as Uint8Array<ArrayBuffer>[] };
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
