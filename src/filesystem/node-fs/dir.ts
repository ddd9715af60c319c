import { type Dirent } from './dirent.ts';
import { nodeError } from './node-error.ts';

/** `fs.Dir`: the entries that a directory had when it was opened, one at a time. */
export class Dir {
  readonly path: string;
  readonly #entries: readonly Dirent[];
  #next = 0;
  #closed = false;

  constructor(path: string, entries: readonly Dirent[]) {
    this.path = path;
    this.#entries = entries;
  }

  readSync(): Dirent | null {
    if (this.#closed) throw closedError();
    return this.#entries[this.#next++] ?? null;
  }

  closeSync(): void {
    if (this.#closed) throw closedError();
    this.#closed = true;
  }

  read(): Promise<Dirent | null>;
  read(callback: (error: Error | null, entry: Dirent | null) => void): void;
  read(callback?: (error: Error | null, entry: Dirent | null) => void): Promise<Dirent | null> | void {
    const promise = new Promise<Dirent | null>((resolve) => resolve(this.readSync()));
    if (callback === undefined) return promise;
    void promise.then(
      (entry) => callback(null, entry),
      (error: Error) => callback(error, null),
    );
  }

  close(): Promise<void>;
  close(callback: (error: Error | null) => void): void;
  close(callback?: (error: Error | null) => void): Promise<void> | void {
    const promise = new Promise<void>((resolve) => resolve(this.closeSync()));
    if (callback === undefined) return promise;
    void promise.then(() => callback(null), callback);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Dirent, undefined, unknown> {
    for (let entry = await this.read(); entry !== null; entry = await this.read()) yield entry;
    this.closeSync();
    return undefined;
  }
}

function closedError(): Error {
  return nodeError('ERR_DIR_CLOSED', 'Directory handle was closed');
}
