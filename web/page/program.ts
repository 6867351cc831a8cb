// The program and the model: fetched once, and opened in each worker that computes.

import init, { Studio, on_panic } from "./pkg/dvar_web.js";
import wasm from "./pkg/dvar_web_bg.wasm?url";

import { type Downloads, fetchModel, source } from "./model_files";
import type { DeviceKind, ModelIdentity } from "./protocol";

/** Bytes of the wasm file, whose name changes with its content; set by the build. */
declare const WASM_SIZE: number;

/** What another worker can be sent: the compiled code is one for all, and files are read where they lie. */
export interface Program {
  module: WebAssembly.Module;
  /** The files of a folder by their paths in it, or a checkpoint of the visitor's. */
  model: (ModelIdentity & { files: Map<string, Blob> }) | File;
}

/** Fetches wasm and `model`: the address of a folder of this site, or a checkpoint of the visitor's. */
export async function fetchProgram(model: string | File, downloads: Downloads): Promise<Program> {
  downloads.expect(WASM_SIZE);
  const whole = async (blob: Blob) => blob.size === WASM_SIZE;
  // the model first, whose list says how much comes in all: the bar would go back
  const files = model instanceof File ? model : await fetchModel(model, downloads);
  const code = await downloads.file(new URL(wasm, self.location.href).href, whole);
  if (!(model instanceof File)) await downloads.forgetOthers();
  const response = new Response(code, { headers: { "content-type": "application/wasm" } });
  return { module: await WebAssembly.compileStreaming(response), model: files };
}

/** Opens the model in this worker. `panicked` is told what a panic says. */
export async function openStudio(
  { module, model }: Program,
  device: DeviceKind,
  panicked: (message: string) => void,
): Promise<Studio> {
  await init({ module_or_path: module });
  on_panic(panicked);
  if (model instanceof File) return Studio.open_file(device, source(new Map([[model.name, model]])), model.name);
  return Studio.open(device, source(model.files), model.name);
}

/** Bytes of the model's files. */
export function modelSize({ model }: Program): number {
  if (model instanceof File) return model.size;
  return [...model.files.values()].reduce((sum, { size }) => sum + size, 0);
}
