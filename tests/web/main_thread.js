// Measures the longest task of the page's main thread by the processor time it took, so that
// other programs on the machine do not count.

/** Starts measuring; the function that comes back ends it and gives the longest in milliseconds. */
export async function watchMainThread(browser, page) {
  await browser.startTracing(page, { categories: ["toplevel", "__metadata"] });
  return async () => {
    const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
    const mains = new Set(
      traceEvents
        .filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain")
        .map(({ pid, tid }) => `${pid} ${tid}`),
    );
    const tasks = traceEvents.filter(({ ph, pid, tid, tdur }) => ph === "X" && tdur && mains.has(`${pid} ${tid}`));
    if (tasks.length === 0) throw new Error("the trace has no tasks of the main thread");
    return Math.max(...tasks.map(({ tdur }) => tdur)) / 1000;
  };
}
