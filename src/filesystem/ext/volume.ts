import { viewOf } from '../../bytes/struct.ts';
import type { Timestamp } from '../../bytes/time.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import { BlockCache } from './block-cache.ts';
import { isSuperblockSealed, requireSuperblockChecksum, sealSuperblock } from './checksum.ts';
import { DataWriter } from './data-writer.ts';
import { type FeatureWords, hasGroupFlags, readFeatures } from './features.ts';
import { type Geometry, readGeometry } from './geometry.ts';
import { GroupTable } from './group-table.ts';
import { HeldBlocks } from './held-blocks.ts';
import { MetadataSeals } from './metadata-seals.ts';
import { MultipleMountProtection } from './multiple-mount.ts';
import { IncompatibleFeature, SUPERBLOCK_OFFSET, Superblock } from './superblock.ts';

/** `s_state`: cleanly unmounted. */
const VALID = 1;

/** One ext volume: the device, its geometry, the superblock in memory, and the cache that all metadata goes through. */
export class Volume {
  readonly device: BlockDevice;
  readonly geometry: Geometry;
  readonly features: FeatureWords;
  /** The 1024 bytes of the superblock as they will be written. */
  readonly superblock: DataView;
  readonly cache: BlockCache;
  readonly data: DataWriter;
  readonly groups: GroupTable;
  readonly held: HeldBlocks;
  /** Checksums of metadata; undefined on a volume without them. */
  readonly seals: MetadataSeals | undefined;
  /** Undefined on a volume without `mmp`. */
  readonly multipleMount: MultipleMountProtection | undefined;
  readonly clock: () => Timestamp;
  readonly #superblockBytes: Uint8Array;
  readonly #stateAtOpen: number;
  #superblockDirty = false;

  private constructor(
    device: BlockDevice,
    superblock: Uint8Array,
    geometry: Geometry,
    clock: () => Timestamp,
  ) {
    this.device = device;
    this.geometry = geometry;
    this.#superblockBytes = superblock;
    this.superblock = viewOf(superblock);
    this.features = readFeatures(this.superblock);
    this.seals = MetadataSeals.of(this.superblock, this.features);
    this.multipleMount =
      (this.features.incompatible & IncompatibleFeature.mmp) === 0
        ? undefined
        : new MultipleMountProtection(device, this.superblock, geometry, this.seals);
    this.clock = clock;
    this.#stateAtOpen = Superblock.s_state.get(this.superblock, 0);
    this.cache = new BlockCache(device, geometry.blockSize, () => this.#markUnclean());
    this.data = new DataWriter(device);
    this.groups = new GroupTable(this);
    this.held = new HeldBlocks(this);
  }

  /** CorruptImageError when the superblock is not sound. */
  static open(device: BlockDevice, clock: () => Timestamp): Volume {
    const superblock = new Uint8Array(Superblock.$size);
    if (device.size < SUPERBLOCK_OFFSET + Superblock.$size) {
      throw new CorruptImageError({
        structure: 'device',
        field: 'size',
        found: `${device.size} bytes`,
        expected: `at least ${SUPERBLOCK_OFFSET + Superblock.$size}`,
      });
    }
    device.read(SUPERBLOCK_OFFSET, superblock);
    const geometry = readGeometry(viewOf(superblock), device.size);
    requireSuperblockChecksum(viewOf(superblock));
    return new Volume(device, superblock, geometry, clock);
  }

  get wasClean(): boolean {
    return (this.#stateAtOpen & VALID) !== 0;
  }

  get freeBlocks(): number {
    const low = Superblock.s_free_blocks_count_lo.get(this.superblock, 0);
    if (!this.geometry.has64bit) return low;
    return low + Superblock.s_free_blocks_count_hi.get(this.superblock, 0) * 0x1_0000_0000;
  }

  set freeBlocks(count: number) {
    this.#setFreeBlocks(count);
    this.#superblockDirty = true;
  }

  get freeInodes(): number {
    return Superblock.s_free_inodes_count.get(this.superblock, 0);
  }

  set freeInodes(count: number) {
    Superblock.s_free_inodes_count.set(this.superblock, 0, count);
    this.#superblockDirty = true;
  }

  /** The feature words as they are now: a first large file or attribute block adds to them. */
  currentFeatures(): FeatureWords {
    return readFeatures(this.superblock);
  }

  /** Counts free blocks and inodes anew from the group descriptors: after a crash the superblock's counts are old. */
  recount(): void {
    let blocks = 0;
    let inodes = 0;
    for (let index = 0; index < this.geometry.groupCount; index++) {
      const group = this.groups.get(index);
      blocks += group.freeBlocks;
      inodes += group.freeInodes;
    }
    this.#setFreeBlocks(blocks);
    Superblock.s_free_inodes_count.set(this.superblock, 0, inodes);
  }

  /** To be called after a change in `superblock` that is to reach the device. */
  markSuperblockDirty(): void {
    this.#superblockDirty = true;
  }

  /** ENOSPC when fewer blocks are free. */
  requireBlocks(count: number, syscall: string): void {
    if (count > 0 && count > this.freeBlocks) {
      throw new FsError('ENOSPC', {
        syscall,
        detail: `no space left on device: ${count} blocks of ${this.geometry.blockSize} bytes are needed, ${this.freeBlocks} are free`,
      });
    }
  }

  /** CorruptImageError unless the block may hold something that an inode points at. */
  checkPointer(block: number, inode: number, field: string): void {
    const { firstDataBlock, blockCount } = this.geometry;
    if (block > firstDataBlock && block < blockCount) return;
    throw new CorruptImageError({
      structure: `inode ${inode}`,
      field,
      found: `block ${block}`,
      expected: `a block from ${firstDataBlock + 1} to ${blockCount - 1}`,
    });
  }

  /** Keeps memory within bounds; between operations only. Content goes out before the metadata that leads to it. */
  trim(): void {
    if (!this.cache.isFull) return;
    this.data.flush();
    this.cache.trim();
  }

  /** Content, dirty metadata, then the superblock. */
  settle(): void {
    this.data.flush();
    this.held.apply();
    this.cache.flush();
    if (this.#superblockDirty) this.#writeSuperblock();
  }

  /** `settle`, then the device's own flush. */
  sync(): void {
    if (!this.cache.hasChanged && !this.#superblockDirty) return;
    this.settle();
    this.device.flush();
  }

  /** Reads the superblock anew and forgets the rest. False: this is another volume than before. */
  reload(): boolean {
    const fresh = new Uint8Array(this.#superblockBytes.length);
    this.device.read(SUPERBLOCK_OFFSET, fresh);
    const view = viewOf(fresh);
    if (!isSameVolume(view, this.superblock) || !isSuperblockSealed(view)) return false;
    this.#superblockBytes.set(fresh);
    this.cache.clear();
    this.groups.clear();
    this.held.clear();
    return true;
  }

  /** `sync`, and the state that the volume had before the first change. */
  close(): void {
    if (this.cache.hasChanged || this.#superblockDirty) {
      this.data.flush();
      this.held.apply();
      this.cache.flush();
      Superblock.s_state.set(this.superblock, 0, this.#stateAtOpen);
      this.#writeSuperblock();
      this.device.flush();
    }
    this.multipleMount?.release(this.clock().seconds);
    this.cache.clear();
  }

  #setFreeBlocks(count: number): void {
    Superblock.s_free_blocks_count_lo.set(this.superblock, 0, count % 0x1_0000_0000);
    if (this.geometry.has64bit) {
      Superblock.s_free_blocks_count_hi.set(this.superblock, 0, Math.floor(count / 0x1_0000_0000));
    }
  }

  #markUnclean(): void {
    if (!this.wasClean) return;
    Superblock.s_state.set(this.superblock, 0, this.#stateAtOpen & ~VALID);
    this.#writeSuperblock();
  }

  #writeSuperblock(): void {
    Superblock.s_wtime.set(this.superblock, 0, this.clock().seconds);
    sealSuperblock(this.superblock, this.features);
    this.device.write(SUPERBLOCK_OFFSET, this.#superblockBytes);
    this.#superblockDirty = false;
  }
}

/** Fields on which everything in memory rests. */
const FIXED = [
  's_magic',
  's_inodes_count',
  's_blocks_count_lo',
  's_first_data_block',
  's_log_block_size',
  's_blocks_per_group',
  's_inodes_per_group',
  's_inode_size',
  's_first_ino',
  's_feature_compat',
  's_feature_incompat',
  's_checksum_seed',
] as const;

function isSameVolume(view: DataView, former: DataView): boolean {
  if (FIXED.some((field) => Superblock[field].get(view, 0) !== Superblock[field].get(former, 0)))
    return false;
  if (hasGroupFlags(readFeatures(view)) !== hasGroupFlags(readFeatures(former))) return false;
  const uuid = Superblock.s_uuid.get(view, 0);
  return Superblock.s_uuid.get(former, 0).every((byte, index) => byte === uuid[index]);
}
