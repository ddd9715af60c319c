import { nextSet, setRange } from '../bitmap.ts';
import { sealSuperblock } from '../checksum.ts';
import { readFeatures } from '../features.ts';
import { GroupFlag } from '../group-descriptor.ts';
import { Superblock } from '../superblock.ts';
import { type BlockUse, countFree, paddedBitmap } from './block-use.ts';
import type { Descriptors } from './descriptors.ts';
import type { InodeUse } from './inode-use.ts';
import { setWide } from './new-size.ts';
import { WriteStage } from './write-plan.ts';

/** `s_state`: cleanly unmounted. */
const VALID = 1;
/** `s_state`: errors were found. Set while the work is going on, so that e2fsck looks. */
const WITH_ERRORS = 2;

/** Bitmaps, descriptors and superblocks as they are written at each step. */
export class GroupWrites {
  readonly #old: Descriptors;
  readonly #descriptors: Descriptors;
  readonly #use: BlockUse;
  readonly #inodes: InodeUse;
  /** Seconds since 1970. */
  readonly #now: number;

  constructor(parts: {
    readonly old: Descriptors;
    readonly descriptors: Descriptors;
    readonly use: BlockUse;
    readonly inodes: InodeUse;
    readonly now: number;
  }) {
    this.#old = parts.old;
    this.#descriptors = parts.descriptors;
    this.#use = parts.use;
    this.#inodes = parts.inodes;
    this.#now = parts.now;
  }

  /** The superblock as it was, but with the word that errors were found. */
  begin(): WriteStage {
    const stage = new WriteStage();
    stage.superblock = this.#sealedSuperblock(this.#old.layout.superblock, { add: WITH_ERRORS });
    return stage;
  }

  /** Bitmaps and inode tables of new groups, where nobody else says that they are empty. */
  makeNewTables(stage: WriteStage): void {
    const { groupCount, inodeTableBlocks, inodesPerGroup, blockSize } = this.#descriptors.layout.geometry;
    const descriptors = this.#descriptors;
    if (descriptors.hasFlags) return;
    for (let group = this.#old.layout.geometry.groupCount; group < groupCount; group++) {
      stage.zeros.push({ start: descriptors.location(group, 'inode_table'), count: inodeTableBlocks });
      const bitmap = new Uint8Array(blockSize);
      setRange(bitmap, inodesPerGroup, 8 * blockSize - inodesPerGroup);
      stage.blocks.set(descriptors.location(group, 'inode_bitmap'), bitmap);
    }
  }

  /** Marks in the bitmaps of the old layout what was taken anew, and tells where tables lie that moved. */
  taken(): WriteStage {
    const stage = new WriteStage();
    const { layout } = this.#old;
    const { blockSize, descriptorsPerBlock } = layout.geometry;
    for (const group of this.#inodes.changed) this.#use.changed.add(group);
    for (const group of this.#use.changed) {
      const descriptors = this.#old;
      const bits = paddedBitmap(this.#use.bits(group), layout, group);
      descriptors.setFlags(group, descriptors.flags(group) & ~GroupFlag.blocksUninitialised);
      descriptors.setCount(group, 'free_blocks_count', countFree(bits, layout, group));
      descriptors.sealBitmap(group, 'block', bits);
      stage.blocks.set(descriptors.location(group, 'block_bitmap'), bits);
      if (this.#inodes.changed.has(group)) {
        const inodes = this.#inodes.bits(group);
        descriptors.sealBitmap(group, 'inode', inodes);
        this.#descriptors.sealBitmap(group, 'inode', inodes);
        stage.blocks.set(descriptors.location(group, 'inode_bitmap'), inodes);
      }
      descriptors.seal(group);
      const index = Math.floor(group / descriptorsPerBlock);
      const bytes = descriptors.bytes.subarray(index * blockSize, (index + 1) * blockSize);
      stage.blocks.set(layout.descriptorBlock(index), bytes.slice());
    }
    return stage;
  }

  /** Blocks that the old layout has free now: all that is in use before or after counts. */
  freeMeanwhile(): number {
    let free = 0;
    for (let group = 0; group < this.#old.layout.geometry.groupCount; group++) {
      free += this.#old.count(group, 'free_blocks_count');
    }
    return free;
  }

  /** Descriptors that were not there before. */
  newDescriptors(): WriteStage {
    const stage = new WriteStage();
    const { groupCount, descriptorsPerBlock } = this.#old.layout.geometry;
    for (let group = groupCount; group < this.#descriptors.layout.geometry.groupCount; group++) {
      this.#descriptors.seal(group);
    }
    // The descriptors of groups that were there before are those of the old layout until the superblock says otherwise.
    const first = Math.floor(groupCount / descriptorsPerBlock);
    const size = this.#descriptors.layout.geometry.descriptorSize;
    const within = (groupCount % descriptorsPerBlock) * size;
    const { blockSize } = this.#descriptors.layout.geometry;
    this.#putDescriptors(stage, first);
    const shared = stage.blocks.get(this.#descriptors.layout.descriptorBlock(first));
    if (within > 0) shared?.set(this.#old.bytes.subarray(first * blockSize, first * blockSize + within));
    return stage;
  }

  /** The new superblock, while the work is not yet done. */
  switch(): WriteStage {
    const stage = new WriteStage();
    stage.superblock = this.#sealedSuperblock(this.#descriptors.layout.superblock, { add: WITH_ERRORS });
    return stage;
  }

  /**
   * Puts bitmaps and descriptors as they are in the end, and all counts into the superblock. `kept` are ranges that are in use whatever was given
   * up there.
   */
  finish(stage: WriteStage): void {
    const { layout } = this.#descriptors;
    const { superblock, geometry } = layout;
    const oldGroups = this.#old.layout.geometry.groupCount;
    const changed = new Set(this.#use.changed);
    // The blocks of the last group have become more or fewer.
    const border = Math.min(oldGroups, geometry.groupCount) - 1;
    if (this.#old.layout.blockCount(border) !== layout.blockCount(border)) changed.add(border);
    let freeBlocks = 0;
    let freeInodes = 0;
    for (let group = 0; group < geometry.groupCount; group++) {
      if (group >= oldGroups || changed.has(group)) this.#finishGroup(stage, group, group < oldGroups);
      freeBlocks += this.#descriptors.count(group, 'free_blocks_count');
      freeInodes += this.#descriptors.count(group, 'free_inodes_count');
    }
    setWide(superblock, geometry, 's_free_blocks_count', freeBlocks);
    Superblock.s_free_inodes_count.set(superblock, 0, freeInodes);
    this.#putDescriptors(stage);
  }

  /** Copies of descriptors and superblock. A copy always says that the volume was not unmounted. */
  backups(): WriteStage {
    const stage = new WriteStage();
    const { layout } = this.#descriptors;
    const { blockSize } = layout.geometry;
    for (let index = 0; index < layout.descriptorBlocks; index++) {
      const bytes = this.#descriptors.bytes.subarray(index * blockSize, (index + 1) * blockSize);
      for (const at of layout.descriptorCopies(index)) stage.blocks.set(at, bytes);
    }
    for (const group of layout.backupGroups()) {
      const block = new Uint8Array(blockSize);
      block.set(this.#sealedSuperblock(layout.superblock, { remove: VALID, group }));
      stage.blocks.set(layout.firstBlock(group), block);
    }
    return stage;
  }

  end(): WriteStage {
    const stage = new WriteStage();
    stage.superblock = this.#sealedSuperblock(this.#descriptors.layout.superblock, {});
    return stage;
  }

  #finishGroup(stage: WriteStage, group: number, isOld: boolean): void {
    const descriptors = this.#descriptors;
    const { layout } = descriptors;
    const { groupCount } = layout.geometry;
    const count = layout.blockCount(group);
    const bits = paddedBitmap(this.#use.bits(group), layout, group);
    descriptors.setCount(group, 'free_blocks_count', countFree(bits, layout, group));
    if (isOld) {
      // The last group's bitmap has to be there as long as it is the last; later only where blocks or inodes are in use.
      const flags = descriptors.flags(group) & ~GroupFlag.blocksUninitialised;
      const isUnused = (flags & GroupFlag.inodesUninitialised) !== 0 && nextSet(bits, 0, count) === count;
      const canSkip = isUnused && group < groupCount - 1;
      descriptors.setFlags(group, canSkip ? flags | GroupFlag.blocksUninitialised : flags);
    }
    if ((descriptors.flags(group) & GroupFlag.blocksUninitialised) === 0) {
      descriptors.sealBitmap(group, 'block', bits);
      stage.blocks.set(descriptors.location(group, 'block_bitmap'), bits);
    }
    descriptors.seal(group);
  }

  #putDescriptors(stage: WriteStage, first = 0): void {
    const { layout } = this.#descriptors;
    const { blockSize } = layout.geometry;
    for (let index = first; index < layout.descriptorBlocks; index++) {
      const bytes = this.#descriptors.bytes.subarray(index * blockSize, (index + 1) * blockSize);
      stage.blocks.set(layout.descriptorBlock(index), bytes.slice());
    }
  }

  #sealedSuperblock(
    view: DataView,
    change: { readonly add?: number; readonly remove?: number; readonly group?: number },
  ): Uint8Array {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, Superblock.$size).slice();
    const copy = new DataView(bytes.buffer);
    const state = Superblock.s_state.get(copy, 0);
    Superblock.s_state.set(copy, 0, (state & ~(change.remove ?? 0)) | (change.add ?? 0));
    Superblock.s_block_group_nr.set(copy, 0, (change.group ?? 0) % 0x1_0000);
    Superblock.s_wtime.set(copy, 0, this.#now % 0x1_0000_0000);
    Superblock.s_wtime_hi.set(copy, 0, Math.floor(this.#now / 0x1_0000_0000));
    sealSuperblock(copy, readFeatures(copy));
    return bytes;
  }
}
