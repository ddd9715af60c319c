import { UnsupportedError } from '../../errors.ts';
import type { BlockAllocator, BlockRun } from './block-allocator.ts';
import { BlockMap } from './block-map.ts';
import { ExtentMap } from './extent-map.ts';
import { InodeFlag } from './inode.ts';
import type { InodeRef, InodeTable } from './inode-table.ts';
import { IncompatibleFeature } from './superblock.ts';
import type { Volume } from './volume.ts';

/** A result that callers own and pass in again, so that walking a file allocates nothing. Counted in blocks. */
export interface MappedRun {
  /** On the device; 0 for a hole. */
  start: number;
  length: number;
}

/** Where a file's blocks lie, by block map or by extent tree: each file keeps what it has. Counted in blocks. */
export class FileMap {
  readonly #volume: Volume;
  readonly #inodes: InodeTable;
  readonly #blockMap: BlockMap;
  readonly #extents: ExtentMap;
  /** New files get extents. */
  readonly #wantsExtents: boolean;

  constructor(volume: Volume, inodes: InodeTable, allocator: BlockAllocator) {
    this.#volume = volume;
    this.#inodes = inodes;
    this.#blockMap = new BlockMap(volume, inodes, allocator);
    this.#extents = new ExtentMap(volume, inodes, allocator);
    this.#wantsExtents = (volume.features.incompatible & IncompatibleFeature.extent) !== 0;
  }

  /** Blocks that a new file can have. */
  get maxBlocks(): number {
    return (this.#wantsExtents ? this.#extents : this.#blockMap).maxBlocks;
  }

  /** Blocks that this file can have. */
  maxBlocksOf(ref: InodeRef): number {
    return this.#of(ref).maxBlocks;
  }

  /** Prepares `i_block` of a new file, directory or long symlink. */
  plant(ref: InodeRef): void {
    if (this.#wantsExtents) this.#extents.plant(ref);
  }

  /** Fills `run` with what lies at `block` of the file and in one piece behind it, at most `limit` blocks. */
  map(ref: InodeRef, block: number, limit: number, run: MappedRun): void {
    this.#of(ref).map(ref, block, limit, run);
  }

  /** The block behind what lies before `block` of the file: where it goes on best. 0 when there is nothing. */
  goal(ref: InodeRef, block: number): number {
    const goal = this.#of(ref).goal(ref, block);
    return goal < this.#volume.geometry.blockCount ? goal : 0;
  }

  /** How many blocks mapping the holes of the range takes, those of the map itself included. */
  missing(ref: InodeRef, from: number, count: number): number {
    return this.#of(ref).missing(ref, from, count);
  }

  /** Gives every block of the range a place to be written to. ENOSPC and EDQUOT change nothing. `wanted` as for the allocator. */
  provide(ref: InodeRef, from: number, count: number, goal: number, wanted: number): void {
    this.#requireQuota(ref, from, count, 'write');
    this.#toChange(ref).provide(ref, from, count, goal, wanted);
  }

  /** Gives an empty file its first `count` blocks, and tells in `run` what lies at block 0 in one piece. ENOSPC and EDQUOT change nothing. */
  begin(ref: InodeRef, count: number, goal: number, run: MappedRun): void {
    this.#requireQuota(ref, 0, count, 'write');
    this.#of(ref).begin(ref, count, goal, run);
  }

  hasExtents(ref: InodeRef): boolean {
    return this.#inodes.hasFlag(ref, InodeFlag.extents);
  }

  /** Gives the range space that reads as zeros until it is written; false for a file whose map cannot say that. */
  preallocate(ref: InodeRef, from: number, count: number, goal: number): boolean {
    if (!this.hasExtents(ref)) return false;
    this.#requireQuota(ref, from, count, 'fallocate');
    this.#extents.preallocate(ref, from, count, goal);
    return true;
  }

  /** Unmaps and frees everything from block `from` on. All pointers are checked before anything changes. */
  truncate(ref: InodeRef, from: number): void {
    this.#toChange(ref).truncate(ref, from);
  }

  /** Unmaps and frees a range. False when that needs space that there is not: nothing has changed then. */
  punch(ref: InodeRef, from: number, count: number): boolean {
    return this.#toChange(ref).punch(ref, from, count);
  }

  /** All blocks from block `from` on, those of the map included; CorruptImageError when they cannot all be given back. */
  requireFreeable(ref: InodeRef, from: number): readonly BlockRun[] {
    return this.#toChange(ref).requireFreeable(ref, from);
  }

  /** UnsupportedError for content that only a key, or a decompressor, makes readable. */
  requireReadable(ref: InodeRef): void {
    if (!this.#inodes.hasFlag(ref, InodeFlag.encrypted | InodeFlag.compressed)) return;
    for (const [flag, feature] of [
      [InodeFlag.encrypted, 'encrypt'],
      [InodeFlag.compressed, 'compression'],
    ] as const) {
      // chattr sets the compression flag on volumes that never compress anything.
      if (!this.#inodes.hasFlag(ref, flag)) continue;
      if (flag === InodeFlag.compressed && (this.#volume.features.incompatible & 1) === 0) continue;
      throw new UnsupportedError(`Inode ${ref.number} cannot be read: unsupported feature ${feature}`, [
        feature,
      ]);
    }
  }

  /** UnsupportedError for content that cannot be changed: besides what is not readable, files with a hash tree over their content. */
  requireWritable(ref: InodeRef): void {
    this.requireReadable(ref);
    if (!this.#inodes.hasFlag(ref, InodeFlag.verity)) return;
    throw new UnsupportedError(`Inode ${ref.number} cannot be changed: unsupported feature verity`, [
      'verity',
    ]);
  }

  #requireQuota(ref: InodeRef, from: number, count: number, syscall: string): void {
    const { quotas } = this.#volume;
    if (quotas?.isBinding === true) quotas.requireBlocks(ref, this.missing(ref, from, count), syscall);
  }

  /** UnsupportedError for a file without extents on a volume with clusters, which nobody makes: a block map can be read there. */
  #toChange(ref: InodeRef): BlockMap | ExtentMap {
    const map = this.#of(ref);
    if (map === this.#extents || this.#volume.geometry.blocksPerCluster === 1) return map;
    throw new UnsupportedError(
      `Inode ${ref.number} cannot be changed: it has clusters (bigalloc) and no extents`,
      ['bigalloc'],
    );
  }

  #of(ref: InodeRef): BlockMap | ExtentMap {
    return this.hasExtents(ref) ? this.#extents : this.#blockMap;
  }
}
