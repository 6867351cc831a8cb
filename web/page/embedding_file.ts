// Reading just as much of a safetensors file as tells what it is; wasm reads and checks the rest.

import type { Learned } from "./draw_view";

/** The tensors' names in a safetensors file, or undefined if it is none. */
function tensorNames(bytes: Uint8Array<ArrayBuffer>): string[] | undefined {
  if (bytes.length < 8) return undefined;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(bytes.length - 8)) return undefined;
  try {
    const header: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + Number(length))));
    if (typeof header !== "object" || header === null) return undefined;
    return Object.keys(header).filter((key) => key !== "__metadata__");
  } catch {
    return undefined;
  }
}

/** What the visitor's files are: an embedding, and with it perhaps an adapter. */
export async function readLearned(files: File[]): Promise<Learned> {
  let embedding: { token: string; bytes: Uint8Array<ArrayBuffer> } | undefined;
  let adapter: Uint8Array<ArrayBuffer> | undefined;
  for (const file of files) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const names = tensorNames(bytes);
    if (!names || names.length === 0) {
      throw new Error(`\`${file.name}\` is no embedding: take a learned_embeds.safetensors`);
    }
    // an adapter has the weights of layers, an embedding a tensor named as its token
    const weights = names.every((name) => name.endsWith(".weight"));
    if (weights ? adapter : embedding) throw new Error("Choose one embedding, and one adapter at most");
    if (weights) adapter = bytes;
    else embedding = { token: names[0] ?? "", bytes };
  }
  if (!embedding) throw new Error("An adapter needs its embedding: choose learned_embeds.safetensors with it");
  return adapter ? { ...embedding, adapter } : embedding;
}
