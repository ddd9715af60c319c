import { viewOf } from '../../bytes/struct.ts';
import type { BlockDevice } from '../../device/block-device.ts';

/**
 * The order in which dirty blocks go to the device: what is pointed at before what points at it. After a cut, space
 * that was being taken is at worst marked as used by nobody (e2fsck gives it back); nothing points at garbage.
 */
export const WriteRank = {
  bitmap: 0,
  /** Group descriptors, which say what of the bitmaps and inode tables means something. */
  descriptor: 1,
  /** What is `mapping` afterwards, on its first way out: nothing may lead to it before. */
  newMapping: 2,
  /** A directory's block on its first way out, likewise. Afterwards it is `directory`. */
  newDirectory: 3,
  /** Indirect blocks, nodes of extent trees, attribute blocks, targets of symlinks. */
  mapping: 4,
  inodeTable: 5,
  directory: 6,
} as const;

export type WriteRank = (typeof WriteRank)[keyof typeof WriteRank];

/** A block of the volume with what it holds. */
export interface BlockContent {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export interface CachedBlock extends BlockContent {
  rank: WriteRank;
  dirty: boolean;
  seal: BlockSeal | undefined;
  /** Among the dirty blocks of one rank: those of a lower level go out before. */
  level: number;
  /** Some block is to go out behind this one. */
  hasFollowers: boolean;
}

/** What keeps the checksum of one kind of block. */
export interface BlockSeal {
  /** Brings the checksum up to date: once, right before the block goes out. May make descriptors dirty, nothing else. */
  seal(block: BlockContent): void;
  /** CorruptImageError when the block, as it came from the device, does not have the checksum that it should. */
  verify(block: BlockContent): void;
}

/** Where blocks go: to the device as they are, or into a journal. */
export interface BlockSink {
  /** Sealed blocks, by rank, and in the order of the device within a rank. */
  write(blocks: readonly CachedBlock[]): void;
}

/** Most times that a rank waits for itself. */
const MOST_LEVELS = 4;
/** Bytes that may stay in memory between operations. */
const LIMIT = 24 << 20;
/** Bytes of memory taken at once for new blocks. */
const SLAB = 1 << 18;

/**
 * Metadata blocks in memory, written back in merged runs. Blocks leave only through `trim`, which callers run between
 * operations: within one operation a block once fetched stays the one and only copy.
 */
export class BlockCache {
  /** Where dirty blocks go. Whoever made the cache sets it before the first is dirty. */
  sink!: BlockSink;
  /** Runs when blocks are freed, before they are dropped: what a journal holds of them must not be replayed. */
  onForget: ((start: number, count: number) => void) | undefined;
  readonly #device: BlockDevice;
  readonly #blockSize: number;
  readonly #onFirstChange: () => void;
  readonly #blockLimit: number;
  /** Two generations: what is used moves to the young one, what is left in the old one goes. */
  #young = new Map<number, CachedBlock>();
  #old = new Map<number, CachedBlock>();
  #dirty: CachedBlock[] = [];
  #changed = false;
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

  /** Blocks that wait to be written, at most. */
  get dirtyCount(): number {
    return this.#dirty.length;
  }

  /** Is it time for `trim`? */
  get isFull(): boolean {
    return this.#young.size >= this.#blockLimit;
  }

  /** The block, read from the device and verified unless it is here. `seal` stays with it until it leaves. */
  get(index: number, rank: WriteRank, seal?: BlockSeal): CachedBlock {
    const known = this.find(index);
    if (known !== undefined) {
      if (seal !== undefined && known.seal === undefined) {
        if (!known.dirty) seal.verify(known);
        known.seal = seal;
      }
      return known;
    }
    const block = this.#fresh(index, rank, seal);
    this.#device.read(index * this.#blockSize, block.bytes);
    seal?.verify(block);
    this.#young.set(index, block);
    return block;
  }

  /**
   * The block, as `get`; where it is not here, `count` blocks from it on are read at once, for whoever is going to need them. `sealOf`
   * gives the seal of each.
   */
  getAhead(
    index: number,
    count: number,
    rank: WriteRank,
    sealOf: (index: number) => BlockSeal | undefined,
  ): CachedBlock {
    const known = this.find(index);
    if (known !== undefined || count < 2) return this.get(index, rank, sealOf(index));
    const bytes = new Uint8Array(count * this.#blockSize);
    try {
      this.#device.read(index * this.#blockSize, bytes);
    } catch {
      // A block that cannot be read says so when it is the one that is needed.
      return this.get(index, rank, sealOf(index));
    }
    for (let i = 0; i < count; i++) {
      if (this.find(index + i) !== undefined) continue;
      const part = bytes.subarray(i * this.#blockSize, (i + 1) * this.#blockSize);
      const seal = sealOf(index + i);
      const block = clean(index + i, part, rank, seal);
      seal?.verify(block);
      this.#young.set(index + i, block);
    }
    return this.find(index)!;
  }

  /** The block if it is in memory. */
  find(index: number): CachedBlock | undefined {
    const young = this.#young.get(index);
    if (young !== undefined) return young;
    const block = this.#old.get(index);
    if (block === undefined) return undefined;
    this.#old.delete(index);
    this.#young.set(index, block);
    return block;
  }

  /** A block of zeros, dirty; whatever the device holds there is not read. */
  create(index: number, rank: WriteRank, seal?: BlockSeal): CachedBlock {
    const block = this.blank(index, rank, seal);
    this.markDirty(block);
    return block;
  }

  /** A block of zeros that is not dirty: what the device holds there means nothing. */
  blank(index: number, rank: WriteRank, seal?: BlockSeal): CachedBlock {
    this.#drop(this.#young, index);
    this.#drop(this.#old, index);
    const block = this.#fresh(index, rank, seal);
    this.#young.set(index, block);
    return block;
  }

  /** Lets `second` go out only after `first`, which is of the same rank. False when that cannot be, since others wait for it. */
  order(first: CachedBlock, second: CachedBlock): boolean {
    if (first === second) return true;
    if (second.level <= first.level) {
      if (second.hasFollowers || first.level >= MOST_LEVELS) return false;
      second.level = first.level + 1;
    }
    first.hasFollowers = true;
    return true;
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
    this.onForget?.(start, count);
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

  /**
   * Seals every dirty block and hands them to the sink: by rank, within a rank in the order of the device. When the
   * sink throws they all stay dirty.
   */
  flush(): void {
    if (this.#dirty.length === 0) return;
    // Checksums of bitmaps lie in descriptors, which become dirty with them and are sealed after everything else.
    const others = this.#dirty.filter((block) => block.dirty && block.rank !== WriteRank.descriptor);
    for (const block of others) block.seal?.seal(block);
    const pending = this.#dirty.filter((block) => block.dirty);
    this.#dirty = pending;
    for (const block of pending) {
      if (block.rank === WriteRank.descriptor) block.seal?.seal(block);
    }
    pending.sort((a, b) => a.rank - b.rank || a.level - b.level || a.index - b.index);
    this.sink.write(pending);
    for (const block of pending) {
      block.dirty = false;
      block.level = 0;
      block.hasFollowers = false;
      if (block.rank === WriteRank.newDirectory) block.rank = WriteRank.directory;
      else if (block.rank === WriteRank.newMapping) block.rank = WriteRank.mapping;
    }
    this.#dirty = [];
  }

  /** Forgets everything, dirty or not. */
  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#dirty = [];
  }

  #fresh(index: number, rank: WriteRank, seal: BlockSeal | undefined): CachedBlock {
    if (this.#slab.length - this.#slabUsed < this.#blockSize) {
      this.#slab = new Uint8Array(Math.max(SLAB, this.#blockSize));
      this.#slabUsed = 0;
    }
    const bytes = this.#slab.subarray(this.#slabUsed, this.#slabUsed + this.#blockSize);
    this.#slabUsed += this.#blockSize;
    return clean(index, bytes, rank, seal);
  }

  #drop(map: Map<number, CachedBlock>, index: number): void {
    const block = map.get(index);
    if (block === undefined) return;
    block.dirty = false;
    map.delete(index);
  }
}

function clean(index: number, bytes: Uint8Array, rank: WriteRank, seal: BlockSeal | undefined): CachedBlock {
  return { index, bytes, view: viewOf(bytes), rank, dirty: false, seal, level: 0, hasFollowers: false };
}
