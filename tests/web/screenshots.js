// Pictures of the page for the documentation, written when SCREENSHOTS is set.

import { spawnSync } from "node:child_process";
import { join } from "node:path";

import { ROOT } from "./page.js";

export async function shoot(page, name) {
  if (!process.env.SCREENSHOTS) return;
  const path = join(ROOT, "docs/web", `${name}.png`);
  await page.screenshot({ path, fullPage: true });
  // a third of the size, where the program is installed
  spawnSync("pngquant", ["--force", "--skip-if-larger", "--output", path, path]);
}
