import { CorruptImageError } from '../../errors.ts';
import type { BlockRun } from './block-allocator.ts';

/** Puts blocks together into runs, and notices a map that points at more blocks than there are. */
export class RunCollector {
  #total = 0;
  readonly #runs: BlockRun[] = [];
  readonly #limit: number;
  #start = 0;
  #length = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(block: number, inode: number): void {
    this.addRun(block, 1, inode);
  }

  addRun(start: number, length: number, inode: number): void {
    this.#total += length;
    if (this.#total > this.#limit) {
      throw new CorruptImageError({
        structure: `inode ${inode}`,
        field: 'i_block',
        found: `more than ${this.#limit} blocks`,
        expected: 'no more than the volume has',
      });
    }
    if (start === this.#start + this.#length) {
      this.#length += length;
      return;
    }
    if (this.#length > 0) this.#runs.push({ start: this.#start, length: this.#length });
    this.#start = start;
    this.#length = length;
  }

  finish(): readonly BlockRun[] {
    if (this.#length > 0) this.#runs.push({ start: this.#start, length: this.#length });
    this.#length = 0;
    return this.#runs;
  }
}
