import { viewOf } from '../../bytes/struct.ts';
import type { Timestamp } from '../../bytes/time.ts';
import { type BlockDevice, zeroRange } from '../../device/block-device.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import { BlockCache } from './block-cache.ts';
import { isSuperblockSealed, requireSuperblockChecksum, sealSuperblock } from './checksum.ts';
import { DataWriter } from './data-writer.ts';
import { Discards } from './discards.ts';
import { DeviceSink } from './device-sink.ts';
import { type FeatureWords, hasGroupFlags, readFeatures } from './features.ts';
import { type Geometry, readGeometry } from './geometry.ts';
import { GroupTable } from './group-table.ts';
import { HeldBlocks } from './held-blocks.ts';
import { HeldInodes } from './held-inodes.ts';
import { Journal } from './journal/journal.ts';
import type { LogCopy } from './journal/log-writer.ts';
import { LoggedBlocksDevice } from './journal/logged-blocks.ts';
import type { FoundJournal } from './journal/recovery.ts';
import { LeavingInodes } from './leaving-inodes.ts';
import { MetadataSeals } from './metadata-seals.ts';
import { MultipleMountProtection } from './multiple-mount.ts';
import type { Quotas } from './quotas.ts';
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
  readonly discards: Discards;
  readonly heldInodes: HeldInodes;
  readonly leaving: LeavingInodes;
  /** Checksums of metadata; undefined on a volume without them. */
  readonly seals: MetadataSeals | undefined;
  /** Undefined on a volume without `mmp`. */
  readonly multipleMount: MultipleMountProtection | undefined;
  readonly clock: () => Timestamp;
  /** Who uses how much; undefined on a volume without the feature, and on one that is not written. */
  quotas: Quotas | undefined;
  /** Nobody needs the volume before it is complete: after a power cut it may be anything. */
  isBeingMade = false;
  readonly #superblockBytes: Uint8Array;
  readonly #stateAtOpen: number;
  readonly #journal: Journal | undefined;
  /** The superblock says that the journal is in use. */
  #isJournalInUse = false;
  #superblockDirty = false;
  /** Something was written that has to be durable before any other metadata is. */
  #mustFlushFirst = false;

  private constructor(
    device: BlockDevice,
    superblock: Uint8Array,
    geometry: Geometry,
    clock: () => Timestamp,
    found: FoundJournal | undefined,
    protection: MultipleMountProtection | undefined,
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
        : (protection ?? new MultipleMountProtection(device, this.superblock, geometry, this.seals));
    this.clock = clock;
    this.#stateAtOpen = Superblock.s_state.get(this.superblock, 0);
    const { blockSize } = geometry;
    const source = found === undefined ? device : new LoggedBlocksDevice(device, blockSize, found.blocks);
    this.cache = new BlockCache(source, blockSize, () => this.#markUnclean());
    this.data = new DataWriter(device);
    this.groups = new GroupTable(this);
    this.held = new HeldBlocks(this);
    this.discards = new Discards(this);
    this.heldInodes = new HeldInodes(this);
    this.leaving = new LeavingInodes(device, geometry, found === undefined);
    this.cache.sink = new DeviceSink(device, blockSize, this.leaving);
    if (found !== undefined) this.#journal = this.#openJournal(found);
  }

  /** CorruptImageError when the superblock is not sound. With `journal`, whose log is empty, changes go through that. `protection`: that of the volume, where it has been looked at. */
  static open(
    device: BlockDevice,
    clock: () => Timestamp,
    journal?: FoundJournal,
    protection?: MultipleMountProtection,
  ): Volume {
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
    return new Volume(device, superblock, geometry, clock, journal, protection);
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
      blocks += group.freeClusters * this.geometry.blocksPerCluster;
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

  /** Changes are transactions: what is freed must not be taken again before it is committed. */
  get hasJournal(): boolean {
    return this.#journal !== undefined;
  }

  /** Blocks that one operation may free, however they lie, without its transaction growing too large for the log. */
  get freeableAtOnce(): number {
    if (this.#journal === undefined) return Number.POSITIVE_INFINITY;
    const { groupCount, descriptorsPerBlock } = this.geometry;
    const part = Math.floor(this.#journal.capacity / 4);
    const all = groupCount + Math.ceil(groupCount / descriptorsPerBlock);
    return all <= part ? Number.POSITIVE_INFINITY : part;
  }

  /** Bytes that one operation may write, however the blocks for them lie. */
  get writableAtOnce(): number {
    if (this.#journal === undefined) return Number.POSITIVE_INFINITY;
    return this.#journal.capacity * this.geometry.blockSize * 8;
  }

  /** Commits when much has changed. Nothing leaves the cache; what is on the device must be consistent with it so far. */
  commitIfDue(): void {
    const changed = this.cache.dirtyCount + this.held.groupCount;
    if (this.#journal?.isDue(changed) === true) this.#commit(this.#journal);
  }

  /** Keeps memory and transactions within bounds; between operations only. Content goes out before the metadata that leads to it. */
  trim(): void {
    this.commitIfDue();
    if (!this.cache.isFull) return;
    if (this.#journal === undefined) this.settle();
    else this.#commit(this.#journal);
    this.cache.trim();
  }

  /** Content, dirty metadata, then the superblock, all in their places. */
  settle(): void {
    if (this.#journal !== undefined) {
      this.data.flush();
      this.#commit(this.#journal);
      this.#journal.checkpoint();
      return;
    }
    this.quotas?.release();
    this.data.flush();
    if (this.#mustFlushFirst && !this.isBeingMade && this.cache.dirtyCount > 0) {
      this.device.flush();
      this.#mustFlushFirst = false;
    }
    this.cache.flush();
    this.leaving.clear();
    if (!this.held.isEmpty || this.heldInodes.count > 0) {
      // Nothing on the device leads to them any more once this is done.
      this.device.flush();
      this.held.apply();
      this.heldInodes.apply();
      this.cache.flush();
    }
    if (this.#superblockDirty) this.#writeSuperblock();
    if (this.discards.isEmpty) return;
    this.device.flush();
    this.discards.apply();
  }

  /** What was written so far has to be durable before any metadata is. A journal sees to that itself. */
  requireFlush(): void {
    if (!this.hasJournal) this.#mustFlushFirst = true;
  }

  /** A block of an inode table that was never used is about to be: on a volume without a journal nothing else makes sure that it holds zeros then. */
  prepareTableBlock(index: number): void {
    if (this.hasJournal || this.isBeingMade) return;
    const { blockSize } = this.geometry;
    zeroRange(this.device, index * blockSize, blockSize);
    this.#mustFlushFirst = true;
  }

  /** Makes everything durable. With a journal it is durable once it is in there. */
  sync(): void {
    if (!this.cache.hasChanged && !this.#superblockDirty) return;
    if (this.#journal === undefined) this.settle();
    else if (this.#commit(this.#journal)) return;
    this.data.flush();
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
    this.discards.clear();
    this.heldInodes.clear();
    this.leaving.clear();
    this.#journal?.reload();
    this.#isJournalInUse = (readFeatures(view).incompatible & IncompatibleFeature.needs_recovery) !== 0;
    return true;
  }

  /** `sync`, and the state that the volume had before the first change. */
  close(): void {
    if (this.cache.hasChanged || this.#superblockDirty) {
      this.settle();
      if (this.#journal === undefined) this.device.flush();
      this.#setInUse(false);
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

  #openJournal(found: FoundJournal): Journal {
    const journal = new Journal(found, {
      clock: this.clock,
      has64bit: this.geometry.has64bit,
      hasChecksums: this.seals !== undefined,
      prepareCommit: () => this.#prepareCommit(),
      changedSuperblock: () => this.#changedSuperblock(),
      superblockCommitted: () => {
        this.#superblockDirty = false;
      },
    });
    this.cache.sink = journal;
    this.cache.onForget = (start, count) => journal.forget(start, count);
    return journal;
  }

  /** False: there was nothing to commit. */
  #commit(journal: Journal): boolean {
    const before = journal.sequence;
    this.quotas?.release();
    this.held.apply();
    this.cache.flush();
    if (this.#superblockDirty) journal.write([]);
    this.discards.apply();
    return journal.sequence !== before;
  }

  #prepareCommit(): void {
    this.data.flush();
    if (this.#isJournalInUse) return;
    // Only this word: what else has changed in the superblock comes with the transaction.
    const bytes = new Uint8Array(Superblock.$size);
    this.device.read(SUPERBLOCK_OFFSET, bytes);
    const view = viewOf(bytes);
    const features = Superblock.s_feature_incompat.get(view, 0) | IncompatibleFeature.needs_recovery;
    Superblock.s_feature_incompat.set(view, 0, features >>> 0);
    sealSuperblock(view, this.features);
    this.device.write(SUPERBLOCK_OFFSET, bytes);
    // A log that is not empty without this word is an error to e2fsck.
    this.device.flush();
    this.#isJournalInUse = true;
  }

  /** The whole block: what else is in it, a boot sector perhaps, as it is on the device. */
  #changedSuperblock(): LogCopy | undefined {
    if (!this.#superblockDirty) return undefined;
    const { blockSize } = this.geometry;
    const index = Math.floor(SUPERBLOCK_OFFSET / blockSize);
    const bytes = new Uint8Array(blockSize);
    if (blockSize > Superblock.$size) this.device.read(index * blockSize, bytes);
    this.#setInUse(true);
    Superblock.s_wtime.set(this.superblock, 0, this.clock().seconds);
    sealSuperblock(this.superblock, this.features);
    bytes.set(this.#superblockBytes, SUPERBLOCK_OFFSET - index * blockSize);
    return { index, bytes, view: viewOf(bytes) };
  }

  #setInUse(inUse: boolean): void {
    if (this.#journal === undefined) return;
    const features = Superblock.s_feature_incompat.get(this.superblock, 0);
    const { needs_recovery } = IncompatibleFeature;
    const changed = inUse ? features | needs_recovery : features & ~needs_recovery;
    Superblock.s_feature_incompat.set(this.superblock, 0, changed >>> 0);
  }

  #markUnclean(): void {
    // With a journal the volume is clean at any moment, as far as `s_state` goes.
    if (!this.wasClean || this.#journal !== undefined) return;
    Superblock.s_state.set(this.superblock, 0, this.#stateAtOpen & ~VALID);
    this.#writeSuperblock();
    this.#mustFlushFirst = true;
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
  's_checksum_seed',
] as const;

function isSameVolume(view: DataView, former: DataView): boolean {
  if (FIXED.some((field) => Superblock[field].get(view, 0) !== Superblock[field].get(former, 0)))
    return false;
  if (hasGroupFlags(readFeatures(view)) !== hasGroupFlags(readFeatures(former))) return false;
  const changed = Superblock.s_feature_incompat.get(view, 0) ^ Superblock.s_feature_incompat.get(former, 0);
  if ((changed & ~IncompatibleFeature.needs_recovery) !== 0) return false;
  const uuid = Superblock.s_uuid.get(view, 0);
  return Superblock.s_uuid.get(former, 0).every((byte, index) => byte === uuid[index]);
}
