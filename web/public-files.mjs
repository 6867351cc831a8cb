// The model with its manifest, and the example concepts with their list, as static files:
//
//   node web/public-files.mjs            # the page's own, to web/public
//   node web/public-files.mjs MODEL TO   # another model's folder, to the folder TO, for `?model=`

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const MODEL = "dvar-tiny-emoji";

/** All files below a folder, by their paths in it, sorted. */
function files(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => {
    return relative(folder, join(entry.parentPath ?? entry.path, entry.name)).split(sep).join("/");
  });
  return paths.sort();
}

/** Copies a model folder and says what is in it, so that the page can tell whether all arrived. */
export function copyModel(from, to, name) {
  rmSync(to, { recursive: true, force: true });
  const manifest = { name, files: {} };
  for (const path of files(from)) {
    const bytes = readFileSync(join(from, path));
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    // the card with the licences lies beside the model, but no visit has to load it
    if (!path.endsWith(".md")) manifest.files[path] = { size: bytes.length, sha256 };
    mkdirSync(join(to, path, ".."), { recursive: true });
    writeFileSync(join(to, path), bytes);
  }
  writeFileSync(join(to, "manifest.json"), `${JSON.stringify(manifest, null, 1)}\n`);
  return manifest;
}

function copyConcepts(from, to) {
  rmSync(to, { recursive: true, force: true });
  const folders = readdirSync(from, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const index = folders.map(({ name }) => {
    const pictures = readdirSync(join(from, name)).filter((file) => file.endsWith(".png")).sort();
    mkdirSync(join(to, name), { recursive: true });
    for (const file of pictures) cpSync(join(from, name, file), join(to, name, file));
    const concept = JSON.parse(readFileSync(join(from, name, "concept.json"), "utf8"));
    const { kind, difficulty, init_word, placeholder, validation_prompts } = concept;
    return { name, kind, difficulty, init_word, placeholder, validation_prompts, files: pictures };
  });
  cpSync(join(from, "README.md"), join(to, "README.md"));
  writeFileSync(join(to, "index.json"), `${JSON.stringify(index, null, 1)}\n`);
}

/** The licences of what the page is made of, which have to come with it; no visit loads them. */
function copyLicenses(to) {
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true });
  const licenses = {
    "LICENSE": "LICENSE",
    "MODEL_LICENSES.md": "models/pretrained/LICENSES.md",
    "NOTICE-APACHE-2.0.txt": "models/pretrained/NOTICE-APACHE-2.0.txt",
    "CLIP_TOKENIZER_LICENSE.md": "models/src/tokenizer/openai_clip/LICENSE.md",
    "UPLOT_LICENSE": "web/node_modules/uplot/LICENSE",
  };
  for (const [name, from] of Object.entries(licenses)) cpSync(join(root, from), join(to, name));
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [from, to] = process.argv.slice(2);
  if (!from) {
    copyModel(join(root, "models/pretrained", MODEL), join(root, "web/public/model"), MODEL);
    copyConcepts(join(root, "examples/concepts"), join(root, "web/public/concepts"));
    copyLicenses(join(root, "web/public/licenses"));
  } else if (!to || existsSync(to)) {
    console.error(to ? `${to} exists already` : "give the folder to write to");
    process.exitCode = 2;
  } else {
    copyModel(from, to, basename(resolve(from)));
  }
}
