// What the visitor's files are, which wasm reads.

import type { Learned } from "./draw_view";
import type { Held } from "./protocol";

type Bytes = Uint8Array<ArrayBuffer>;

/** The page, the worker and wasm each have a copy of what is read. */
const MOST_BYTES = 1e9;

/** An embedding, and with it perhaps an adapter; `held` says what a file holds. */
export async function readLearned(files: File[], held: (name: string, bytes: Bytes) => Promise<Held>): Promise<Learned> {
  let embedding: { token: string; bytes: Bytes } | undefined;
  let adapter: Bytes | undefined;
  for (const file of files) {
    if (file.size > MOST_BYTES) {
      const size = `${(file.size / 1e9).toFixed(1)} GB`;
      throw new Error(`\`${file.name}\` has ${size}, for which a page has no room: take the \`dvar\` program. A checkpoint to learn on can be dropped on this page`);
    }
    const bytes = new Uint8Array(await file.arrayBuffer());
    const found = await held(file.name, bytes);
    if ((found.learned && embedding) || (found.adapter && adapter)) {
      throw new Error("Choose one embedding, and one adapter at most");
    }
    if (found.learned) embedding = { token: found.token, bytes: found.learned };
    if (found.adapter) adapter = bytes;
  }
  if (!embedding) throw new Error("An adapter needs its embedding: choose learned_embeds.safetensors with it");
  return adapter ? { ...embedding, adapter } : embedding;
}
