// Small helpers around the document.

/** The element of `index.html` with this id. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as E;
}

/** A new element with properties and children. */
export function element<N extends keyof HTMLElementTagNameMap>(
  name: N,
  properties: Partial<HTMLElementTagNameMap[N]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[N] {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Words around a token, which is not broken in two, and which the browser's translator leaves as it must be written. */
export function withToken(before: string, token: string, behind = ""): (Node | string)[] {
  return [before, element("span", { className: "token", translate: false, textContent: token }), behind];
}

/** Saves bytes as a file of the visitor's. */
export function download(name: string, content: BlobPart, type = "application/octet-stream"): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href: url, download: name }).click();
  // the browser has taken the content when its download starts
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Calls `draw` soon after it is asked to, but rarely: drawing takes time from the workers that compute. */
export function rarely(draw: () => void): () => void {
  const apart = 500;
  let last = -apart;
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    const frame = () =>
      requestAnimationFrame((now) => {
        asked = false;
        last = now;
        draw();
      });
    setTimeout(frame, last + apart - performance.now());
  };
}

/** Pictures as elements, each with a link that saves it. The former ones are let go. */
export function showPictures(
  list: HTMLElement,
  pngs: Uint8Array<ArrayBuffer>[],
  captions: string[],
  file: (index: number) => string,
): void {
  for (const image of list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  list.replaceChildren(
    ...pngs.map((png, i) => {
      const src = URL.createObjectURL(new Blob([png], { type: "image/png" }));
      const caption = captions[i] ?? "";
      const link = element("a", { href: src, download: file(i), title: `Save “${caption}”` });
      link.append(element("img", { src, alt: caption }));
      return element("li", {}, link, element("span", { textContent: caption }));
    }),
  );
}

/** Seconds for people. */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  return minutes > 0 ? `${minutes} min ${String(rest).padStart(2, "0")} s` : `${rest} s`;
}

/** Steps a second, of which a slow device makes a small part of one. */
export function pace(stepsPerSecond: number): string {
  return stepsPerSecond < 1 ? stepsPerSecond.toPrecision(2) : stepsPerSecond.toFixed(1);
}

/** A number with as many digits as help. */
export function figure(value: number | undefined, digits = 4): string {
  return value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits);
}
