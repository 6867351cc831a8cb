// What the visitor sees after the stop.

import { byId, download, element, figure, showPictures, withToken } from "./dom";
import type { Finished, Options, Samples, StepRecord, StopReason } from "./protocol";
import { hasLearned, sank } from "./run_parts";

/** The section `#result`. */
export class ResultView {
  constructor(
    private readonly acts: {
      /** Trains on a run that ended so after so many steps. */
      goOn: (stop: StopReason, steps: number) => void;
      /** Trains anew from another word. */
      startFrom: (word: string) => void;
      /** All that was learned is saved. */
      saved: () => void;
    },
  ) {}

  /** Shows a run that ended; the names of its token and prompts come from `options`. */
  show(options: Options, finished: Finished, records: StepRecord[], samples: Samples[]): void {
    const token = String(options.placeholder_token);
    byId("result-title").replaceChildren(...heading(finished, token));
    byId("why").textContent = why(options, finished);
    const more = this.more(finished);
    byId("more").replaceChildren(...more);
    byId("more").hidden = more.length === 0;
    const last = (kind: Samples["kind"]) => samples.findLast((drawn) => drawn.kind === kind);
    this.grid("before", last("before"));
    this.grid("after", last("after"));
    byId("downloads").replaceChildren(...buttons(token, finished, records, this.acts.saved));
  }

  /** What could still be done with these pictures. */
  private more({ stop, steps, fall, words = [] }: Finished): HTMLElement[] {
    const { goOn, startFrom } = this.acts;
    const interrupted = stop.reason === "interrupted";
    const longer = interrupted || stop.reason === "max_steps" || fall?.goes_on;
    const label = interrupted ? "Go on learning" : `Go on to ${2 * steps} steps`;
    const others = words.slice(1).map((word) => button(`Start again from “${word}”`, () => startFrom(word)));
    const lost = element("span", { className: "small", textContent: "A new start takes the place of this result: save it first." });
    return [...(longer ? [button(label, () => goOn(stop, steps))] : []), ...others, ...(others.length > 0 ? [lost] : [])];
  }

  private grid(name: "before" | "after", samples: Samples | undefined): void {
    const { pngs = [], prompts = [], clip_i } = samples ?? {};
    showPictures(byId(name), pngs, prompts, (i) => `${name}-${i + 1}.png`);
    const known = clip_i !== null && clip_i !== undefined;
    const text = known ? `likeness to the pictures (CLIP-I, at most 1) ${figure(clip_i, 3)}` : "";
    byId(`score-${name}`).textContent = text;
  }
}

function button(text: string, act: () => void): HTMLElement {
  const made = element("button", { type: "button", textContent: text });
  made.onclick = act;
  return made;
}

function buttons(token: string, finished: Finished, records: StepRecord[], saved: () => void): HTMLElement[] {
  const { learned, adapter } = finished;
  const files = new Map<string, () => BlobPart>([["learned_embeds.safetensors", () => learned]]);
  if (adapter) files.set(adapter.file, () => adapter.bytes);
  const unsaved = new Set(files.keys());
  files.set("metrics.jsonl", () => records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  return [...files].map(([name, content], i) => {
    const save = button(name, () => {
      download(name, content());
      unsaved.delete(name);
      if (unsaved.size === 0) saved();
    });
    if (i === 0) save.className = "primary";
    save.title = `Save ${name} of ${token}`;
    return save;
  });
}

function heading(finished: Finished, token: string): (Node | string)[] {
  if (finished.stop.reason === "constant_objective") return withToken("Learned nothing of ", token);
  if (hasLearned(finished)) return withToken("Learned ", token);
  return withToken("", token, ", as far as it was learned");
}

/** The CLI's sentence, and what it means. */
function why({ min_train_steps, stopping, threshold }: Options, finished: Finished): string {
  const { stop, text, steps, initializer_token, fall } = finished;
  // where more steps were asked for than the rule would have made, it was not asked
  const unruled = Number(min_train_steps ?? 0) >= steps || stopping === "few-iters" || threshold === 0;
  // of a loss that did not fall, or not for long enough, another threshold says no more
  const higher = fall?.fell ? ", or a higher threshold," : "";
  const made = steps === 1 ? "1 step" : `${steps} steps`;
  const all = steps === 1 ? "its one step" : `all its ${made}`;
  const meanings: Record<StopReason["reason"], string> = {
    dvar: `It stopped by itself after ${made}: beside all its values, the loss on the fixed batch now varies less than the threshold allows.`,
    plateau: `It stopped by itself after ${made}: of all that the loss on the fixed batch fell, its last steps brought ${fall?.goes_on ? "less than the threshold" : "next to nothing"}.`,
    constant_objective: `It stopped after ${made}: the deterministic loss does not change at all. Try a higher learning rate.`,
    no_improvement: `It stopped after ${made}: its pictures no longer came closer to yours.`,
    max_steps: unruled
      ? `It made ${all}.`
      : `It made ${all} before the rule would have stopped it. More steps${higher} let the rule decide.`,
    interrupted: `You stopped it after ${made}.`,
  };
  const worse = " Yet its pictures are less like yours than before it began: try another word to start from, or another learning rate.";
  const fell = fall ? ` The loss on the fixed batch: ${fall.text}.` : "";
  const learning = fall?.goes_on ? " It was still learning." : "";
  const start = initializer_token ? ` It began from the word “${initializer_token}”.` : "";
  return `${meanings[stop.reason]} (${text}.)${fell}${learning}${start}${sank(finished) ? worse : ""}`;
}
