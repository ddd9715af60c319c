import { FsError } from '../../errors.ts';
import { type BlockAllocator, type BlockRun } from './block-allocator.ts';
import { type CachedBlock, WriteRank } from './block-cache.ts';
import { Inode } from './inode.ts';
import type { InodeRef, InodeTable } from './inode-table.ts';
import type { MappedRun } from './file-map.ts';
import { RunCollector } from './run-collector.ts';
import type { Volume } from './volume.ts';

const DIRECT = 12;
/** Block numbers have 32 bits here. */
const MAX_BLOCK = 0x1_0000_0000;
const I_BLOCK = Inode.i_block.offset;

/**
 * ext2's block map: `i_block` holds 12 block numbers, then those of a single, a double and a triple indirect block; 0 is a
 * hole. Indirect blocks lie in line with the data: each right before the first block that it points at.
 */
export class BlockMap {
  readonly #volume: Volume;
  readonly #inodes: InodeTable;
  readonly #allocator: BlockAllocator;
  /** Pointers a block. */
  readonly #pointers: number;
  readonly #run: MappedRun = { start: 0, length: 0 };

  constructor(volume: Volume, inodes: InodeTable, allocator: BlockAllocator) {
    this.#volume = volume;
    this.#inodes = inodes;
    this.#allocator = allocator;
    this.#pointers = volume.geometry.blockSize / 4;
  }

  /** Blocks that a file can be mapped to: bounded by the map, and by `i_blocks`, which counts in 512 bytes. */
  get maxBlocks(): number {
    const p = this.#pointers;
    const mapped = DIRECT + p + p * p + p * p * p;
    const index = 1 + (1 + p) + (1 + p + p * p);
    const counted = Math.floor(0xffff_ffff / this.#volume.geometry.sectorsPerBlock);
    if (mapped + index <= counted) return mapped;
    // One indirect block for every p blocks, one for every p of those, and the tops of the three trees.
    return counted - Math.ceil(counted / p) - Math.ceil(counted / (p * p)) - 3;
  }

  /** Fills `run` with the blocks from `block` on that lie in one piece, or are one hole, at most `limit`. */
  map(ref: InodeRef, block: number, limit: number, run: MappedRun): void {
    let { view } = ref;
    let table = ref.base + I_BLOCK;
    let at = block;
    let end = DIRECT;
    if (block >= DIRECT) {
      const p = this.#pointers;
      at -= DIRECT;
      let depth = 1;
      let span = p;
      while (at >= span) {
        at -= span;
        span *= p;
        if (++depth > 3) {
          run.start = 0;
          run.length = limit;
          return;
        }
      }
      let pointer = view.getUint32(table + 4 * (DIRECT + depth - 1), true);
      for (;;) {
        if (pointer === 0) {
          run.start = 0;
          run.length = Math.min(limit, span - at);
          return;
        }
        this.#volume.checkPointer(pointer, ref.number, 'indirect block');
        view = this.#volume.cache.get(pointer, WriteRank.mapping).view;
        table = 0;
        span /= p;
        if (span === 1) break;
        pointer = view.getUint32(4 * Math.floor(at / span), true);
        at %= span;
      }
      end = p;
    }
    const start = view.getUint32(table + 4 * at, true);
    const last = Math.min(end, at + limit);
    let next = at + 1;
    if (start === 0) {
      while (next < last && view.getUint32(table + 4 * next, true) === 0) next++;
    } else {
      const difference = start - at;
      while (next < last && view.getUint32(table + 4 * next, true) === difference + next) next++;
      this.#volume.checkPointer(start, ref.number, 'i_block');
      this.#volume.checkPointer(start + next - at - 1, ref.number, 'i_block');
    }
    run.start = start;
    run.length = next - at;
  }

  /** The block behind the one before `block` of the file, or 0. */
  goal(ref: InodeRef, block: number): number {
    if (block === 0) return 0;
    const run = this.#run;
    this.map(ref, block - 1, 1, run);
    return run.start === 0 ? 0 : run.start + 1;
  }

  /** Maps every hole of the range; `wanted` as for the allocator. */
  provide(ref: InodeRef, from: number, count: number, goal: number, wanted: number): void {
    const missing = this.missing(ref, from, count);
    if (missing === 0) return;
    const runs = this.#allocator.allocate(goal, missing, Math.max(missing, wanted));
    if (runs.some((run) => run.start + run.length > MAX_BLOCK)) {
      for (const run of runs) this.#allocator.giveBack(run.start, run.length);
      throw new FsError('ENOSPC', {
        syscall: 'write',
        detail: `no space left on device: inode ${ref.number} has a block map, which reaches the first ${MAX_BLOCK} blocks only`,
      });
    }
    this.#fill(ref, from, count, runs);
  }

  /** As `FileMap.begin`. */
  begin(ref: InodeRef, count: number, goal: number, run: MappedRun): void {
    this.provide(ref, 0, count, goal, count);
    this.map(ref, 0, count, run);
  }

  /** How many blocks would have to be taken to map `[from, from + count)`, indirect ones included. */
  missing(ref: InodeRef, from: number, count: number): number {
    let sum = 0;
    this.#forEachTree(from, from + count, (slot, depth, start, end) => {
      sum += this.#missingIn(ref.number, depth, this.#slot(ref, slot), start, end);
    });
    return sum;
  }

  /** Maps every hole of `[from, from + count)` to blocks of `runs`, in order; there must be exactly as many as `missing` says. */
  #fill(ref: InodeRef, from: number, count: number, runs: readonly BlockRun[]): void {
    const source = new BlockSource(runs);
    this.#forEachTree(from, from + count, (slot, depth, start, end) => {
      const before = this.#slot(ref, slot);
      const after = this.#fillIn(ref.number, depth, before, start, end, source);
      if (after !== before) ref.view.setUint32(ref.base + I_BLOCK + 4 * slot, after, true);
    });
    this.#inodes.addBlocks(ref, source.taken);
  }

  /** Unmaps and frees everything from block `from` on. All pointers are checked before anything changes. */
  truncate(ref: InodeRef, from: number): void {
    const runs = this.requireFreeable(ref, from);
    this.#forEachTree(from, Number.POSITIVE_INFINITY, (slot, depth, start) => {
      const pointer = this.#slot(ref, slot);
      if (pointer === 0) return;
      if (start === 0) ref.view.setUint32(ref.base + I_BLOCK + 4 * slot, 0, true);
      else this.#clear(ref.number, depth, pointer, start);
    });
    let freed = 0;
    for (const run of runs) freed += run.length;
    this.#inodes.addBlocks(ref, -freed);
    for (const run of runs) this.#allocator.free(run.start, run.length);
  }

  /** Unmaps and frees the blocks of `[from, from + count)`, and the tables in which nothing stays. All pointers are checked before anything changes. */
  punch(ref: InodeRef, from: number, count: number): boolean {
    const collector = new RunCollector(this.#volume.geometry.blockCount);
    this.#forEachTree(from, from + count, (slot, depth, start, end) => {
      this.#collectRange(ref.number, depth, this.#slot(ref, slot), start, end, collector);
    });
    const runs = collector.finish();
    if (runs.length === 0) return true;
    this.#allocator.requireUsed(runs, ref.number);
    this.#forEachTree(from, from + count, (slot, depth, start, end) => {
      if (this.#clearRange(ref.number, depth, this.#slot(ref, slot), start, end))
        ref.view.setUint32(ref.base + I_BLOCK + 4 * slot, 0, true);
    });
    let freed = 0;
    for (const run of runs) freed += run.length;
    this.#inodes.addBlocks(ref, -freed);
    for (const run of runs) this.#allocator.free(run.start, run.length);
    return true;
  }

  /** All blocks from block `from` of the file on; CorruptImageError when they cannot all be given back. */
  requireFreeable(ref: InodeRef, from: number): readonly BlockRun[] {
    const collector = new RunCollector(this.#volume.geometry.blockCount);
    this.#forEachTree(from, Number.POSITIVE_INFINITY, (slot, depth, start) => {
      this.#collect(ref.number, depth, this.#slot(ref, slot), start, collector);
    });
    const runs = collector.finish();
    this.#allocator.requireUsed(runs, ref.number);
    return runs;
  }

  #slot(ref: InodeRef, slot: number): number {
    return ref.view.getUint32(ref.base + I_BLOCK + 4 * slot, true);
  }

  /** The parts of a range of blocks by the slot of `i_block` that they hang on; `start` and `end` count within the slot's tree. */
  #forEachTree(
    from: number,
    to: number,
    visit: (slot: number, depth: number, start: number, end: number) => void,
  ): void {
    for (let slot = Math.min(from, DIRECT); slot < Math.min(to, DIRECT); slot++) visit(slot, 0, 0, 1);
    let first = DIRECT;
    let span = 1;
    for (let depth = 1; depth <= 3; depth++) {
      span *= this.#pointers;
      if (to > first && from < first + span) {
        visit(DIRECT + depth - 1, depth, Math.max(0, from - first), Math.min(span, to - first));
      }
      first += span;
    }
  }

  #missingIn(inode: number, depth: number, pointer: number, from: number, to: number): number {
    if (depth === 0) return pointer === 0 ? 1 : 0;
    const p = this.#pointers;
    if (pointer === 0) {
      let sum = to - from + 1;
      let span = 1;
      for (let level = 1; level < depth; level++) {
        span *= p;
        sum += Math.floor((to - 1) / span) - Math.floor(from / span) + 1;
      }
      return sum;
    }
    const { view } = this.#table(inode, pointer);
    let sum = 0;
    if (depth === 1) {
      for (let i = from; i < to; i++) if (view.getUint32(4 * i, true) === 0) sum++;
      return sum;
    }
    const span = p ** (depth - 1);
    for (let i = Math.floor(from / span); i * span < to; i++) {
      const start = Math.max(0, from - i * span);
      sum += this.#missingIn(
        inode,
        depth - 1,
        view.getUint32(4 * i, true),
        start,
        Math.min(span, to - i * span),
      );
    }
    return sum;
  }

  #fillIn(
    inode: number,
    depth: number,
    pointer: number,
    from: number,
    to: number,
    source: BlockSource,
  ): number {
    if (depth === 0) return pointer === 0 ? source.take() : pointer;
    const { cache } = this.#volume;
    const number = pointer === 0 ? source.take() : pointer;
    const block = pointer === 0 ? cache.create(number, WriteRank.newMapping) : this.#table(inode, pointer);
    const { view } = block;
    const takenBefore = source.taken;
    if (depth === 1) {
      for (let i = from; i < to; i++) {
        if (view.getUint32(4 * i, true) === 0) view.setUint32(4 * i, source.take(), true);
      }
    } else {
      const span = this.#pointers ** (depth - 1);
      for (let i = Math.floor(from / span); i * span < to; i++) {
        const before = view.getUint32(4 * i, true);
        const start = Math.max(0, from - i * span);
        const after = this.#fillIn(inode, depth - 1, before, start, Math.min(span, to - i * span), source);
        if (after !== before) view.setUint32(4 * i, after, true);
      }
    }
    if (source.taken !== takenBefore) cache.markDirty(block);
    return number;
  }

  #collect(inode: number, depth: number, pointer: number, from: number, runs: RunCollector): void {
    if (pointer === 0) return;
    this.#volume.checkPointer(pointer, inode, depth === 0 ? 'i_block' : 'indirect block');
    if (depth === 0) {
      runs.add(pointer, inode);
      return;
    }
    // A table from which nothing stays goes, too.
    if (from === 0) runs.add(pointer, inode);
    const { view } = this.#table(inode, pointer);
    const span = this.#pointers ** (depth - 1);
    for (let i = Math.floor(from / span); i < this.#pointers; i++) {
      const child = view.getUint32(4 * i, true);
      if (child !== 0) this.#collect(inode, depth - 1, child, Math.max(0, from - i * span), runs);
    }
  }

  /** Collects what `punch` frees below a pointer; true when nothing below it stays. */
  #collectRange(
    inode: number,
    depth: number,
    pointer: number,
    from: number,
    to: number,
    runs: RunCollector,
  ): boolean {
    if (pointer === 0) return true;
    this.#volume.checkPointer(pointer, inode, depth === 0 ? 'i_block' : 'indirect block');
    let goes = true;
    if (depth > 0) {
      const { view } = this.#table(inode, pointer);
      const span = this.#pointers ** (depth - 1);
      for (let i = 0; i < this.#pointers; i++) {
        const child = view.getUint32(4 * i, true);
        if (child === 0) continue;
        const start = Math.max(0, from - i * span);
        const end = Math.min(span, to - i * span);
        if (end <= start || !this.#collectRange(inode, depth - 1, child, start, end, runs)) goes = false;
      }
    }
    if (goes) runs.add(pointer, inode);
    return goes;
  }

  /** Zeroes the pointers of a range in the tables that stay; true when the one that `pointer` names does not. */
  #clearRange(inode: number, depth: number, pointer: number, from: number, to: number): boolean {
    if (pointer === 0 || depth === 0) return true;
    const block = this.#table(inode, pointer);
    const span = this.#pointers ** (depth - 1);
    const gone: number[] = [];
    let goes = true;
    for (let i = 0; i < this.#pointers; i++) {
      const child = block.view.getUint32(4 * i, true);
      if (child === 0) continue;
      const start = Math.max(0, from - i * span);
      const end = Math.min(span, to - i * span);
      if (end > start && this.#clearRange(inode, depth - 1, child, start, end)) gone.push(i);
      else goes = false;
    }
    if (goes) return true;
    for (const i of gone) block.view.setUint32(4 * i, 0, true);
    if (gone.length > 0) this.#volume.cache.markDirty(block);
    return false;
  }

  /** Zeroes the pointers from `from` on in a table that stays. */
  #clear(inode: number, depth: number, pointer: number, from: number): void {
    const block = this.#table(inode, pointer);
    const span = this.#pointers ** (depth - 1);
    let first = Math.floor(from / span);
    if (from % span !== 0) {
      const child = block.view.getUint32(4 * first, true);
      if (child !== 0) this.#clear(inode, depth - 1, child, from % span);
      first++;
    }
    block.bytes.fill(0, 4 * first);
    this.#volume.cache.markDirty(block);
  }

  #table(inode: number, pointer: number): CachedBlock {
    this.#volume.checkPointer(pointer, inode, 'indirect block');
    return this.#volume.cache.get(pointer, WriteRank.mapping);
  }
}

/** Hands out the blocks of some runs one by one. */
class BlockSource {
  taken = 0;
  readonly #runs: readonly BlockRun[];
  #index = 0;
  #used = 0;

  constructor(runs: readonly BlockRun[]) {
    this.#runs = runs;
  }

  take(): number {
    const run = this.#runs[this.#index];
    if (run === undefined) throw new FsError('ENOSPC', { syscall: 'write' });
    const block = run.start + this.#used;
    if (++this.#used === run.length) {
      this.#index++;
      this.#used = 0;
    }
    this.taken++;
    return block;
  }
}
