// Errors of the worker, named so that the page can say what to do.

import type { Failure, FailureName, LearnedFiles } from "./protocol";

/** An error with a name that the page knows. */
export class Failed extends Error {
  override name: FailureName;

  constructor(name: FailureName, message: string) {
    super(message);
    this.name = name;
  }
}

const TOO_OLD = "This browser cannot run the program, which needs WebAssembly with SIMD: take a newer one";
const NAMES: readonly string[] = ["InputError", "ModelError", "DeviceError", "DownloadError", "MemoryError"];

/** Whatever was thrown, in a form that can be posted. */
export function asFailure(thrown: unknown): Failure {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (thrown instanceof WebAssembly.CompileError) return { name: "Error", message: TOO_OLD };
  if (outOfMemory(thrown, message)) return { name: "MemoryError", message };
  const name = thrown instanceof Error ? thrown.name : "Error";
  const { option, last_good } = Object(thrown) as { option?: string; last_good?: LearnedFiles };
  return {
    name: NAMES.includes(name) ? (name as FailureName) : "Error",
    message,
    ...(option !== undefined && { option }),
    ...(last_good !== undefined && { last_good }),
  };
}

/** Whether wasm ended for want of memory; Rust's allocator ends there with a bare trap. */
function outOfMemory(thrown: unknown, message: string): boolean {
  if (thrown instanceof RangeError) return /memory|array buffer|allocation/i.test(message);
  if (thrown instanceof WebAssembly.RuntimeError) return /unreachable|memory/i.test(message);
  return /memory allocation|out of memory|capacity overflow/i.test(message);
}

/** Whether wasm can no longer be called after this. */
export function breaks(thrown: unknown): boolean {
  return thrown instanceof WebAssembly.RuntimeError || thrown instanceof RangeError;
}
