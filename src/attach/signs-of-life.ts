import type { FileSystem } from '../filesystem/file-system.ts';

/** Gives the signs by which other hosts see that a volume is in use, in time. Times are milliseconds. */
export class SignsOfLife {
  readonly #fs: FileSystem;
  readonly #log: (message: string) => void;
  /** When the next is due; infinite: none ever is. */
  #next = 0;

  constructor(fs: FileSystem, log: (message: string) => void) {
    this.#fs = fs;
    this.#log = log;
  }

  giveIfDue(now: number): void {
    if (now < this.#next) return;
    let seconds;
    try {
      seconds = this.#fs.giveSign?.();
    } catch (error) {
      this.#log(`The volume is in use elsewhere: ${String(error)}`);
    }
    this.#next = seconds === undefined ? Number.POSITIVE_INFINITY : now + 1000 * seconds;
  }

  /** How long to wait for something to do at most, given what else there is to wait for. */
  shorten(wait: number | undefined): number | undefined {
    if (this.#next === Number.POSITIVE_INFINITY) return wait;
    const now = Date.now();
    this.giveIfDue(now);
    if (this.#next === Number.POSITIVE_INFINITY) return wait;
    return Math.min(wait ?? Number.POSITIVE_INFINITY, this.#next - now);
  }
}
