import { CorruptImageError, FsError } from '../../errors.ts';
import { clearRange, nextClear, nextSet, setRange } from './bitmap.ts';
import type { CachedBlock } from './block-cache.ts';
import type { Group } from './group-table.ts';
import type { Volume } from './volume.ts';

export interface BlockRun {
  readonly start: number;
  readonly length: number;
}

/** A new file whose size is not known is looked a free run of this many blocks for. */
const USUAL_RUN = 64;
/** Groups that are searched for a run that holds all of a file. */
const NEARBY = 16;

/**
 * Takes blocks from the bitmaps and gives them back, with clusters in whole ones: what is told of a block is done to its cluster. A file that grows goes on right behind its last block; a new one
 * starts where its group's previous file ended, so that what is written together lies together.
 */
export class BlockAllocator {
  readonly #volume: Volume;
  /** Blocks a bit of the bitmaps. */
  readonly #ratio: number;
  /** `USUAL_RUN` in bits. */
  readonly #usualRun: number;

  constructor(volume: Volume) {
    this.#volume = volume;
    this.#ratio = volume.geometry.blocksPerCluster;
    this.#usualRun = Math.max(1, USUAL_RUN / this.#ratio);
  }

  /** Where a new file of this group starts looking. */
  goalInGroup(index: number): number {
    const group = this.#volume.groups.get(index);
    return group.firstBlock + Math.min(group.blockCount - 1, group.clusterCursor * this.#ratio);
  }

  /**
   * Takes `count` blocks, whole clusters, at or after `goal` where it can, in as few runs as it can; `wanted` says how many more are
   * likely to follow. ENOSPC takes none.
   */
  allocate(goal: number, count: number, wanted: number = count): BlockRun[] {
    this.#volume.requireBlocks(count, 'write');
    const runs: BlockRun[] = [];
    let missing: number;
    try {
      missing = this.#collect(goal, count / this.#ratio, Math.ceil(wanted / this.#ratio), runs);
    } catch (error) {
      // A group on the way was damaged.
      for (const run of runs) this.giveBack(run.start, run.length);
      throw error;
    }
    if (missing > 0) {
      for (const run of runs) this.giveBack(run.start, run.length);
      throw new FsError('ENOSPC', { syscall: 'write' });
    }
    return runs;
  }

  /** Takes so many blocks that need not lie together: each has a cluster of its own. As `allocate`. */
  allocateSingles(goal: number, count: number): number[] {
    const blocks: number[] = [];
    for (const { start, length } of this.allocate(goal, count * this.#ratio))
      for (let block = start; block < start + length; block += this.#ratio) blocks.push(block);
    return blocks;
  }

  /** CorruptImageError unless all of these blocks are in use, and none is named twice: then they can be freed. */
  requireUsed(runs: readonly BlockRun[], inode: number): void {
    const { groups } = this.#volume;
    const sorted = runs.length < 2 ? runs : [...runs].sort((a, b) => a.start - b.start);
    let end = 0;
    for (const run of sorted) {
      if (run.start < end) {
        throw new CorruptImageError({
          structure: `inode ${inode}`,
          field: 'i_block',
          found: `block ${run.start} twice`,
          expected: 'every block once',
        });
      }
      end = run.start + run.length;
      for (let block = run.start; block < end;) {
        const group = groups.get(this.#groupOf(block));
        const next = Math.min(group.firstBlock + group.blockCount, end);
        const bit = this.#bitOf(group, block);
        this.#requireSet(group, bit, this.#bitOf(group, next - 1) + 1 - bit);
        block = next;
      }
    }
  }

  /** Gives blocks back that belonged to a file; CorruptImageError when one of them was not taken. */
  free(start: number, count: number): void {
    const { cache, groups, held } = this.#volume;
    cache.forget(start, count);
    for (let block = start; block < start + count;) {
      const group = groups.get(this.#groupOf(block));
      const next = Math.min(group.firstBlock + group.blockCount, start + count);
      const bit = this.#bitOf(group, block);
      const length = this.#bitOf(group, next - 1) + 1 - bit;
      this.#requireSet(group, bit, length);
      held.hold(group, bit, length);
      block = next;
    }
  }

  /** Gives blocks back that were taken, and used for nothing since. */
  giveBack(start: number, count: number): void {
    const volume = this.#volume;
    for (let block = start; block < start + count;) {
      const group = volume.groups.get(this.#groupOf(block));
      const next = Math.min(group.firstBlock + group.blockCount, start + count);
      const bit = this.#bitOf(group, block);
      const length = this.#bitOf(group, next - 1) + 1 - bit;
      const bitmap = this.#requireSet(group, bit, length);
      clearRange(bitmap.bytes, bit, length);
      group.freeClusters += length;
      volume.freeBlocks += length * this.#ratio;
      volume.groups.saveBlocks(group, bitmap);
      block = next;
    }
  }

  #groupOf(block: number): number {
    const { firstDataBlock, blocksPerGroup } = this.#volume.geometry;
    return Math.floor((block - firstDataBlock) / blocksPerGroup);
  }

  #bitOf(group: Group, block: number): number {
    return Math.floor((block - group.firstBlock) / this.#ratio);
  }

  /** Takes up to `count` clusters into `runs` and returns how many are still missing. */
  #collect(goal: number, count: number, wanted: number, runs: BlockRun[]): number {
    const { geometry, groups } = this.#volume;
    const firstGroup = this.#groupOf(goal);
    // What follows the goal directly is taken whatever its length: it continues the file.
    const group = groups.get(firstGroup);
    const goalBit = Math.ceil((goal - group.firstBlock) / this.#ratio);
    let missing = count - this.#takeAt(group, goalBit, count, runs);
    // Then one run for all of it, in the groups nearby; then runs that are long enough; then whatever there is.
    const usual = this.#usualRun;
    const whole = Math.min(Math.max(wanted, count), Math.floor(geometry.blocksPerGroup / this.#ratio / 2));
    for (const least of whole > usual ? [whole, usual, 1] : [whole, 1]) {
      const reach = least > usual ? Math.min(NEARBY, geometry.groupCount) : geometry.groupCount;
      for (let i = 0; i < reach && missing > 0; i++) {
        const candidate = groups.get((firstGroup + i) % geometry.groupCount);
        if (candidate.freeClusters < (least > usual ? least : Math.min(least, missing))) continue;
        const from = i === 0 ? Math.max(0, goalBit) : candidate.clusterCursor;
        missing = this.#takeFrom(candidate, from, missing, least, runs);
        if (missing > 0 && from > 0) missing = this.#takeFrom(candidate, 0, missing, least, runs);
      }
    }
    return missing;
  }

  /** The bitmap, in which these bits must be set. */
  #requireSet(group: Group, bit: number, length: number): CachedBlock {
    const bitmap = this.#volume.groups.blockBitmap(group);
    const hole = nextClear(bitmap.bytes, bit, bit + length);
    if (hole === bit + length && !this.#volume.held.has(group, bit, length)) return bitmap;
    throw new CorruptImageError({
      structure: `block bitmap of group ${group.index}`,
      field: `bit ${hole}`,
      found: '0 for a block in use',
      expected: '1',
    });
  }

  #takeFrom(group: Group, from: number, missing: number, least: number, runs: BlockRun[]): number {
    const bitmap = this.#volume.groups.blockBitmap(group);
    let rest = missing;
    for (let bit = from; bit < group.clusterCount && rest > 0;) {
      const start = nextClear(bitmap.bytes, bit, group.clusterCount);
      if (start >= group.clusterCount) break;
      const enough = Math.max(rest, least);
      const end = nextSet(bitmap.bytes, start, Math.min(group.clusterCount, start + enough));
      bit = end + 1;
      // A run that was looked for to hold more than what is taken now must have that, too.
      if (end - start < (least > this.#usualRun ? least : Math.min(least, rest))) continue;
      const length = Math.min(end - start, rest);
      this.#take(group, bitmap, start, length, runs);
      rest -= length;
    }
    return rest;
  }

  #takeAt(group: Group, bit: number, most: number, runs: BlockRun[]): number {
    if (bit >= group.clusterCount) return 0;
    const bitmap = this.#volume.groups.blockBitmap(group);
    const length = nextSet(bitmap.bytes, bit, Math.min(group.clusterCount, bit + most)) - bit;
    if (length > 0) this.#take(group, bitmap, bit, length, runs);
    return length;
  }

  #take(group: Group, bitmap: CachedBlock, bit: number, length: number, runs: BlockRun[]): void {
    const volume = this.#volume;
    setRange(bitmap.bytes, bit, length);
    const ratio = this.#ratio;
    group.freeClusters = Math.max(0, group.freeClusters - length);
    group.clusterCursor = bit + length;
    volume.freeBlocks = Math.max(0, volume.freeBlocks - length * ratio);
    volume.groups.saveBlocks(group, bitmap);
    runs.push({ start: group.firstBlock + bit * ratio, length: length * ratio });
  }
}
