// Measures how long the main thread was ever busy without a pause.

/** Starts measuring; the function that comes back gives the longest block in milliseconds. */
export async function watchMainThread(page) {
  await page.evaluate(() => {
    window.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
    }).observe({ type: "longtask", buffered: true });
    // tasks under 50 ms are not reported: the beat of a timer shows them
    let last = performance.now();
    setInterval(() => {
      const now = performance.now();
      window.longest = Math.max(window.longest, now - last - 5);
      last = now;
    }, 5);
  });
  return () => page.evaluate(() => window.longest);
}
