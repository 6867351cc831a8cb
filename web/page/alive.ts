// A worker that ends without a word, for want of memory, is noticed by a lock: whoever waits for it is given it
// when the worker is no more.

/** Holds the lock `name` for as long as this worker lives, and calls `held` when it has it. */
export function live(name: string, held: () => void): void {
  void navigator.locks.request(name, () => {
    held();
    return new Promise(() => {});
  });
}

/** Calls `ended` when the worker that holds the lock `name` has ended. */
export function outlive(name: string, ended: () => void): void {
  void navigator.locks.request(name, ended);
}
