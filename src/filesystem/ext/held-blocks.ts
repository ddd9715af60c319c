import { clearRange, nextSet, setRange } from './bitmap.ts';
import type { BlockRun } from './block-allocator.ts';
import type { Group } from './group-table.ts';
import type { Volume } from './volume.ts';

/**
 * Blocks that were freed, and must not be used again before that is on the device: until then what they held may be
 * what a replay of the journal brings back, or what an inode on the device leads to. Their bits stay set in the bitmaps, so nobody is given them.
 */
export class HeldBlocks {
  /** Blocks that wait. */
  count = 0;
  readonly #volume: Volume;
  #runs: BlockRun[] = [];
  /** A bitmap for each group that has some. */
  readonly #marks = new Map<number, Uint8Array>();

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

  /** Holds bits of one group, which are set and not held. */
  hold(group: Group, bit: number, length: number): void {
    let marks = this.#marks.get(group.index);
    if (marks === undefined) {
      marks = new Uint8Array(Math.ceil(group.blockCount / 32) * 4);
      this.#marks.set(group.index, marks);
    }
    setRange(marks, bit, length);
    this.#runs.push({ start: group.firstBlock + bit, length });
    this.count += length;
  }

  /** Frees what waits, in the transaction that is about to be committed. Nothing may be allocated before it is. */
  apply(): void {
    const { discards, groups, geometry } = this.#volume;
    const { firstDataBlock, blocksPerGroup } = geometry;
    for (const { start, length } of this.#runs) {
      const group = groups.get(Math.floor((start - firstDataBlock) / blocksPerGroup));
      const bitmap = groups.blockBitmap(group);
      clearRange(bitmap.bytes, start - group.firstBlock, length);
      group.freeBlocks += length;
      groups.saveBlocks(group, bitmap);
      discards.note(start, length);
    }
    if (this.count > 0) this.#volume.freeBlocks += this.count;
    this.clear();
  }

  /** Forgets what waits. */
  clear(): void {
    this.#runs = [];
    this.#marks.clear();
    this.count = 0;
  }
}
