/** The model folder: `?model=` names another one of this site. */
export function modelUrl(): string {
  const asked = new URLSearchParams(location.search).get("model");
  const url = new URL(asked ?? "model/", document.baseURI);
  if (url.origin !== location.origin) throw new Error("`?model=` must name a folder of this site");
  return url.href.endsWith("/") ? url.href : `${url.href}/`;
}
