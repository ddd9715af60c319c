import type { QuotaKind } from '../file-system.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import { type CachedBlock, WriteRank } from './block-cache.ts';
import type { ExtCore } from './ext-core.ts';
import type { MappedRun } from './file-map.ts';
import type { InodeRef } from './inode-table.ts';
import { QuotaEntry, type QuotaRecord, recordAt, TREE_BLOCK } from './quota-entry.ts';
import { readSoundQuotaFile } from './quota-file.ts';
import { markUsed, type QuotaBlocks, QuotaTree } from './quota-tree.ts';

/** Limits of space are in blocks of so many bytes. */
const LIMIT_BLOCK = 1024n;

/**
 * What the owners of one kind have of an open volume: their entries in the file of quotas, in place. The file's blocks go through the cache of metadata, so an entry
 * is written in the transaction of what it counts.
 */
export class QuotaAccount implements QuotaBlocks {
  readonly kind: QuotaKind;
  /** Limits bind those who are not exempt. */
  readonly isEnforced: boolean;
  readonly #core: ExtCore;
  readonly #inode: number;
  readonly #tree: QuotaTree;
  /** Bytes within the file at which the entry of each owner lies. */
  readonly #positions = new Map<number, number>();
  /** Owners who may have nothing any more. */
  readonly #idle = new Set<number>();
  /** Blocks of the volume that hold the file, in its order. */
  readonly #places: number[] = [];
  /** Seconds for which soft limits may be exceeded. */
  readonly #grace: { readonly blocks: number; readonly inodes: number };

  /** CorruptImageError when the file is not sound. */
  constructor(core: ExtCore, kind: QuotaKind, inode: number, isEnforced: boolean) {
    this.#core = core;
    this.kind = kind;
    this.isEnforced = isEnforced;
    this.#inode = inode;
    this.#tree = new QuotaTree(this);
    const ref = this.#load();
    const { inodes } = core;
    this.#findPlaces(ref);
    const state = readSoundQuotaFile(
      {
        size: Math.min(inodes.size(ref), this.#places.length * core.volume.geometry.blockSize),
        maxBlocks: (this.#places.length * core.volume.geometry.blockSize) / TREE_BLOCK,
        read: (block, into) => {
          const view = this.look(block);
          into.set(new Uint8Array(view.buffer, view.byteOffset, TREE_BLOCK));
        },
      },
      kind,
      (id, position) => void this.#positions.set(id, position),
    );
    if (state.fault !== undefined) throw this.#corrupt(state.fault);
    this.#grace = state.grace;
  }

  has(id: number): boolean {
    return this.#positions.has(id);
  }

  /** What `id` has and may have; undefined when it has no entry. */
  find(id: number): QuotaRecord | undefined {
    const position = this.#positions.get(id);
    return position === undefined ? undefined : recordAt(this.look(blockOf(position)), position % TREE_BLOCK);
  }

  /** Blocks that an entry for `id`, which has none, takes at most. */
  blocksFor(id: number): number {
    const more = this.#blocksAfter(id) - this.#places.length;
    return more <= 0 ? 0 : this.#core.fileMap.missing(this.#load(), this.#places.length, more);
  }

  /** Gives `id`, which has none, an entry; there must be space. */
  acquire(id: number): void {
    const { inodes } = this.#core;
    this.#extend(this.#blocksAfter(id));
    this.#positions.set(id, this.#tree.insert(id));
    this.#idle.add(id);
    const ref = this.#load();
    const size = this.#tree.blockCount * TREE_BLOCK;
    if (size > inodes.size(ref)) inodes.setSize(ref, size);
  }

  /** Takes the entries away that stand for nothing, as the kernel does: no limits, nothing used. */
  release(): void {
    for (const id of this.#idle) {
      const { space, inodes, hardBlocks, softBlocks, hardInodes, softInodes } = this.find(id)!;
      if ((space | inodes | hardBlocks | softBlocks | hardInodes | softInodes) !== 0n) continue;
      this.#tree.delete(id, this.#positions.get(id)!);
      this.#positions.delete(id);
    }
    this.#idle.clear();
  }

  /**
   * Adds bytes and inodes to what `id` has, or takes them off. Whoever has no entry is not counted: then the file was wrong before. `now` in seconds is when times of
   * grace begin.
   */
  add(id: number, space: number, inodes: number, now: () => number): void {
    const position = this.#positions.get(id);
    if (position === undefined) return;
    const { block, at } = this.#entry(position);
    const { view } = block;
    // That an entry of zeros is one is all that this time says.
    if (id === 0 && QuotaEntry.dqb_itime.get(view, at) === 1n) QuotaEntry.dqb_itime.set(view, at, 0n);
    if (space !== 0) {
      const total = atLeastZero(QuotaEntry.dqb_curspace.get(view, at) + BigInt(space));
      QuotaEntry.dqb_curspace.set(view, at, total);
      const soft = QuotaEntry.dqb_bsoftlimit.get(view, at) * LIMIT_BLOCK;
      this.#time(view, at, 'dqb_btime', space > 0, total, soft, now, this.#grace.blocks);
    }
    if (inodes !== 0) {
      const total = atLeastZero(QuotaEntry.dqb_curinodes.get(view, at) + BigInt(inodes));
      QuotaEntry.dqb_curinodes.set(view, at, total);
      const soft = QuotaEntry.dqb_isoftlimit.get(view, at);
      this.#time(view, at, 'dqb_itime', inodes > 0, total, soft, now, this.#grace.inodes);
      if (total === 0n) this.#idle.add(id);
    }
    if (id === 0) markUsed(view, at);
    this.#core.volume.cache.markDirty(block);
  }

  /** EDQUOT when `id` may not have so many bytes and inodes more; undefined stands for no change. */
  require(
    id: number,
    space: number | undefined,
    inodes: number | undefined,
    now: () => number,
    syscall: string,
  ): void {
    const entry = this.find(id);
    if (entry === undefined) return;
    if (space !== undefined) {
      const total = entry.space + BigInt(space);
      const { hardBlocks, softBlocks, blockTime } = entry;
      this.#hold(
        id,
        total,
        hardBlocks * LIMIT_BLOCK,
        softBlocks * LIMIT_BLOCK,
        blockTime,
        now,
        syscall,
        'bytes',
      );
    }
    if (inodes === undefined) return;
    const total = entry.inodes + BigInt(inodes);
    const { hardInodes, softInodes, inodeTime } = entry;
    this.#hold(id, total, hardInodes, softInodes, inodeTime, now, syscall, 'inodes');
  }

  look(block: number): DataView {
    const { bytes } = this.#block(block);
    return new DataView(bytes.buffer, bytes.byteOffset + this.#within(block), TREE_BLOCK);
  }

  change(block: number): DataView {
    this.#core.volume.cache.markDirty(this.#block(block));
    return this.look(block);
  }

  #hold(
    id: number,
    total: bigint,
    hard: bigint,
    soft: bigint,
    time: bigint,
    now: () => number,
    syscall: string,
    unit: string,
  ): void {
    const isOver = hard !== 0n && total > hard;
    const isLate = soft !== 0n && total > soft && time !== 0n && BigInt(now()) >= time;
    if (!isOver && !isLate) return;
    const limit = isOver ? `at most ${hard} are allowed` : `more than ${soft} were allowed until ${time}`;
    throw new FsError('EDQUOT', {
      syscall,
      detail: `disk quota exceeded: ${this.kind} ${id} would have ${total} ${unit}, ${limit}`,
    });
  }

  /** The time of grace begins when a soft limit is exceeded, and is over when it is not. */
  #time(
    view: DataView,
    at: number,
    field: 'dqb_btime' | 'dqb_itime',
    isMore: boolean,
    total: bigint,
    soft: bigint,
    now: () => number,
    grace: number,
  ): void {
    if (total <= soft) {
      if (!isMore) QuotaEntry[field].set(view, at, 0n);
    } else if (isMore && this.isEnforced && soft !== 0n && QuotaEntry[field].get(view, at) === 0n)
      QuotaEntry[field].set(view, at, BigInt(now() + grace));
  }

  /** Blocks of the volume that the file has when `id` has an entry. */
  #blocksAfter(id: number): number {
    const { blockSize } = this.#core.volume.geometry;
    return Math.ceil(((this.#tree.blockCount + this.#tree.growth(id)) * TREE_BLOCK) / blockSize);
  }

  /** Gives the file blocks of zeros up to this many. */
  #extend(count: number): void {
    const { fileMap, volume, blocks, inodeAllocator } = this.#core;
    const from = this.#places.length;
    if (count <= from) return;
    const ref = this.#load();
    const goal = fileMap.goal(ref, from) || blocks.goalInGroup(inodeAllocator.groupOf(this.#inode));
    fileMap.provide(ref, from, count - from, goal, count - from);
    const run: MappedRun = { start: 0, length: 0 };
    for (let block = from; block < count; block += run.length) {
      fileMap.map(ref, block, count - block, run);
      for (let i = 0; i < run.length; i++) {
        volume.cache.create(run.start + i, WriteRank.newMapping);
        this.#places.push(run.start + i);
      }
    }
  }

  #load(): InodeRef {
    return this.#core.inodes.load(this.#inode);
  }

  #findPlaces(ref: InodeRef): void {
    const { inodes, fileMap, volume } = this.#core;
    if (inodes.kindIfKnown(ref) !== 'file' || this.#core.isInline(ref))
      throw this.#corrupt('no file with blocks');
    const run: MappedRun = { start: 0, length: 0 };
    const count = Math.ceil(inodes.size(ref) / volume.geometry.blockSize);
    if (count > volume.geometry.blockCount) throw this.#corrupt(`${inodes.size(ref)} bytes`);
    for (let block = 0; block < count; block += run.length) {
      fileMap.map(ref, block, count - block, run);
      if (run.start === 0) throw this.#corrupt(`a hole at block ${block}`);
      for (let i = 0; i < run.length; i++) this.#places.push(run.start + i);
    }
  }

  #entry(position: number): { block: CachedBlock; at: number } {
    const block = blockOf(position);
    return { block: this.#block(block), at: this.#within(block) + (position % TREE_BLOCK) };
  }

  #block(block: number): CachedBlock {
    const { geometry, cache } = this.#core.volume;
    const place = this.#places[Math.floor((block * TREE_BLOCK) / geometry.blockSize)];
    if (place === undefined) throw this.#corrupt(`no block ${block}`);
    return cache.get(place, WriteRank.mapping);
  }

  #within(block: number): number {
    return (block * TREE_BLOCK) % this.#core.volume.geometry.blockSize;
  }

  #corrupt(found: string): CorruptImageError {
    return new CorruptImageError({
      structure: `file of ${this.kind} quotas (inode ${this.#inode})`,
      field: 'tree',
      found,
      expected: 'a sound tree of version 1',
    });
  }
}

function blockOf(position: number): number {
  return Math.floor(position / TREE_BLOCK);
}

function atLeastZero(value: bigint): bigint {
  return value < 0n ? 0n : value;
}
