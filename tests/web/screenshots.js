// Pictures of the page for the documentation, written when SCREENSHOTS is set.

import { join } from "node:path";

import { ROOT } from "./page.js";

export async function shoot(page, name) {
  if (!process.env.SCREENSHOTS) return;
  await page.screenshot({ path: join(ROOT, "docs/web", `${name}.png`), fullPage: true });
}
