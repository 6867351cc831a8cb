// Small acts on the parts of a run.

import type { Engine } from "./engine";
import type { Checked, Finished, Options, Run, Samples } from "./protocol";

/** Options that were left empty are left open. */
export function withoutEmpty(options: Options): Options {
  const empty = (value: unknown) => value === "" || (Array.isArray(value) && value.length === 0);
  return Object.fromEntries(Object.entries(options).filter(([, value]) => !empty(value)));
}

/** Options with the model's own for their method and criterion where they are left open. */
export async function filled(engine: Engine, options: Options): Promise<Options> {
  const { method, stopping } = options;
  return { ...(await engine.ask("defaults", { options: { method, stopping } })), ...options };
}

/** Whether a run makes the steps that it would by default, so that their speed is the device's. */
export function isUsual(options: Options, defaults: Options): boolean {
  return ["method", "train_batch_size", "eval_batch_size"].every((option) => options[option] === defaults[option]);
}

/** Whether a run's pictures are less like the visitor's than before it began. */
export function sank({ clip_i_before, clip_i }: Finished): boolean {
  return clip_i_before !== null && clip_i !== null && clip_i < clip_i_before;
}

/** Whether a run learned what it was to learn, as far as its figures tell. */
export function hasLearned(finished: Finished): boolean {
  const { fall, stop: { reason } } = finished;
  if (reason === "interrupted" || reason === "constant_objective" || sank(finished)) return false;
  // of a run too short for figures its rule knows
  return fall ? fall.fell : reason !== "max_steps";
}

/** What is to be told of pictures before they are learned. */
export function aboutPictures(given: number, { refused, transparent }: Checked): string[] {
  const left = `Learning from ${given - refused.length} of ${given} pictures. Left out: ${refused.map(({ reason }) => reason).join("; ")}.`;
  const some = transparent === 1 ? "1 picture is" : `${transparent} pictures are`;
  const hidden = `${some} transparent in parts, where the hidden colours of the file are learned: save with a background to choose them.`;
  return [...(refused.length > 0 ? [left] : []), ...(transparent > 0 ? [hidden] : [])];
}

/** Drops what came after a run's checkpoint, because it comes again. */
export function goBack(run: Run): void {
  const step = run.checkpoint?.step ?? 0;
  const stays = ({ kind, step: drawn }: Samples) => kind === "before" || (kind === "during" && drawn <= step);
  run.records = run.records.filter((record) => (record.step ?? 0) < step);
  run.samples = step > 0 ? run.samples.filter(stays) : [];
}
