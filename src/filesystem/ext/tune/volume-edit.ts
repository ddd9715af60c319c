import type { Timestamp } from '../../../bytes/time.ts';
import { FsError, UnsupportedError } from '../../../errors.ts';
import { viewOf } from '../../../bytes/struct.ts';
import type { BlockRun } from '../block-allocator.ts';
import { sealSuperblock } from '../checksum.ts';
import { clearBit, nextClear, setBit } from '../bitmap.ts';
import { ExtCore } from '../ext-core.ts';
import { readFeatures } from '../features.ts';
import type { JournalSpace } from '../format/journal.ts';
import { WriteCounter } from '../format/write-counter.ts';
import { GroupFlag } from '../group-descriptor.ts';
import { Inode } from '../inode.ts';
import { BlockUse, countFree, paddedBitmap } from '../resize/block-use.ts';
import { Descriptors } from '../resize/descriptors.ts';
import { GroupLayout } from '../resize/group-layout.ts';
import { InodeEdits } from '../resize/inode-edits.ts';
import { WriteStage } from '../resize/write-plan.ts';
import { Superblock } from '../superblock.ts';
import type { Volume } from '../volume.ts';

/** `s_state`: errors were found. Set while the work is going on, so that e2fsck looks. */
const WITH_ERRORS = 2;

/**
 * Files with a fixed job that are made in a volume that has content, or given up. All is worked out in memory first. What is given up goes before anything
 * is made: first the superblock does not speak of it any more, then its inode goes, then its blocks are free. What is made is content where
 * nothing was, then taken in the bitmaps, then an inode, then in the superblock. So a power cut leaves at most blocks that nobody uses.
 */
export class VolumeEdit implements JournalSpace {
  readonly layout: JournalSpace['layout'];
  readonly core: ExtCore;
  readonly checksumSeed: number | undefined;
  readonly counter: WriteCounter;
  readonly zeroBlocks: { readonly block: number; readonly count: number }[] = [];
  readonly #volume: Volume;
  readonly #superblock: DataView;
  readonly #groups: GroupLayout;
  readonly #descriptors: Descriptors;
  readonly #use: BlockUse;
  readonly #inodes: InodeEdits;
  /** Bitmaps of inodes that were changed, by group. */
  readonly #inodeBits = new Map<number, Uint8Array>();
  readonly #blocks = new Map<number, Uint8Array>();
  readonly #stages: WriteStage[] = [];
  /** Groups whose bitmaps of inodes are to be written. */
  readonly #inodesChanged = new Set<number>();
  #isMaking = false;

  /** `superblock`: as it is to be in the end. The count of free blocks goes into it. */
  constructor(volume: Volume, superblock: DataView, now: Timestamp) {
    const { geometry, seals } = volume;
    if (geometry.blocksPerCluster > 1) {
      throw new UnsupportedError(
        'Blocks cannot be taken or freed here on a volume with clusters (bigalloc)',
        ['bigalloc'],
      );
    }
    this.#volume = volume;
    this.#superblock = superblock;
    this.core = new ExtCore(volume);
    this.checksumSeed = seals?.seed;
    this.counter = new WriteCounter(geometry.blockSize, 0, false);
    this.layout = {
      blockSize: geometry.blockSize,
      blockCount: geometry.blockCount,
      firstDataBlock: geometry.firstDataBlock,
      blocksPerGroup: geometry.blocksPerGroup,
      groupCount: geometry.groupCount,
      inodeSize: geometry.inodeSize,
      clusterBlocks: geometry.blocksPerCluster,
      flexGroups: 2 ** Superblock.s_log_groups_per_flex.get(volume.superblock, 0),
      get features() {
        return readFeatures(superblock);
      },
      parameters: {
        packedMetaBlocks: false,
        options: { now, uuid: Superblock.s_uuid.get(volume.superblock, 0) },
      },
    };
    // Reads and verifies them.
    for (let group = 0; group < geometry.groupCount; group++) volume.groups.get(group);
    this.#groups = new GroupLayout(volume.superblock, geometry);
    this.#descriptors = Descriptors.read(volume.device, this.#groups, volume.features);
    this.#use = new BlockUse(volume, this.#groups, this.#groups);
    this.#inodes = new InodeEdits(volume, this.#descriptors);
  }

  get freeBlocks(): number {
    const low = Superblock.s_free_blocks_count_lo.get(this.#superblock, 0);
    if (!this.#volume.geometry.has64bit) return low;
    return low + Superblock.s_free_blocks_count_hi.get(this.#superblock, 0) * 0x1_0000_0000;
  }

  allocate(goal: number): number {
    const { block } = this.findSpace(goal, 1);
    this.take(block, 1);
    return block;
  }

  findSpace(goal: number, count: number): { readonly block: number; readonly count: number } {
    this.#beginMaking();
    const { firstDataBlock, blockCount } = this.layout;
    const start = goal < firstDataBlock || goal >= blockCount ? firstDataBlock : goal;
    let block = this.#use.nextFree(start, blockCount);
    if (block >= blockCount) block = this.#use.nextFree(firstDataBlock, start);
    if (block >= blockCount || this.#use.isUsed(block)) {
      throw new FsError('ENOSPC', { detail: 'Could not allocate block in ext2 filesystem' });
    }
    const end = this.#use.nextUsed(block, Math.min(block + count, blockCount));
    return { block, count: end - block };
  }

  take(block: number, count: number): void {
    this.#use.mark(block, count);
    this.#addFree(-count);
  }

  /** Gives up blocks, and changes the inode that had them. All of that comes before anything is made. */
  giveUp(
    runs: readonly BlockRun[],
    inode?: number,
    change?: (view: DataView, base: number, bytes: Uint8Array) => void,
  ): void {
    if (this.#isMaking) throw new TypeError('blocks are given up before others are taken');
    for (const { start, length } of runs) {
      this.#use.free(start, length);
      this.#addFree(length);
    }
    if (inode === undefined) return;
    const { view, base, bytes } = this.#inodes.edit(inode);
    change?.(view, base, bytes);
  }

  putBlock(block: number, bytes: Uint8Array): void {
    this.#blocks.set(block, bytes);
  }

  readInode(): void {
    // Nothing is counted here.
  }

  touchInode(): void {
    // Nothing is counted here.
  }

  putInode(inode: number, record: Uint8Array): void {
    const { bytes, base } = this.#inodes.edit(inode);
    bytes.set(record, base);
  }

  /** Takes the first inode that is free. ENOSPC. */
  allocateInode(): number {
    this.#beginMaking();
    const { groupCount, inodesPerGroup, firstInode } = this.#volume.geometry;
    for (let group = 0; group < groupCount; group++) {
      const bits = this.#inodeBitmap(group);
      const from = Math.max(firstInode - 1 - group * inodesPerGroup, 0);
      const bit = nextClear(bits, from, inodesPerGroup);
      if (bit >= inodesPerGroup) continue;
      setBit(bits, bit);
      this.#inodeBits.set(group, bits);
      const descriptors = this.#descriptors;
      const unused = descriptors.hasFlags ? descriptors.count(group, 'itable_unused') : 0;
      if (inodesPerGroup - unused <= bit)
        descriptors.setCount(group, 'itable_unused', inodesPerGroup - bit - 1);
      this.#addFreeInodes(group, -1);
      return group * inodesPerGroup + bit + 1;
    }
    throw new FsError('ENOSPC', { detail: 'Could not allocate inode in ext2 filesystem' });
  }

  /** The inode is free once it has been given up: to be called with `giveUp`. */
  freeInode(number: number): void {
    const { inodesPerGroup } = this.#volume.geometry;
    const group = Math.floor((number - 1) / inodesPerGroup);
    const bits = this.#inodeBitmap(group);
    clearBit(bits, (number - 1) % inodesPerGroup);
    this.#inodeBits.set(group, bits);
    this.#addFreeInodes(group, 1);
  }

  #inodeBitmap(group: number): Uint8Array {
    const { groups } = this.#volume;
    return this.#inodeBits.get(group) ?? groups.inodeBitmap(groups.get(group)).bytes.slice();
  }

  #addFreeInodes(group: number, count: number): void {
    this.#inodesChanged.add(group);
    const descriptors = this.#descriptors;
    descriptors.setCount(group, 'free_inodes_count', descriptors.count(group, 'free_inodes_count') + count);
    const free = Superblock.s_free_inodes_count.get(this.#superblock, 0);
    Superblock.s_free_inodes_count.set(this.#superblock, 0, free + count);
  }

  /** Blocks of the inode as it is by now, in units of 512 bytes. */
  sectorsOf(inode: number): number {
    const { view, base } = this.#inodes.edit(inode);
    return Inode.i_blocks_lo.get(view, base);
  }

  goalOf(inode: number): number {
    const group = Math.floor((inode - 1) / this.#volume.geometry.inodesPerGroup);
    return this.#groups.firstBlock(group - (group % this.layout.flexGroups));
  }

  freeClusters(group: number): number {
    this.#beginMaking();
    return this.#descriptors.count(group, 'free_blocks_count');
  }

  /** All writes but those of the superblock and its copies as they are in the end. */
  stages(): readonly WriteStage[] {
    this.#beginMaking();
    const content = new WriteStage();
    for (const { block, count } of this.zeroBlocks) content.zeros.push({ start: block, count });
    for (const [block, bytes] of this.#blocks) content.blocks.set(block, bytes);
    const all = [...this.#stages, content, this.#bitmaps(), this.#inodeBlocks(), this.#copies()];
    return all.filter(({ isEmpty }) => !isEmpty);
  }

  /** What was given up so far is free from now on. */
  #beginMaking(): void {
    if (this.#isMaking) return;
    this.#isMaking = true;
    const begin = new WriteStage();
    begin.superblock = withErrors(bytesOf(this.#volume.superblock));
    this.#stages.push(begin);
    if (this.#use.freed.length === 0 && this.#inodesChanged.size === 0) return;
    const silent = new WriteStage();
    silent.superblock = withErrors(bytesOf(this.#superblock));
    this.#use.release();
    this.#stages.push(silent, this.#inodeBlocks(), this.#bitmaps());
  }

  #addFree(count: number): void {
    const free = this.freeBlocks + count;
    Superblock.s_free_blocks_count_lo.set(this.#superblock, 0, free % 0x1_0000_0000);
    if (!this.#volume.geometry.has64bit) return;
    Superblock.s_free_blocks_count_hi.set(this.#superblock, 0, Math.floor(free / 0x1_0000_0000));
  }

  #inodeBlocks(): WriteStage {
    const stage = new WriteStage();
    for (const [block, bytes] of this.#inodes.take()) stage.blocks.set(block, bytes);
    return stage;
  }

  /** Bitmaps that changed since the last call, with their descriptors. */
  #bitmaps(): WriteStage {
    const stage = new WriteStage();
    const { blockSize, descriptorsPerBlock } = this.#volume.geometry;
    for (const group of this.#inodesChanged) {
      const bits = this.#inodeBits.get(group)!;
      this.#descriptors.setFlags(group, this.#descriptors.flags(group) & ~GroupFlag.inodesUninitialised);
      this.#descriptors.sealBitmap(group, 'inode', bits);
      stage.blocks.set(this.#descriptors.location(group, 'inode_bitmap'), bits.slice());
      // A group with an inode in use has both bitmaps.
      this.#use.changed.add(group);
    }
    this.#inodesChanged.clear();
    for (const group of this.#use.changed) {
      const bits = paddedBitmap(this.#use.bits(group), this.#groups, group);
      const descriptors = this.#descriptors;
      descriptors.setFlags(group, descriptors.flags(group) & ~GroupFlag.blocksUninitialised);
      descriptors.setCount(group, 'free_blocks_count', countFree(bits, this.#groups, group));
      descriptors.sealBitmap(group, 'block', bits);
      descriptors.seal(group);
      stage.blocks.set(descriptors.location(group, 'block_bitmap'), bits);
      const index = Math.floor(group / descriptorsPerBlock);
      const bytes = descriptors.bytes.subarray(index * blockSize, (index + 1) * blockSize);
      stage.blocks.set(this.#groups.descriptorBlock(index), bytes.slice());
    }
    this.#use.changed.clear();
    return stage;
  }

  #copies(): WriteStage {
    const stage = new WriteStage();
    const { blockSize } = this.#volume.geometry;
    for (let index = 0; index < this.#groups.descriptorBlocks; index++) {
      const bytes = this.#descriptors.bytes.subarray(index * blockSize, (index + 1) * blockSize);
      for (const at of this.#groups.descriptorCopies(index)) stage.blocks.set(at, bytes);
    }
    return stage;
  }
}

/** These 1024 bytes of a superblock, sealed, with the word that errors were found. */
export function withErrors(superblock: Uint8Array): Uint8Array {
  const bytes = superblock.slice();
  const view = viewOf(bytes);
  Superblock.s_state.set(view, 0, Superblock.s_state.get(view, 0) | WITH_ERRORS);
  sealSuperblock(view, readFeatures(view));
  return bytes;
}

/** The 1024 bytes of a superblock. */
export function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, Superblock.$size);
}
