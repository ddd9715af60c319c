import type { ExtCheck } from './context.ts';

/** Bytes that are read at once, as long as blocks lie one after the other. */
const WINDOW = 1 << 17;

/** Reads the blocks of directories in the order in which pass 1 has listed them, many at once where they are neighbours. */
export class DirectoryReader {
  /** What was read last; `read` tells where in it. */
  readonly bytes: Uint8Array;
  readonly #check: ExtCheck;
  readonly #blockSize: number;
  #first = 0;
  #count = 0;

  constructor(check: ExtCheck) {
    this.#check = check;
    this.#blockSize = check.geometry.blockSize;
    this.bytes = new Uint8Array(Math.max(WINDOW, this.#blockSize));
  }

  /** A block of run `index` of the list; returns where it begins in `bytes`. */
  read(index: number, block: number): number {
    if (block < this.#first || block >= this.#first + this.#count) this.#fill(index, block);
    return (block - this.#first) * this.#blockSize;
  }

  #fill(index: number, block: number): void {
    const { directoryBlocks, device } = this.#check;
    const most = Math.floor(this.bytes.length / this.#blockSize);
    let count = directoryBlocks.blockOf(index) + directoryBlocks.lengthOf(index) - block;
    for (let next = index + 1; count < most && next < directoryBlocks.runCount; next++) {
      if (directoryBlocks.blockOf(next) !== block + count) break;
      count += directoryBlocks.lengthOf(next);
    }
    count = Math.min(count, most);
    this.#first = block;
    this.#count = count;
    device.read(block * this.#blockSize, this.bytes.subarray(0, count * this.#blockSize));
  }
}
