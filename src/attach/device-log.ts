import fs from 'node:fs';

/** Bytes; what comes then is not kept. */
const LARGEST = 1 << 16;

/** What happened in a process that has no terminal: the file `log` in the folder of its device. */
export class DeviceLog {
  readonly #file: string;

  constructor(folder: string) {
    this.#file = `${folder}/log`;
  }

  add(what: unknown): void {
    const text = what instanceof Error ? (what.stack ?? what.message) : String(what);
    try {
      if ((fs.statSync(this.#file, { throwIfNoEntry: false })?.size ?? 0) >= LARGEST) return;
      fs.appendFileSync(this.#file, `${new Date().toISOString()} ${text.trimEnd()}\n`, { mode: 0o600 });
    } catch (error) {
      // The folder is gone with the device, or the disk is full: there is nobody else to tell.
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }

  /** What threads and libraries print is kept, too. */
  captureStandardError(): void {
    process.stderr.write = (chunk: string | Uint8Array) => {
      this.add(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString());
      return true;
    };
  }
}
