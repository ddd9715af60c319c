import type { BlockRun } from './block-allocator.ts';
import type { ExtentRun, ExtentTree } from './extent-tree.ts';
import { roundDown, roundUp } from './clusters.ts';
import type { InodeRef } from './inode-table.ts';

/** A part of a hole that is to be mapped. Blocks. */
interface Piece {
  /** Of the file. */
  readonly block: number;
  length: number;
  /** On the device, in a cluster that the file has already; 0 for what needs new ones. */
  readonly start: number;
}

/**
 * How holes of a file are mapped on a volume with clusters: a block whose neighbours in the same logical cluster are mapped goes to its place beside them, in
 * a cluster that is the file's already; only what is left takes new ones.
 */
export class ClusterPlan {
  /** New clusters that are needed. */
  clusterCount = 0;
  readonly #tree: ExtentTree;
  readonly #ratio: number;
  readonly #run: ExtentRun = { start: 0, length: 0, unwritten: false };
  readonly #pieces: Piece[] = [];

  constructor(tree: ExtentTree, blocksPerCluster: number) {
    this.#tree = tree;
    this.#ratio = blocksPerCluster;
  }

  /** Pieces that need no new clusters, and those that do. */
  get pieceCount(): number {
    return this.#pieces.length;
  }

  /** `holes`: first block and length in turn, none beside another. */
  make(ref: InodeRef, holes: readonly number[]): void {
    this.#pieces.length = 0;
    this.clusterCount = 0;
    for (let hole = 0; hole < holes.length; hole += 2)
      this.#divide(ref, holes[hole]!, holes[hole]! + holes[hole + 1]!);
  }

  /** Is one of the places in the file's own clusters among these? */
  reuses(isHeld: (start: number, length: number) => boolean): boolean {
    return this.#pieces.some(({ start, length }) => start !== 0 && isHeld(start, length));
  }

  /** Everything that is to be mapped, in the order of the file; `runs` has the new clusters. */
  fill(runs: readonly BlockRun[], map: (block: number, start: number, length: number) => void): void {
    const ratio = this.#ratio;
    let index = 0;
    let used = 0;
    for (const { block, length, start } of this.#pieces) {
      if (start !== 0) {
        map(block, start, length);
        continue;
      }
      for (let done = 0; done < length;) {
        const run = runs[index]!;
        const within = (block + done) % ratio;
        const part = Math.min(length - done, run.length - used - within);
        map(block + done, run.start + used + within, part);
        done += part;
        used += roundUp(within + part, ratio);
        if (used < run.length) continue;
        index++;
        used = 0;
      }
    }
  }

  /** Where the cluster begins in which blocks `[from, to)` of the file lie, which are of one logical cluster; 0 when none of them is mapped. */
  clusterOf(ref: InodeRef, from: number, to: number): number {
    const run = this.#run;
    for (let block = from; block < to; block += run.length) {
      this.#tree.look(ref, block, to - block, run, true);
      if (run.start !== 0) return run.start - (block % this.#ratio);
    }
    return 0;
  }

  #divide(ref: InodeRef, from: number, to: number): void {
    const ratio = this.#ratio;
    for (let block = from; block < to;) {
      const first = roundDown(block, ratio);
      // Whole clusters have no neighbours.
      const whole = roundDown(to, ratio);
      if (block === first && whole > block) {
        this.#add(block, whole - block, 0);
        block = whole;
        continue;
      }
      const end = Math.min(to, first + ratio);
      const cluster = this.clusterOf(ref, first, first + ratio);
      this.#add(block, end - block, cluster === 0 ? 0 : cluster + (block % ratio));
      block = end;
    }
  }

  #add(block: number, length: number, start: number): void {
    const last = this.#pieces.at(-1);
    if (start === 0) this.clusterCount += Math.ceil((length + (block % this.#ratio)) / this.#ratio);
    if (last !== undefined && start === 0 && last.start === 0 && last.block + last.length === block)
      last.length += length;
    else this.#pieces.push({ block, length, start });
  }
}
