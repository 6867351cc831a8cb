// How fast GPU and CPU really are here: a few steps on each, of which nothing is kept.

import { Engine } from "./engine";
import type { DeviceKind, Options, Picture, Samples } from "./protocol";

/** The first steps on a GPU compile its programs; on the CPU they find out how many workers are worth while. */
const WARM = { webgpu: 3, cpu: 12 };
/** As many as lie from one evaluation of the default model to the next. */
const MEASURED = 4;

/** Steps a second of one device with these options. */
export async function measure(
  device: DeviceKind,
  model: string | File,
  options: Options,
  pictures: Picture[],
): Promise<number> {
  const seconds: number[] = [];
  const engine = new Engine({ step: (event) => seconds.push(event.seconds) });
  try {
    await engine.ask("open", { device, model });
    const steps = WARM[device] + MEASURED;
    // all of them, whatever the rule says of so few
    const short = { min_train_steps: steps, max_train_steps: steps, num_inference_steps: 1, validation_prompt: ["{}"], sample_frequency: undefined };
    // as if the pictures before were drawn already
    const before: Samples = { kind: "before", step: 0, pngs: [], prompts: [], clip_i: null };
    const run = { options: { ...options, ...short }, pictures, records: [], samples: [before], keep: false };
    await engine.ask("train", { run });
  } finally {
    engine.end("Measured");
  }
  const warm = seconds.slice(WARM[device]);
  return warm.length / warm.reduce((sum, each) => sum + each, 0);
}
