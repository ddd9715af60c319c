import { FsError } from '../../../errors.ts';
import { clearRange, nextClear, nextSet, setRange } from '../bitmap.ts';
import { GroupFlag } from '../group-descriptor.ts';
import type { Volume } from '../volume.ts';
import type { GroupLayout } from './group-layout.ts';

/**
 * Which blocks are in use, before and after at the same time: what is taken anew is marked at once, what is given up stays marked until everything
 * has its new place (`freed`). So no block of the old state is overwritten before the new state is complete. Bitmaps are read when they are asked for.
 */
export class BlockUse {
  /** Runs that are free in the end. */
  readonly freed: { readonly start: number; readonly count: number }[] = [];
  /** Groups in which blocks were taken, of those that were there before. */
  readonly changed = new Set<number>();
  readonly #volume: Volume;
  readonly #old: GroupLayout;
  readonly #layout: GroupLayout;
  readonly #bits = new Map<number, Uint8Array>();
  /** No block below this one is free: for searches from the start. */
  #lowest = 0;

  constructor(volume: Volume, old: GroupLayout, layout: GroupLayout) {
    this.#volume = volume;
    this.#old = old;
    this.#layout = layout;
  }

  /** A bit for each of `blocksPerGroup` blocks; those that no volume has are clear. */
  bits(group: number): Uint8Array {
    let bits = this.#bits.get(group);
    if (bits === undefined) {
      bits = this.#load(group);
      this.#bits.set(group, bits);
    }
    return bits;
  }

  isUsed(block: number): boolean {
    const group = this.#layout.groupOf(block);
    const bit = block - this.#layout.firstBlock(group);
    return (this.bits(group)[bit >>> 3]! & (1 << (bit & 7))) !== 0;
  }

  mark(start: number, count: number): void {
    this.#each(start, count, (group, bit, length) => {
      setRange(this.bits(group), bit, length);
      if (group < this.#old.geometry.groupCount) this.changed.add(group);
    });
  }

  free(start: number, count: number): void {
    if (count > 0) this.freed.push({ start, count });
  }

  /** The first block in use of a range, or its end. */
  nextUsed(start: number, end: number): number {
    return this.#search(start, end, nextSet);
  }

  /** The first free block of a range, or its end. */
  nextFree(start: number, end: number): number {
    return this.#search(start, end, nextClear);
  }

  /** The first `count` free blocks in a row that begin in `[start, finish)`. */
  findRun(start: number, finish: number, count: number): number | undefined {
    const { blockCount, firstDataBlock } = this.#layout.geometry;
    let at = Math.max(start, firstDataBlock);
    const last = Math.min(finish, blockCount - count + 1);
    while (at < last) {
      at = this.nextFree(at, last);
      if (at >= last) return undefined;
      const end = this.nextUsed(at, at + count);
      if (end - at >= count) return at;
      at = end;
    }
    return undefined;
  }

  /**
   * Takes `count` blocks in a row; where there are no such, as many as there are in the first run. Never blocks behind the end, nor
   * what the new layout has for itself, which is marked before. ENOSPC when nothing is free.
   */
  take(count: number): { readonly start: number; readonly count: number } {
    const { blockCount, firstDataBlock } = this.#layout.geometry;
    const from = this.nextFree(Math.max(this.#lowest, firstDataBlock), blockCount);
    this.#lowest = from;
    if (from >= blockCount) {
      throw new FsError('ENOSPC', {
        detail: `no block is left below block ${blockCount} for what has to be moved`,
      });
    }
    const whole = this.findRun(from, blockCount, count);
    const start = whole ?? from;
    const length =
      whole === undefined ? this.nextUsed(from, Math.min(from + count, blockCount)) - from : count;
    this.mark(start, length);
    return { start, count: length };
  }

  /** Blocks in use of a range, which may lie behind the new end. Bitmaps that nothing was changed in are not kept. */
  countUsed(start: number, end: number): number {
    let count = 0;
    this.#each(start, end - start, (group, bit, length) => {
      const changed = this.#bits.get(group);
      if (changed !== undefined) count += countSet(changed, bit, bit + length);
      else if (group < this.#old.geometry.groupCount) count += this.#countOld(group, bit, length);
    });
    return count;
  }

  /** Now free is what was given up. To be called when nothing more is taken. */
  release(): void {
    for (const { start, count } of this.freed) {
      this.#each(start, count, (group, bit, length) => {
        if (group >= this.#layout.geometry.groupCount) return;
        clearRange(this.bits(group), bit, length);
        if (group < this.#old.geometry.groupCount) this.changed.add(group);
      });
    }
    this.freed.length = 0;
  }

  #countOld(group: number, bit: number, length: number): number {
    const { groups } = this.#volume;
    const found = groups.get(group);
    const isNew = (found.flags & GroupFlag.blocksUninitialised) !== 0;
    if (isNew && bit === 0 && length === found.blockCount) return length - found.freeClusters;
    const used = countSet(groups.blockBitmap(found).bytes, bit, Math.min(bit + length, found.blockCount));
    this.#volume.trim();
    return used;
  }

  #load(group: number): Uint8Array {
    const { blockSize, groupCount } = this.#old.geometry;
    const bits = new Uint8Array(blockSize);
    if (group >= groupCount) return bits;
    const { groups } = this.#volume;
    bits.set(groups.blockBitmap(groups.get(group)).bytes);
    const count = this.#old.blockCount(group);
    for (let bit = count; bit < 8 * blockSize && (bit & 7) !== 0; bit++)
      bits[bit >>> 3]! &= ~(1 << (bit & 7));
    bits.fill(0, (count + 7) >>> 3);
    return bits;
  }

  #each(start: number, count: number, visit: (group: number, bit: number, length: number) => void): void {
    const { blocksPerGroup } = this.#layout.geometry;
    for (let at = start; at < start + count;) {
      const group = this.#layout.groupOf(at);
      const bit = at - this.#layout.firstBlock(group);
      const length = Math.min(start + count - at, blocksPerGroup - bit);
      visit(group, bit, length);
      at += length;
    }
  }

  #search(start: number, end: number, next: typeof nextSet): number {
    const { blocksPerGroup } = this.#layout.geometry;
    let at = start;
    while (at < end) {
      const group = this.#layout.groupOf(at);
      const first = this.#layout.firstBlock(group);
      const stop = Math.min(blocksPerGroup, end - first);
      const found = next(this.bits(group), at - first, stop);
      if (found < stop) return first + found;
      at = first + stop;
    }
    return end;
  }
}

/** The bitmap of a group as it is written: what the volume does not have counts as taken. */
export function paddedBitmap(bits: Uint8Array, layout: GroupLayout, group: number): Uint8Array {
  const padded = bits.slice();
  const count = layout.blockCount(group);
  // In blocks of 64 KiB, the bitmap has more bits than a group can have blocks.
  setRange(padded, count, 8 * padded.length - count);
  return padded;
}

function countSet(bits: Uint8Array, from: number, end: number): number {
  let count = 0;
  for (let at = nextSet(bits, from, end); at < end;) {
    const stop = nextClear(bits, at, end);
    count += stop - at;
    at = nextSet(bits, stop, end);
  }
  return count;
}

/** Free blocks of a group, by its bitmap. */
export function countFree(bits: Uint8Array, layout: GroupLayout, group: number): number {
  const count = layout.blockCount(group);
  let free = 0;
  for (let at = nextClear(bits, 0, count); at < count;) {
    const end = nextSet(bits, at, count);
    free += end - at;
    at = nextClear(bits, end, count);
  }
  return free;
}
