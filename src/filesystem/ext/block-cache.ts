import { viewOf } from '../../bytes/struct.ts';
import type { BlockDevice } from '../../device/block-device.ts';

/**
 * The order in which dirty blocks go to the device: what is pointed at before what points at it. After a cut, space
 * that was being taken is at worst marked as used by nobody (e2fsck gives it back); nothing points at garbage.
 */
export const WriteRank = {
  bitmap: 0,
  /** Indirect blocks, attribute blocks, targets of symlinks. */
  mapping: 1,
  /** A directory's block on its first way out: no inode may lead to it before. Afterwards it is `directory`. */
  newDirectory: 2,
  inodeTable: 3,
  directory: 4,
  descriptor: 5,
} as const;

export type WriteRank = (typeof WriteRank)[keyof typeof WriteRank];

export interface CachedBlock {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  rank: WriteRank;
  dirty: boolean;
}

/** Bytes that may stay in memory between operations. */
const LIMIT = 24 << 20;
/** Bytes of memory taken at once for new blocks. */
const SLAB = 1 << 18;
/** Longest single write of merged neighbours, bytes. */
const MERGE = 1 << 20;

/**
 * Metadata blocks in memory, written back in merged runs. Blocks leave only through `trim`, which callers run between
 * operations: within one operation a block once fetched stays the one and only copy.
 */
export class BlockCache {
  readonly #device: BlockDevice;
  readonly #blockSize: number;
  readonly #onFirstChange: () => void;
  readonly #blockLimit: number;
  /** Two generations: what is used moves to the young one, what is left in the old one goes. */
  #young = new Map<number, CachedBlock>();
  #old = new Map<number, CachedBlock>();
  #dirty: CachedBlock[] = [];
  #changed = false;
  #merge: Uint8Array | undefined;
  /** Blocks are cut out of larger pieces: many small allocations outside of the heap are slow. */
  #slab: Uint8Array = new Uint8Array(0);
  #slabUsed = 0;

  /** `onFirstChange` runs before the first block becomes dirty. */
  constructor(device: BlockDevice, blockSize: number, onFirstChange: () => void) {
    this.#device = device;
    this.#blockSize = blockSize;
    this.#onFirstChange = onFirstChange;
    this.#blockLimit = Math.max(64, LIMIT / blockSize / 2);
  }

  get hasChanged(): boolean {
    return this.#changed;
  }

  /** Is it time for `trim`? */
  get isFull(): boolean {
    return this.#young.size >= this.#blockLimit;
  }

  get(index: number, rank: WriteRank): CachedBlock {
    const young = this.#young.get(index);
    if (young !== undefined) return young;
    let block = this.#old.get(index);
    if (block !== undefined) this.#old.delete(index);
    else {
      block = this.#fresh(index, rank);
      this.#device.read(index * this.#blockSize, block.bytes);
    }
    this.#young.set(index, block);
    return block;
  }

  /** A block of zeros, dirty; whatever the device holds there is not read. */
  create(index: number, rank: WriteRank): CachedBlock {
    this.forget(index, 1);
    const block = this.#fresh(index, rank);
    this.#young.set(index, block);
    this.markDirty(block);
    return block;
  }

  markDirty(block: CachedBlock): void {
    if (block.dirty) return;
    if (!this.#changed) {
      this.#changed = true;
      this.#onFirstChange();
    }
    block.dirty = true;
    this.#dirty.push(block);
  }

  /** Drops blocks whose content no longer matters, because they were freed. */
  forget(start: number, count: number): void {
    if (count > this.#young.size + this.#old.size) {
      for (const map of [this.#young, this.#old]) {
        for (const index of map.keys()) {
          if (index >= start && index < start + count) this.#drop(map, index);
        }
      }
      return;
    }
    for (let index = start; index < start + count; index++) {
      this.#drop(this.#young, index);
      this.#drop(this.#old, index);
    }
  }

  /** Keeps memory within bounds. Only between operations. */
  trim(): void {
    this.flush();
    this.#old = this.#young;
    this.#young = new Map();
  }

  /** Writes every dirty block: by rank, within a rank in the order of the device, neighbours in one write. */
  flush(): void {
    const pending = this.#dirty.filter((block) => block.dirty);
    this.#dirty = pending;
    pending.sort((a, b) => a.rank - b.rank || a.index - b.index);
    for (let i = 0; i < pending.length;) {
      const first = pending[i]!;
      let count = 1;
      const most = Math.max(1, MERGE / this.#blockSize);
      while (count < most && i + count < pending.length) {
        const next = pending[i + count]!;
        if (next.rank !== first.rank || next.index !== first.index + count) break;
        count++;
      }
      this.#write(pending, i, count);
      i += count;
    }
    this.#dirty = [];
  }

  /** Forgets everything, dirty or not. */
  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#dirty = [];
  }

  #write(pending: readonly CachedBlock[], from: number, count: number): void {
    const first = pending[from]!;
    if (count === 1) {
      this.#device.write(first.index * this.#blockSize, first.bytes);
    } else {
      const merge = (this.#merge ??= new Uint8Array(Math.max(MERGE, this.#blockSize)));
      for (let i = 0; i < count; i++) merge.set(pending[from + i]!.bytes, i * this.#blockSize);
      this.#device.write(first.index * this.#blockSize, merge.subarray(0, count * this.#blockSize));
    }
    for (let i = from; i < from + count; i++) {
      const block = pending[i]!;
      block.dirty = false;
      if (block.rank === WriteRank.newDirectory) block.rank = WriteRank.directory;
    }
  }

  #fresh(index: number, rank: WriteRank): CachedBlock {
    if (this.#slab.length - this.#slabUsed < this.#blockSize) {
      this.#slab = new Uint8Array(Math.max(SLAB, this.#blockSize));
      this.#slabUsed = 0;
    }
    const bytes = this.#slab.subarray(this.#slabUsed, this.#slabUsed + this.#blockSize);
    this.#slabUsed += this.#blockSize;
    return { index, bytes, view: viewOf(bytes), rank, dirty: false };
  }

  #drop(map: Map<number, CachedBlock>, index: number): void {
    const block = map.get(index);
    if (block === undefined) return;
    block.dirty = false;
    map.delete(index);
  }
}
