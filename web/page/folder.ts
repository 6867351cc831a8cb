// Where the page lies: copies of it on one host, at other paths, keep what they store apart.

/** The path of the page's folder; its worker lies one folder deeper. */
export const FOLDER = new URL("document" in self ? "." : "..", self.location.href).pathname;
