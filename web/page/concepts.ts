// The example concepts, as picture buttons.

import { byId, element } from "./dom";
import { notify } from "./notice";
import type { Options, Picture } from "./protocol";

/** An entry of `concepts/index.json`. */
export interface Concept {
  name: string;
  kind: "object" | "style";
  difficulty: string;
  init_word: string;
  placeholder: string;
  validation_prompts: string[];
  files: string[];
}

/** Where the examples lie. */
const folder = (): URL => new URL("concepts/", document.baseURI);

/** Prompts of the pictures before and after; few, because drawing takes as long as some steps. */
const PROMPTS = 4;

/** The one that is learned most convincingly; it comes first and is taken at the start. */
const BEST = "blue-umbrella";

/** The example whose pictures are on their way. */
let wanted: HTMLElement | undefined;
/** Whether they came and were taken, when it is known. */
let taken: Promise<boolean> | undefined;

/** Whether the example that is on its way is taken; undefined where none is on its way. */
export function arriving(): Promise<boolean> | undefined {
  return wanted && taken;
}

/** What choosing a concept sets. */
export function conceptOptions(concept: Concept): Options {
  const prompts = concept.validation_prompts.slice();
  // the plainest one first: it shows best what was learned
  prompts.sort((a, b) => Number(b.includes("photo")) - Number(a.includes("photo")));
  return {
    placeholder_token: concept.placeholder,
    initializer_token: concept.init_word,
    learnable_property: concept.kind,
    validation_prompt: prompts.slice(0, PROMPTS),
  };
}

/** Shows the examples; `choose` is called with the one that the visitor takes. */
export async function showConcepts(
  choose: (concept: Concept, pictures: Picture[]) => void,
): Promise<void> {
  const response = await fetch(new URL("index.json", folder()));
  const concepts = (await response.json()) as Concept[];
  concepts.sort((a, b) => rank(a) - rank(b));
  const list = byId("concepts");
  const buttons = concepts.map((concept) => {
    const first = new URL(`${concept.name}/${concept.files[0]}`, folder()).href;
    const image = element("img", { src: first, alt: "", width: 64, height: 64 });
    const label = concept.name.replaceAll("-", " ");
    const button = element("button", { type: "button" }, image, element("span", { textContent: label }));
    button.setAttribute("aria-pressed", "false");
    const take = async () => {
      try {
        const pictures = await fetchPictures(concept);
        // others may have been taken meanwhile
        if (wanted !== button) return false;
        unpressConcepts();
        button.setAttribute("aria-pressed", "true");
        choose(concept, pictures);
        return true;
      } catch {
        if (wanted === button) wanted = undefined;
        notify(`The pictures of the ${label} did not arrive: check the connection and take it again.`);
        return false;
      }
    };
    button.onclick = () => {
      wanted = button;
      taken = take();
    };
    return button;
  });
  list.replaceChildren(...buttons.map((button) => element("li", {}, button)));
  // the visitor may have been faster
  if (byId("chosen").hidden) buttons[0]?.click();
}

/** The best first, then things, then what is hard for a small model. */
function rank({ name, kind, difficulty }: Concept): number {
  if (name === BEST) return 0;
  return kind === "object" && difficulty === "standard" ? 1 : 2;
}

/** Shows that no example is taken, and takes none that is on its way. */
export function unpressConcepts(): void {
  wanted = undefined;
  for (const button of byId("concepts").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", "false");
  }
}

function fetchPictures(concept: Concept): Promise<Picture[]> {
  return Promise.all(
    concept.files.map(async (name) => {
      const response = await fetch(new URL(`${concept.name}/${name}`, folder()));
      if (!response.ok) throw new Error(`status ${response.status}`);
      return { name, bytes: new Uint8Array(await response.arrayBuffer()) };
    }),
  );
}
