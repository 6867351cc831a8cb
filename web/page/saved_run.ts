// The run in the browser's storage, so that a closed tab loses nothing.

import { FOLDER } from "./folder";
import type { Checkpoint, Finished, Run, Samples, StepRecord } from "./protocol";

/** What is stored, each part under its own key. */
export interface Parts {
  setup: Pick<Run, "options" | "pictures" | "model" | "asked">;
  checkpoint: Checkpoint;
  records: StepRecord[];
  samples: Samples[];
  finished: Finished;
}

const STORE = "run";
/** Where an earlier version of the page stored one run for all its copies on a host, and the lock of the tab that did. */
const [EARLIER, EARLIER_LOCK] = ["dvar", "dvar-run"];

/** The one stored run. Writing says whether the storage took it; it never throws. */
export class SavedRun {
  private database: Promise<IDBDatabase> | undefined;

  constructor(private readonly name = `dvar ${FOLDER}`) {}

  /** Writes parts in one go: all or none. */
  async write(parts: Partial<Parts>): Promise<boolean> {
    return this.change((store) => {
      for (const [key, value] of Object.entries(parts)) store.put(value, key);
    });
  }

  /** Removes the run, and what an earlier version stored, unless a tab of that version is learning. */
  async clear(): Promise<boolean> {
    const clear = (store: IDBObjectStore) => void store.clear();
    await navigator.locks.request(EARLIER_LOCK, { ifAvailable: true }, (lock) => lock && new SavedRun(EARLIER).change(clear));
    return this.change(clear);
  }

  /** What is stored, perhaps by an earlier version; nothing where the storage cannot be read. */
  async read(): Promise<Partial<Parts>> {
    const parts = await this.parts();
    return parts.setup ? parts : new SavedRun(EARLIER).parts();
  }

  /** Whether the run that is stored is at this checkpoint: no tab has stored another, gone on with it or discarded it. */
  async holds(checkpoint: Checkpoint | undefined): Promise<boolean> {
    const state = (at: Checkpoint | undefined) => at?.state ?? "";
    return indexedDB.cmp(state((await this.read()).checkpoint), state(checkpoint)) === 0;
  }

  private async parts(): Promise<Partial<Parts>> {
    try {
      const store = (await this.open()).transaction(STORE).objectStore(STORE);
      const [keys, values] = await Promise.all([
        settled(store.getAllKeys()),
        settled(store.getAll()),
      ]);
      return Object.fromEntries(keys.map((key, i) => [key, values[i]]));
    } catch {
      return {};
    }
  }

  private async change(act: (store: IDBObjectStore) => void): Promise<boolean> {
    try {
      const transaction = (await this.open()).transaction(STORE, "readwrite");
      const done = new Promise<boolean>((resolve) => {
        transaction.oncomplete = () => resolve(true);
        transaction.onabort = () => resolve(false);
      });
      act(transaction.objectStore(STORE));
      if (await done) return true;
    } catch {
      // nothing is stored, as by a transaction that aborts
    }
    // Safari closes it while a page is in the background: the next use opens it anew
    void this.database?.then((database) => database.close()).catch(() => undefined);
    this.database = undefined;
    return false;
  }

  /** Opens the storage; fails where the browser lends none. */
  open(): Promise<IDBDatabase> {
    this.database ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(this.name, 1);
      request.onupgradeneeded = () => {
        // what no earlier version has made is not made now
        if (this.name === EARLIER) request.transaction?.abort();
        else request.result.createObjectStore(STORE);
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error ?? new Error("no storage"));
    });
    return this.database;
  }
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the storage cannot be read"));
  });
}
