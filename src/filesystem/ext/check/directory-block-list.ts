import { NumberList } from './sparse.ts';

/** Numbers a run: directory, position, block, length. */
const STRIDE = 4;

/** Blocks of one directory that lie one after the other, in it and on the device. Block 0 stands for data in the inode. */
export interface DirectoryRun {
  /** 0 for one that has other blocks now. */
  readonly directory: number;
  readonly position: number;
  readonly block: number;
  readonly length: number;
}

/**
 * The blocks of all directories in the order in which they were come across. They are kept in runs: a directory that claims millions of blocks
 * takes no more than the extents that say so.
 */
export class DirectoryBlockList {
  /** Of all runs. */
  blockCount = 0;
  readonly #runs = new NumberList();

  get runCount(): number {
    return this.#runs.length / STRIDE;
  }

  add(directory: number, position: number, block: number): void {
    const runs = this.#runs;
    const last = runs.length - STRIDE;
    this.blockCount++;
    if (last >= 0 && runs.get(last) === directory && runs.get(last + 2) > 0) {
      const length = runs.get(last + 3);
      if (runs.get(last + 1) + length === position && runs.get(last + 2) + length === block) {
        runs.set(last + 3, length + 1);
        return;
      }
    }
    runs.push(directory);
    runs.push(position);
    runs.push(block);
    runs.push(1);
  }

  run(index: number): DirectoryRun {
    const at = index * STRIDE;
    const runs = this.#runs;
    return {
      directory: runs.get(at),
      position: runs.get(at + 1),
      block: runs.get(at + 2),
      length: runs.get(at + 3),
    };
  }

  /** The first block of a run, without more of it. */
  blockOf(index: number): number {
    return this.#runs.get(index * STRIDE + 2);
  }

  lengthOf(index: number): number {
    return this.#runs.get(index * STRIDE + 3);
  }

  directoryOf(index: number): number {
    return this.#runs.get(index * STRIDE);
  }

  positionOf(index: number): number {
    return this.#runs.get(index * STRIDE + 1);
  }

  /** A directory has no blocks of those that were added so far. */
  forget(directory: number): void {
    for (let at = 0; at < this.#runs.length; at += STRIDE)
      if (this.#runs.get(at) === directory) this.#runs.set(at, 0);
  }

  /** The blocks of a directory, without what lies in its inode. */
  *blocksOf(directory: number): Iterable<number> {
    for (let index = 0; index < this.runCount; index++) {
      if (this.directoryOf(index) !== directory) continue;
      yield* this.blocksIn(index);
    }
  }

  /** The blocks of a run; none for what lies in an inode. */
  *blocksIn(index: number): Iterable<number> {
    const first = this.blockOf(index);
    if (first === 0) return;
    const end = first + this.lengthOf(index);
    for (let block = first; block < end; block++) yield block;
  }
}
