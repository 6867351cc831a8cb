// What the page and its worker say to each other, and the part of the wasm module they rely on.

/** A picture of the concept, as the visitor gave it. */
export interface Picture {
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Training options by the CLI's names in snake_case; what is missing takes the default. */
export type Options = Record<string, unknown>;

/** A line of `metrics.jsonl`. `step` counts from 0. */
export type StepRecord = Record<string, number>;

/** Where the networks run. */
export type DeviceKind = "webgpu" | "cpu";

/** Which model it is. */
export interface ModelIdentity {
  /** Its folder's, or its file's. */
  name: string;
  /** The address of its folder on this site; a checkpoint of the visitor's has none. */
  url?: string;
  /** Another content has another sum. */
  sum: string;
}

/** What a run says of the model that it began with: stored by an earlier version of the page, it has the name
 * of the visitor's checkpoint alone, and of the site's models nothing. */
export type RunModel = ModelIdentity | string | undefined;

export interface Opened {
  device: { kind: DeviceKind; name: string };
  model: { name: string; resolution: number; has_clip: boolean };
  identity: ModelIdentity;
  defaults: Options;
  /** What the browser refused to keep for a visit without network, if it did. */
  uncached: boolean;
}

export interface Refusal {
  name: string;
  reason: string;
}

export interface Checked {
  refused: Refusal[];
  /** How many of the other pictures have transparent parts. */
  transparent: number;
}

export type SampleKind = "before" | "during" | "after";

/** Pictures that a run drew. */
export interface Samples {
  kind: SampleKind;
  step: number;
  pngs: Uint8Array<ArrayBuffer>[];
  prompts: string[];
  clip_i: number | null;
}

export interface AdapterFile {
  file: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Why a run ended, as in the CLI's `result.json`. */
export interface StopReason {
  reason: "dvar" | "plateau" | "constant_objective" | "no_improvement" | "max_steps" | "interrupted";
  [detail: string]: unknown;
}

export interface LearnedFiles {
  learned: Uint8Array<ArrayBuffer>;
  adapter?: AdapterFile;
}

export interface Finished extends LearnedFiles {
  stop: StopReason;
  text: string;
  steps: number;
  clip_i_before: number | null;
  clip_i: number | null;
  /** The word that was found to start from, where none was given. */
  initializer_token: string | null;
  /** Where words were tried as starts: the best of them, the best first. An earlier version of the page did not store
   * them, nor how the loss fell. */
  words?: string[];
  /** How the loss of the fixed batch fell; null in a run too short to say. */
  fall?: Fall | null;
}

/** How a loss fell, in the CLI's words. */
export interface Fall {
  text: string;
  /** Whether it fell at all. */
  fell: boolean;
  /** Whether more steps should bring more. */
  goes_on: boolean;
}

/** Where a run may go on, and what it has learned by then. */
export interface Checkpoint extends LearnedFiles {
  step: number;
  /** What its steps took; an earlier version of the page did not store it. */
  seconds?: number;
  state: Uint8Array<ArrayBuffer>;
}

/** All that a run needs to be started or to go on. */
export interface Run {
  options: Options;
  pictures: Picture[];
  checkpoint?: Checkpoint | undefined;
  records: StepRecord[];
  samples: Samples[];
  /** Whether it is stored, in place of the run stored before. */
  keep: boolean;
  model?: RunModel;
  /** The options that it began with, where it goes on beyond its end. */
  asked?: Options | undefined;
}

/** What a file of the visitor's holds: an embedding with its token, an adapter, or both. */
export type Held = { adapter: boolean } & ({ token: string; learned: Uint8Array<ArrayBuffer> } | { learned?: never });

export interface DrawRequest {
  prompt: string;
  seed: number;
  num_inference_steps: number;
  guidance_scale: number;
  count: number;
  adapter?: Uint8Array<ArrayBuffer>;
}

/** `class`: pictures of the class are drawn, for methods that want some. */
export type Phase = "loading" | "class" | "encoding" | "searching" | "drawing" | "training";

/** What the page asks for; each is answered once, by `Answer`. */
export interface Requests {
  /** `model` is the address of a folder of this site, or a checkpoint of the visitor's. */
  open: { ask: { device: DeviceKind; model: string | File }; reply: Opened };
  /** What is taken where nothing is chosen, by the method that `options` name. */
  defaults: { ask: { options: Options }; reply: Options };
  check: { ask: { options: Options; pictures: Picture[] }; reply: Checked };
  train: { ask: { run: Run }; reply: Finished };
  /** `name` is the file's. */
  held: { ask: { name: string; bytes: Uint8Array<ArrayBuffer> }; reply: Held };
  draw: {
    ask: { learned: Uint8Array<ArrayBuffer>; request: DrawRequest };
    reply: { pngs: Uint8Array<ArrayBuffer>[] };
  };
}

export type RequestName = keyof Requests;

export type ToWorker =
  | { [N in RequestName]: { type: N; id: number } & Requests[N]["ask"] }[RequestName]
  | { type: "pause" }
  | { type: "resume" }
  | { type: "stop" };

/** What the worker tells without being asked. */
export interface Events {
  /** Bytes of wasm and model so far. */
  loading: { loaded: number; total: number };
  phase: { name: Phase };
  step: { record: StepRecord; seconds: number };
  samples: Samples;
  /** A checkpoint; `stored` says whether the browser's storage took it. */
  saved: Checkpoint & { stored: boolean };
  /** Of a training: of its drawings, or of the search for the word to start from. */
  progress: { done: number; total: number };
  /** Of a drawing that was asked for. */
  drawing: { done: number; total: number };
  /** So many workers compute the steps from now on. */
  workers: { count: number };
}

export type FromWorker =
  | { type: "answer"; id: number; value: unknown }
  | { type: "failed"; id: number; error: Failure }
  /** The worker holds this lock as long as it lives. */
  | { type: "alive"; lock: string }
  /** The worker cannot be used any more. */
  | { type: "broken"; error: Failure }
  | { [N in keyof Events]: { type: N } & Events[N] }[keyof Events];

export type FailureName =
  | "InputError"
  | "ModelError"
  | "DeviceError"
  | "DownloadError"
  | "MemoryError"
  /** The page ended the worker itself. */
  | "Ended"
  | "Error";

/** An error on its way between threads. */
export interface Failure {
  name: FailureName;
  message: string;
  /** The option that is to be changed. */
  option?: string;
  /** What a training had learned before it failed. */
  last_good?: LearnedFiles;
}
