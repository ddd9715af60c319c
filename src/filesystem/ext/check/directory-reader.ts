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

  /** The block of entry `index` of the list; returns where it begins in `bytes`. */
  read(index: number): number {
    const block = this.#check.directoryBlocks.get(index + 2);
    if (block < this.#first || block >= this.#first + this.#count) this.#fill(index, block);
    return (block - this.#first) * this.#blockSize;
  }

  #fill(index: number, block: number): void {
    const { directoryBlocks, device } = this.#check;
    const most = Math.floor(this.bytes.length / this.#blockSize);
    let count = 1;
    for (let next = index + 3; count < most && next < directoryBlocks.length; next += 3) {
      if (directoryBlocks.get(next + 2) !== block + count) break;
      count++;
    }
    this.#first = block;
    this.#count = count;
    device.read(block * this.#blockSize, this.bytes.subarray(0, count * this.#blockSize));
  }
}
