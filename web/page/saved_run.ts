// The run in the browser's storage, so that a closed tab loses nothing.

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

/** The one stored run. Writing says whether the storage took it; it never throws. */
export class SavedRun {
  private database: Promise<IDBDatabase> | undefined;

  /** Writes parts in one go: all or none. */
  async write(parts: Partial<Parts>): Promise<boolean> {
    return this.change((store) => {
      for (const [key, value] of Object.entries(parts)) store.put(value, key);
    });
  }

  async clear(): Promise<boolean> {
    return this.change((store) => store.clear());
  }

  /** What is stored; nothing where the storage cannot be read. */
  async read(): Promise<Partial<Parts>> {
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
      const request = indexedDB.open("dvar", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE);
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
