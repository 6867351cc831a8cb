// What an earlier visit left, on offer on the first screen.

import { byId } from "./dom";
import type { ModelChoice } from "./model_choice";
import type { Checkpoint, Finished } from "./protocol";
import type { RunControl } from "./run_control";
import { aboutModel, folderOf, isSame } from "./run_model";
import { filled, hasLearned } from "./run_parts";
import { SavedRun } from "./saved_run";
import { focusHeading } from "./sections";
import { alone } from "./storage";
import type { Open } from "./studio";

/** Offers the stored run, if there is one: to go on where its model is open, else to take that model. */
export async function offerSavedRun(run: RunControl, model: ModelChoice, studio: Open | undefined): Promise<void> {
  const { setup, checkpoint, records = [], samples = [], finished } = await new SavedRun().read();
  if (!setup) return;
  const token = String(setup.options.placeholder_token);
  const open = studio?.opened.identity;
  const same = open !== undefined && isSame(setup.model, open);
  const about = open ? aboutModel(setup.model, open, finished ? "draw with it" : "go on") : "";
  byId("offer-text").textContent = `${whatCame(finished, token)} ${about}`.trimEnd();

  const stored = { ...setup, checkpoint, records, samples };
  const go = byId("offer-go");
  go.hidden = !finished && !same;
  go.textContent = finished ? "Show it" : goOn(checkpoint);
  // what the visitor left to the model, the model says
  const options = same && studio ? await filled(studio.engine, setup.options) : setup.options;
  go.onclick = () => void (finished ? run.show(stored, finished, options) : run.resume(stored));

  const folder = open && folderOf(setup.model, open);
  const take = byId("offer-model");
  take.hidden = folder === undefined;
  take.onclick = () => {
    if (folder !== undefined) model.takeFolder(folder);
  };

  byId("offer-discard").onclick = () =>
    void alone(async (turn) => {
      const saved = new SavedRun();
      // another tab may be storing its run in its place, or have stored it
      if (turn === "free" && (await saved.holds(checkpoint))) await saved.clear();
      byId("offer").hidden = true;
      focusHeading();
    });
  byId("offer").hidden = false;
}

/** A run that was ended before its first save has its pictures and settings. */
function goOn(checkpoint: Checkpoint | undefined): string {
  return checkpoint ? `Go on from step ${checkpoint.step}` : "Begin it again";
}

/** What came of the stored run, which may have been broken off. */
function whatCame(finished: Finished | undefined, token: string): string {
  if (!finished) return `The last run, of ${token}, did not come to its end.`;
  switch (finished.stop.reason) {
    case "interrupted":
      return `You stopped the last run, of ${token}.`;
    case "constant_objective":
      return `The last run learned nothing of ${token}.`;
    default:
      return hasLearned(finished) ? `The last run learned ${token}.` : `The last run, of ${token}, came to its end.`;
  }
}
