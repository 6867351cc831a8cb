// Whether the model that is open is the one that a stored run began with.

import type { ModelIdentity, RunModel } from "./protocol";

/** Whether a run goes on with the model that is open, as far as it says which one it began with. */
export function isSame(needed: RunModel, opened: ModelIdentity): boolean {
  if (needed === undefined) return opened.url !== undefined;
  if (typeof needed === "string") return opened.url === undefined && opened.name === needed;
  return opened.sum === needed.sum;
}

/** The folder of this site that a run needs and that is not open. */
export function folderOf(needed: RunModel, opened: ModelIdentity): string | undefined {
  const url = typeof needed === "object" ? needed.url : undefined;
  return isSame(needed, opened) || url === opened.url ? undefined : url;
}

/** The sentence about a run's model where more is needed for the `purpose`, or it is not sure; else nothing. */
export function aboutModel(needed: RunModel, opened: ModelIdentity, purpose: string): string {
  const same = isSame(needed, opened);
  if (needed === undefined) {
    if (!same) return `To ${purpose}, take the page's own model.`;
    return `An earlier version of this page stored it, and not which model learned it: \`${opened.name}\` must be that one.`;
  }
  if (same) return "";
  const { name, url } = typeof needed === "string" ? { name: needed, url: undefined } : needed;
  if (url === undefined) {
    const namesake = opened.url === undefined && opened.name === name;
    return `To ${purpose}, drop ${namesake ? `the \`${name}\` that it began with: this is another` : `\`${name}\` here`}.`;
  }
  if (url === opened.url) return `To ${purpose}, it would need \`${name}\` as this site had it then: it has another now.`;
  return `To ${purpose}, take its model, \`${name}\`.`;
}
