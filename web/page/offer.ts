// What an earlier visit left, on offer on the first screen.

import { byId } from "./dom";
import type { ModelChoice } from "./model_choice";
import type { ModelIdentity, StopReason } from "./protocol";
import type { RunControl } from "./run_control";
import { aboutModel, folderOf, isSame } from "./run_model";
import { SavedRun } from "./saved_run";
import { alone } from "./storage";

/** Offers the stored run, if there is one: to go on where its model is open, else to take that model. */
export async function offerSavedRun(run: RunControl, model: ModelChoice, opened: ModelIdentity | undefined): Promise<void> {
  const saved = new SavedRun();
  const { setup, checkpoint, records = [], samples = [], finished } = await saved.read();
  if (!setup || !checkpoint) return;
  const token = String(setup.options.placeholder_token);
  const about = opened ? aboutModel(setup.model, opened, finished ? "draw with it" : "go on") : "";
  byId("offer-text").textContent = `${whatCame(finished?.stop, token)} ${about}`.trimEnd();

  const stored = { ...setup, checkpoint, records, samples };
  const go = byId("offer-go");
  go.hidden = !finished && !(opened && isSame(setup.model, opened));
  go.textContent = finished ? "Show it" : `Go on from step ${checkpoint.step}`;
  go.onclick = () => void (finished ? run.show(stored, finished) : run.resume(stored));

  const folder = opened && folderOf(setup.model, opened);
  const take = byId("offer-model");
  take.hidden = folder === undefined;
  take.onclick = () => {
    if (folder !== undefined) model.takeFolder(folder);
  };

  byId("offer-discard").onclick = () => {
    byId("offer").hidden = true;
    byId("title").focus();
    // another tab may have stored its run in its place
    void alone(async (turn) => {
      if (turn !== "taken") await saved.clear();
    });
  };
  byId("offer").hidden = false;
}

/** What came of the stored run, which may have been broken off. */
function whatCame(stop: StopReason | undefined, token: string): string {
  switch (stop?.reason) {
    case undefined:
      return `The last run, of ${token}, did not come to its end.`;
    case "interrupted":
      return `You stopped the last run, of ${token}.`;
    case "constant_objective":
      return `The last run learned nothing of ${token}.`;
    default:
      return `The last run learned ${token}.`;
  }
}
