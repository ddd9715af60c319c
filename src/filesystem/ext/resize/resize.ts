import type { Timestamp } from '../../../bytes/time.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import type { StagedRange } from '../../../device/staging-device.ts';
import { UnsupportedError } from '../../../errors.ts';
import { nextSet, setRange } from '../bitmap.ts';
import { sealSuperblock } from '../checksum.ts';
import { InodeTable } from '../inode-table.ts';
import { ReadOnlyCompatibleFeature, Superblock } from '../superblock.ts';
import { GroupFlag } from '../group-descriptor.ts';
import { Volume } from '../volume.ts';
import { BlockUse, countFree, paddedBitmap } from './block-use.ts';
import { Descriptors } from './descriptors.ts';
import { GroupLayout } from './group-layout.ts';
import { InodeEdits } from './inode-edits.ts';
import { placeNewGroups } from './new-groups.ts';
import { resizedLayout, setWide, usableBlockCount } from './new-size.ts';
import { doubleIndirectOf, hasResizeInode, rebuildResizeInode } from './resize-inode.ts';
import { WriteStage } from './write-plan.ts';

/** `s_state`: errors were found. Set while the work is going on, so that e2fsck looks. */
const WITH_ERRORS = 2;
/** `s_state`: cleanly unmounted. */
const VALID = 1;

export interface ResizeOptions {
  /** Blocks of the file system that are asked for. */
  readonly blockCount: number;
  readonly clock: () => Timestamp;
}

/** A resize that is known to work out: nothing is written before `apply`. */
export interface ResizePlan {
  /** Blocks that the volume will have: fewer than asked for where a last group would not hold its own tables. */
  readonly blockCount: number;
  /** The superblock as it will be, 1024 bytes. */
  readonly superblock: Uint8Array;
  /** What will be overwritten of the device as it is now, bytes. */
  ranges(): StagedRange[];
  /**
   * Does it. Cut short at any write, every file is whole: what moves is copied first, and nothing of the old state is overwritten before the new
   * one leads to the copy. In between the file system says that it has errors; e2fsck gives back what is marked and not used.
   */
  apply(): void;
}

/** Works out how the ext volume on `device` gets another size. The device is as large as the larger of both. */
export function planResize(device: BlockDevice, options: ResizeOptions): ResizePlan {
  const volume = Volume.open(device, options.clock);
  refuseFeatures(volume);
  const old = new GroupLayout(volume.superblock, volume.geometry);
  const layout = resizedLayout(old, usableBlockCount(old, options.blockCount));
  refuseMoves(old, layout);
  const stages = new Resize(volume, old, layout, options).plan();
  const { blockSize } = volume.geometry;
  return {
    blockCount: layout.geometry.blockCount,
    superblock: stages.at(-1)!.superblock!,
    ranges: () => stages.flatMap((stage) => stage.ranges(blockSize)),
    apply: () => {
      for (const stage of stages) if (!stage.isEmpty) stage.apply(device, blockSize);
    },
  };
}

function refuseFeatures(volume: Volume): void {
  if ((volume.features.readOnlyCompatible & ReadOnlyCompatibleFeature.bigalloc) !== 0) {
    throw new UnsupportedError('The size cannot be changed: clusters (bigalloc) are not supported', [
      'bigalloc',
    ]);
  }
}

/** What would need blocks or inodes to move. */
function refuseMoves(old: GroupLayout, layout: GroupLayout): void {
  if (layout.geometry.blockCount < old.geometry.blockCount) {
    throw new UnsupportedError('To make a file system smaller is not supported', ['shrinking']);
  }
  for (let group = 0; group < old.geometry.groupCount; group++) {
    if (layout.frontBlocks(group) <= old.frontBlocks(group)) continue;
    throw new UnsupportedError(
      `${layout.geometry.blockCount} blocks need ${layout.descriptorBlocks} blocks of group descriptors, and there is room for ${old.frontBlocks(0) - 1}: to move what lies behind them is not supported`,
      ['moving blocks'],
    );
  }
}

/** The parts of one resize, in the order in which they are worked out. */
class Resize {
  readonly #volume: Volume;
  readonly #old: GroupLayout;
  readonly #layout: GroupLayout;
  readonly #options: ResizeOptions;
  readonly #oldDescriptors: Descriptors;
  readonly #descriptors: Descriptors;
  readonly #use: BlockUse;
  readonly #inodes: InodeTable;
  readonly #edits: InodeEdits;

  constructor(volume: Volume, old: GroupLayout, layout: GroupLayout, options: ResizeOptions) {
    this.#volume = volume;
    this.#old = old;
    this.#layout = layout;
    this.#options = options;
    for (let group = 0; group < old.geometry.groupCount; group++) volume.groups.get(group);
    this.#oldDescriptors = Descriptors.read(volume.device, old, volume.features);
    this.#descriptors = this.#oldDescriptors.resized(layout);
    this.#use = new BlockUse(volume, old, layout);
    this.#inodes = new InodeTable(volume);
    this.#edits = new InodeEdits(volume, this.#oldDescriptors, this.#descriptors);
  }

  plan(): WriteStage[] {
    const begin = this.#begin();
    const prepare = new WriteStage();
    this.#freeFronts();
    placeNewGroups(this.#descriptors, this.#use, this.#old.geometry.groupCount);
    this.#makeNewTables(prepare);
    const taken = this.#takenBitmaps();
    const last = new WriteStage();
    if (hasResizeInode(this.#volume.superblock) && this.#isResizeInodeStale()) {
      rebuildResizeInode(this.#volume, this.#layout, this.#edits, doubleIndirectOf(this.#inodes), last);
    }
    for (const [block, bytes] of this.#edits.take()) last.blocks.set(block, bytes);
    const descriptors = this.#newDescriptors();
    const [bitmaps, superblock] = this.#finalBitmaps();
    for (const [block, bytes] of bitmaps.blocks) last.blocks.set(block, bytes);
    this.#putDescriptors(last);
    const switched = new WriteStage();
    switched.superblock = this.#sealedSuperblock(superblock, { state: WITH_ERRORS });
    const backups = this.#backups(superblock);
    const end = new WriteStage();
    end.superblock = this.#sealedSuperblock(superblock, {});
    return [begin, prepare, taken, descriptors, switched, last, backups, end];
  }

  #begin(): WriteStage {
    const stage = new WriteStage();
    stage.superblock = this.#sealedSuperblock(this.#volume.superblock, { state: WITH_ERRORS });
    return stage;
  }

  /** What superblocks and descriptors no longer take. */
  #freeFronts(): void {
    const { groupCount } = this.#old.geometry;
    for (let group = 0; group < Math.min(groupCount, this.#layout.geometry.groupCount); group++) {
      const front = this.#layout.frontBlocks(group);
      this.#use.free(this.#layout.firstBlock(group) + front, this.#old.frontBlocks(group) - front);
    }
  }

  /** Bitmaps and inode tables of new groups, where nobody else says that they are empty. */
  #makeNewTables(stage: WriteStage): void {
    const { groupCount, inodeTableBlocks, inodesPerGroup, blockSize } = this.#layout.geometry;
    for (let group = this.#old.geometry.groupCount; group < groupCount; group++) {
      const descriptors = this.#descriptors;
      if (descriptors.hasFlags) continue;
      stage.zeros.push({ start: descriptors.location(group, 'inode_table'), count: inodeTableBlocks });
      const bitmap = new Uint8Array(blockSize);
      setRange(bitmap, inodesPerGroup, 8 * blockSize - inodesPerGroup);
      stage.blocks.set(descriptors.location(group, 'inode_bitmap'), bitmap);
    }
  }

  /** Marks in the bitmaps of the old layout what was taken anew. */
  #takenBitmaps(): WriteStage {
    const stage = new WriteStage();
    const { blockSize, descriptorsPerBlock } = this.#old.geometry;
    for (const group of this.#use.changed) {
      const bits = paddedBitmap(this.#use.bits(group), this.#old, group);
      const descriptors = this.#oldDescriptors;
      descriptors.setFlags(group, descriptors.flags(group) & ~GroupFlag.blocksUninitialised);
      descriptors.setCount(group, 'free_blocks_count', countFree(bits, this.#old, group));
      descriptors.sealBitmap(group, 'block', bits);
      descriptors.seal(group);
      stage.blocks.set(descriptors.location(group, 'block_bitmap'), bits);
      const index = Math.floor(group / descriptorsPerBlock);
      const bytes = descriptors.bytes.subarray(index * blockSize, (index + 1) * blockSize);
      stage.blocks.set(this.#old.descriptorBlock(index), bytes.slice());
    }
    return stage;
  }

  /** Descriptors that were not there before. */
  #newDescriptors(): WriteStage {
    const stage = new WriteStage();
    for (let group = this.#old.geometry.groupCount; group < this.#layout.geometry.groupCount; group++) {
      this.#descriptors.seal(group);
    }
    const first = Math.floor(this.#old.geometry.groupCount / this.#old.geometry.descriptorsPerBlock);
    this.#putDescriptors(stage, first);
    return stage;
  }

  /** Bitmaps as they are in the end, and the superblock with all counts. Descriptors are sealed with it. */
  #finalBitmaps(): [WriteStage, DataView] {
    const stage = new WriteStage();
    const { groupCount } = this.#layout.geometry;
    const oldGroups = this.#old.geometry.groupCount;
    this.#use.release();
    const changed = new Set(this.#use.changed);
    // The blocks of the last group have become more or fewer.
    for (const group of [Math.min(oldGroups, groupCount) - 1]) {
      if (this.#old.blockCount(group) !== this.#layout.blockCount(group)) changed.add(group);
    }
    let freeBlocks = 0;
    let freeInodes = 0;
    for (let group = 0; group < groupCount; group++) {
      const descriptors = this.#descriptors;
      if (group >= oldGroups || changed.has(group)) {
        const bits = paddedBitmap(this.#use.bits(group), this.#layout, group);
        descriptors.setCount(group, 'free_blocks_count', countFree(bits, this.#layout, group));
        if (changed.has(group)) this.#setUninitialised(group);
        if ((descriptors.flags(group) & GroupFlag.blocksUninitialised) === 0) {
          descriptors.sealBitmap(group, 'block', bits);
          stage.blocks.set(descriptors.location(group, 'block_bitmap'), bits);
        }
        descriptors.seal(group);
      }
      freeBlocks += descriptors.count(group, 'free_blocks_count');
      freeInodes += descriptors.count(group, 'free_inodes_count');
    }
    const { superblock, geometry } = this.#layout;
    setWide(superblock, geometry, 's_free_blocks_count', freeBlocks);
    Superblock.s_free_inodes_count.set(superblock, 0, freeInodes);
    return [stage, superblock];
  }

  /** The last group's bitmap has to be read as long as it is the last; later only where blocks are in use. */
  #setUninitialised(group: number): void {
    const { groupCount } = this.#layout.geometry;
    const count = this.#layout.blockCount(group);
    const isUnused = nextSet(this.#use.bits(group), 0, count) === count;
    const flags = this.#descriptors.flags(group) & ~GroupFlag.blocksUninitialised;
    const canSkip = isUnused && group < groupCount - 1;
    this.#descriptors.setFlags(group, canSkip ? flags | GroupFlag.blocksUninitialised : flags);
  }

  #putDescriptors(stage: WriteStage, first = 0): void {
    const { blockSize } = this.#layout.geometry;
    for (let index = first; index < this.#layout.descriptorBlocks; index++) {
      const bytes = this.#descriptors.bytes.subarray(index * blockSize, (index + 1) * blockSize);
      stage.blocks.set(this.#layout.descriptorBlock(index), bytes.slice());
    }
  }

  /** Copies of descriptors and superblock. A copy always says that the volume was not unmounted. */
  #backups(superblock: DataView): WriteStage {
    const stage = new WriteStage();
    const { blockSize } = this.#layout.geometry;
    for (let index = 0; index < this.#layout.descriptorBlocks; index++) {
      const bytes = this.#descriptors.bytes.subarray(index * blockSize, (index + 1) * blockSize);
      for (const at of this.#layout.descriptorCopies(index)) stage.blocks.set(at, bytes);
    }
    for (const group of this.#layout.backupGroups()) {
      const block = new Uint8Array(blockSize);
      const state = Superblock.s_state.get(superblock, 0) & ~VALID;
      block.set(this.#sealedSuperblock(superblock, { setState: state, group }));
      stage.blocks.set(this.#layout.firstBlock(group), block);
    }
    return stage;
  }

  #sealedSuperblock(
    view: DataView,
    change: { readonly state?: number; readonly setState?: number; readonly group?: number },
  ): Uint8Array {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, Superblock.$size).slice();
    const copy = new DataView(bytes.buffer);
    const state = change.setState ?? Superblock.s_state.get(copy, 0) | (change.state ?? 0);
    Superblock.s_state.set(copy, 0, state);
    Superblock.s_block_group_nr.set(copy, 0, (change.group ?? 0) % 0x1_0000);
    const { seconds } = this.#options.clock();
    Superblock.s_wtime.set(copy, 0, seconds % 0x1_0000_0000);
    Superblock.s_wtime_hi.set(copy, 0, Math.floor(seconds / 0x1_0000_0000));
    sealSuperblock(copy, this.#volume.features);
    return bytes;
  }

  #isResizeInodeStale(): boolean {
    if (this.#layout.descriptorBlocks !== this.#old.descriptorBlocks) return true;
    return [...this.#layout.backupGroups()].join() !== [...this.#old.backupGroups()].join();
  }
}
