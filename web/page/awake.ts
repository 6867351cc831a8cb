// Keeps the screen on, where the browser can: a machine that falls asleep makes no steps.

let asked = false;
let lock: Promise<WakeLockSentinel | undefined> | undefined;

/** From now on the screen is to stay on, or need not. */
export function stayAwake(on: boolean): void {
  asked = on;
  renew();
}

/** Lets go of what was held, and asks anew where it is still to be. */
function renew(): void {
  void lock?.then((held) => held?.release());
  lock = asked && document.visibilityState === "visible" ? request() : undefined;
}

/** Nothing where the browser has no such lock, or refuses it to save power. */
async function request(): Promise<WakeLockSentinel | undefined> {
  const { wakeLock } = navigator as { wakeLock?: WakeLock };
  return wakeLock?.request("screen").catch(() => undefined);
}

// a page that is not seen loses its lock
document.addEventListener("visibilitychange", renew);
