import type { JournalArea } from './journal-area.ts';

/** Bytes that are read ahead where copies are looked at one after the other. */
const AHEAD = 1 << 20;

/** Reads the blocks of a log one by one; what it returns is good until its next call. */
export class LogReader {
  readonly #area: JournalArea;
  readonly #single: Uint8Array;
  #ahead: Uint8Array | undefined;
  /** Blocks `[#start, #end)` of the journal are in `#ahead`. */
  #start = 0;
  #end = 0;

  constructor(area: JournalArea) {
    this.#area = area;
    this.#single = new Uint8Array(area.blockSize);
  }

  /** A block whose neighbours are probably not wanted. */
  control(index: number): Uint8Array {
    this.#area.read(index, this.#single);
    return this.#single;
  }

  /** A block of many in a row. */
  copy(index: number): Uint8Array {
    const { blockSize, length } = this.#area;
    if (index < this.#start || index >= this.#end) {
      this.#ahead ??= new Uint8Array(Math.max(AHEAD, blockSize));
      const count = Math.min(this.#ahead.length / blockSize, length - index);
      this.#area.read(index, this.#ahead.subarray(0, count * blockSize));
      this.#start = index;
      this.#end = index + count;
    }
    const at = (index - this.#start) * blockSize;
    return this.#ahead!.subarray(at, at + blockSize);
  }
}
