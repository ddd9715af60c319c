import { clearRange, nextSet, setRange } from './bitmap.ts';
import type { BlockRun } from './block-allocator.ts';
import type { Group } from './group-table.ts';
import type { Volume } from './volume.ts';

/**
 * Blocks that were freed, and must not be used again before that is on the device: until then what they held may be
 * what a replay of the journal brings back, or what an inode on the device leads to. Their bits stay set in the bitmaps, so nobody is given them.
 */
export class HeldBlocks {
  /** Blocks that wait, with their clusters. */
  count = 0;
  readonly #volume: Volume;
  #runs: BlockRun[] = [];
  /** A bitmap for each group that has some. */
  readonly #marks = new Map<number, Uint8Array>();
  /** Blocks that a file has given up in clusters that it keeps. */
  #parts: BlockRun[] = [];

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  /** Groups whose bitmaps `apply` will change. */
  get groupCount(): number {
    return this.#marks.size;
  }

  /** Is one of these bits of the group's bitmap held? */
  has(group: Group, bit: number, length: number): boolean {
    const marks = this.#marks.get(group.index);
    return marks !== undefined && nextSet(marks, bit, bit + length) < bit + length;
  }

  get isEmpty(): boolean {
    return this.count === 0 && this.#parts.length === 0;
  }

  /** Holds blocks that were given up in a cluster in which others are mapped. */
  holdWithin(start: number, length: number): void {
    this.#parts.push({ start, length });
  }

  /** Is one of these blocks, in a cluster that is in use, held? */
  hasWithin(start: number, length: number): boolean {
    return this.#parts.some((part) => part.start < start + length && start < part.start + part.length);
  }

  /** Holds bits of one group, which are set and not held. */
  hold(group: Group, bit: number, length: number): void {
    let marks = this.#marks.get(group.index);
    if (marks === undefined) {
      marks = new Uint8Array(Math.ceil(group.clusterCount / 32) * 4);
      this.#marks.set(group.index, marks);
    }
    setRange(marks, bit, length);
    const { blocksPerCluster } = this.#volume.geometry;
    const blocks = length * blocksPerCluster;
    this.#runs.push({ start: group.firstBlock + bit * blocksPerCluster, length: blocks });
    this.count += blocks;
  }

  /** Frees what waits, in the transaction that is about to be committed. Nothing may be allocated before it is. */
  apply(): void {
    const { discards, groups, geometry } = this.#volume;
    const { firstDataBlock, blocksPerGroup, blocksPerCluster } = geometry;
    for (const { start, length } of this.#runs) {
      const group = groups.get(Math.floor((start - firstDataBlock) / blocksPerGroup));
      const bitmap = groups.blockBitmap(group);
      const clusters = length / blocksPerCluster;
      clearRange(bitmap.bytes, (start - group.firstBlock) / blocksPerCluster, clusters);
      group.freeClusters += clusters;
      groups.saveBlocks(group, bitmap);
      discards.note(start, length);
    }
    if (this.count > 0) this.#volume.freeBlocks += this.count;
    this.clear();
  }

  /** Forgets what waits. */
  clear(): void {
    this.#runs = [];
    this.#parts = [];
    this.#marks.clear();
    this.count = 0;
  }
}
