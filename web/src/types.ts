/** A model's files by their paths in its folder; read at once, so that only a worker can give it. */
export interface ModelSource {
    size(path: string): number | undefined;
    read(path: string, offset: number, length: number): Uint8Array;
}
export interface Picture { name: string; bytes: Uint8Array }
/** The CLI's flags in snake_case; missing ones take the model's advice or the defaults. */
export type Options = Record<string, unknown>;
export interface DeviceInfo { kind: "webgpu" | "cpu"; name: string }
export interface ModelInfo { name: string; resolution: number; has_clip: boolean }
export interface Checked {
    refused: { name: string; reason: string }[];
    /** How many of the others have transparent parts, whose hidden colours are learned. */
    transparent: number;
}
/** Told how far a drawing is, in denoising steps, or the search for the word to start from. */
export interface Watcher { progress(done: number, total: number): void | Promise<void> }
/** A share of a step or of an evaluation, or the pixels of a picture. */
export type Computed = object;
/** What is shared out; the same for all shares. */
export interface Work { kind: "gradient" | "evaluation" | "picture"; [detail: string]: unknown }
/** Other workers, each with a `Replica` of the run. */
export interface Helpers {
    /** A run of so many shares begins: who is to help gets ready. */
    begin(shares: number): void;
    /** Who computes each of `count` shares: null is the asking worker itself. Another gives what its
     * replica computed, or null if it is gone, and then the asking worker computes that share too. */
    share(work: Work, count: number): (Promise<Computed | null> | null)[];
    /** All shares of the work are there. */
    done(work: Work): void;
}
export interface Host extends Partial<Watcher> {
    /** Who computes with the worker that trains; it trains the same alone. */
    helpers?: Helpers;
    /** `class`: pictures of the class are drawn, for methods that want some. */
    phase(name: "loading" | "class" | "encoding" | "searching" | "drawing" | "training"): void | Promise<void>;
    /** `clip_i` is null where the model brings no scorer. */
    samples(kind: "before" | "during" | "after", step: number, pngs: Uint8Array[],
            prompts: string[], clip_i: number | null): void | Promise<void>;
    /** The record of a step as `metrics.jsonl` has it; the next step waits for the answer. */
    step(record: Record<string, number>): "continue" | "stop" | Promise<"continue" | "stop">;
    /** Every `save_steps` and at the end: what the run goes on from, and what it has learned so far. */
    save(step: number, state: Uint8Array, learned: LearnedFiles): void | Promise<void>;
}
export interface Run {
    options: Options;
    pictures: Picture[];
    /** What `Host.save` was given, to go on from there. */
    state?: Uint8Array;
    /** Leave the samples before the training out, where a resumed run has drawn them already. */
    skip_before?: boolean;
}
/** What every call throws: an `Error` of one sentence, by whose fault it is. */
export interface Failure extends Error {
    name: "InputError" | "ModelError" | "DeviceError" | "MemoryError" | "Error";
    /** The option that is to be changed, by its key in `Options`. */
    option?: string;
    /** Of a training: what it had learned when the last loss was a finite number. */
    last_good?: LearnedFiles;
}
export interface LearnedFiles {
    /** `learned_embeds.safetensors` */
    learned: Uint8Array;
    adapter?: { file: string; bytes: Uint8Array };
}
export interface Finished extends LearnedFiles {
    /** As in the CLI's `result.json`. */
    stop: { reason: string; [figure: string]: unknown };
    text: string;
    steps: number;
    clip_i_before: number | null;
    clip_i: number | null;
    /** The word that was found to start from, where none was given. */
    initializer_token: string | null;
    /** Where words were tried as starts: the best of them, the best first. */
    words: string[];
    /** Of the criterion, for `fall`. */
    window: number;
}
/** How the loss of the fixed batch fell. */
export interface Fall { text: string; fell: boolean; goes_on: boolean }
/** What a file of a visitor's holds. */
export interface Held {
    /** Of the embedding in it, if there is one. */
    token: string | null;
    /** That embedding as `learned_embeds.safetensors`. */
    learned?: Uint8Array;
    /** Whether an adapter is in it. */
    adapter: boolean;
}
export interface Drawing {
    /** `{}` stands for the concept. */
    prompt: string;
    seed: number;
    num_inference_steps?: number;
    guidance_scale?: number;
    count: number;
    /** The first of them that is drawn, and the one after the last: all, if nothing is said. */
    first?: number;
    end?: number;
    adapter?: Uint8Array;
}
