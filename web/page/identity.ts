// Which model was fetched, told from its content.

import { digest } from "./model_files";
import type { Program } from "./program";
import type { ModelIdentity } from "./protocol";

/** A checkpoint has gigabytes: so many pieces of so many bytes are looked at, spread over all of it. */
const PIECES = 64;
const PIECE = 65_536;

/** What a run stores, to go on with the same model alone. */
export async function identify({ model }: Program): Promise<ModelIdentity> {
  if (!(model instanceof File)) return { name: model.name, url: model.url, sum: model.sum };
  const step = Math.max(PIECE, Math.ceil(model.size / PIECES));
  const parts: BlobPart[] = [`${model.size}\n`];
  for (let at = 0; at < model.size; at += step) parts.push(model.slice(at, at + PIECE));
  return { name: model.name, sum: await digest(new Blob(parts)) };
}
