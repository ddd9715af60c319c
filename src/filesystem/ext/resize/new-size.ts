import { FsError } from '../../../errors.ts';
import { type Geometry, hasSuperblockCopy } from '../geometry.ts';
import { CompatibleFeature, IncompatibleFeature, Superblock } from '../superblock.ts';
import { GroupLayout } from './group-layout.ts';

/** A last group must hold its tables and this many blocks more. */
const LAST_GROUP_SPARE_BLOCKS = 50;
const MAX_32_BITS = 0xffff_ffff;

/**
 * The number of blocks that a volume can have which is asked to have `wanted`: a last group that could not hold its own tables is left
 * out. ENOSPC when nothing is left.
 */
export function usableBlockCount(layout: GroupLayout, wanted: number): number {
  const { geometry, superblock } = layout;
  const { firstDataBlock, blocksPerGroup, descriptorsPerBlock, inodeTableBlocks } = geometry;
  let blockCount = wanted;
  for (;;) {
    const groupCount = Math.ceil((blockCount - firstDataBlock) / blocksPerGroup);
    const descriptorBlocks = Math.ceil(groupCount / descriptorsPerBlock);
    let overhead = 2 + inodeTableBlocks;
    if (endsWithBackup(layout, groupCount)) {
      overhead += 1 + descriptorBlocks + Superblock.s_reserved_gdt_blocks.get(superblock, 0);
    }
    const rest = (blockCount - firstDataBlock) % blocksPerGroup;
    if (groupCount <= 0 || (groupCount === 1 && rest !== 0 && rest < overhead)) {
      throw new FsError('ENOSPC', {
        detail: `${wanted} blocks of ${geometry.blockSize} bytes are too few for a file system: its own structures take ${overhead}`,
      });
    }
    if (rest === 0 || rest >= overhead + LAST_GROUP_SPARE_BLOCKS) return blockCount;
    blockCount -= rest;
  }
}

/** The layout of the volume with so many blocks, with a superblock of its own in which all counts but those of what is free are set. */
export function resizedLayout(old: GroupLayout, blockCount: number): GroupLayout {
  const bytes = new Uint8Array(Superblock.$size);
  bytes.set(new Uint8Array(old.superblock.buffer, old.superblock.byteOffset, Superblock.$size));
  const view = new DataView(bytes.buffer);
  const { geometry } = old;
  const groupCount = Math.ceil((blockCount - geometry.firstDataBlock) / geometry.blocksPerGroup);
  const inodeCount = groupCount * geometry.inodesPerGroup;
  if (inodeCount > MAX_32_BITS) {
    throw new FsError('EFBIG', {
      detail: `${blockCount} blocks would have ${inodeCount} inodes: the format has ${MAX_32_BITS} at most`,
    });
  }
  if (blockCount > MAX_32_BITS && !geometry.has64bit) {
    throw new FsError('EFBIG', {
      detail: `${blockCount} blocks need the feature 64bit: without it a volume has ${MAX_32_BITS} at most`,
    });
  }
  const ownDescriptors = Math.ceil(groupCount / geometry.descriptorsPerBlock);
  if (ownDescriptors + geometry.firstDataBlock > geometry.blocksPerGroup) {
    throw new FsError('EFBIG', {
      detail: `${blockCount} blocks would have ${ownDescriptors} blocks of group descriptors: a group has ${geometry.blocksPerGroup} blocks`,
    });
  }
  const reservedShare = (readWide(old.superblock, geometry, 's_r_blocks_count') * 100) / geometry.blockCount;
  setWide(view, geometry, 's_blocks_count', blockCount);
  setWide(view, geometry, 's_r_blocks_count', Math.floor((reservedShare * blockCount) / 100));
  Superblock.s_inodes_count.set(view, 0, inodeCount);
  // The kernel counts it anew when it is 0.
  Superblock.s_overhead_blocks.set(view, 0, 0);

  const descriptorBlocks = Math.ceil(groupCount / geometry.descriptorsPerBlock);
  const hasResizeInode = (Superblock.s_feature_compat.get(view, 0) & CompatibleFeature.resize_inode) !== 0;
  if (hasResizeInode && descriptorBlocks !== old.descriptorBlocks) {
    const left = old.reservedDescriptorBlocks + old.descriptorBlocks - descriptorBlocks;
    const reserved = Math.max(0, Math.min(left, geometry.blockSize / 4));
    Superblock.s_reserved_gdt_blocks.set(view, 0, reserved);
  }
  moveLastBackup(view, geometry.groupCount, groupCount);
  const resized: Geometry = { ...geometry, blockCount, groupCount, inodeCount };
  return new GroupLayout(view, resized);
}

/** Will the last of so many groups have a copy of the superblock? */
function endsWithBackup({ superblock, geometry }: GroupLayout, groupCount: number): boolean {
  if ((Superblock.s_feature_compat.get(superblock, 0) & CompatibleFeature.sparse_super2) === 0) {
    return hasSuperblockCopy(superblock, groupCount - 1);
  }
  const { buffer, byteOffset } = superblock;
  const moved = new DataView(buffer.slice(byteOffset, byteOffset + Superblock.$size));
  moveLastBackup(moved, geometry.groupCount, groupCount);
  return hasSuperblockCopy(moved, groupCount - 1);
}

/** With `sparse_super2`, the second backup stays in the last group. */
function moveLastBackup(view: DataView, oldGroups: number, newGroups: number): void {
  if ((Superblock.s_feature_compat.get(view, 0) & CompatibleFeature.sparse_super2) === 0) return;
  const first = Superblock.s_backup_bgs.offset;
  for (const at of [first, first + 4]) {
    const group = view.getUint32(at, true);
    if (group === 0) continue;
    if (group === oldGroups - 1 && at !== first) view.setUint32(at, newGroups - 1, true);
    else if (group >= newGroups) view.setUint32(at, 0, true);
  }
  if (newGroups === 1) view.setUint32(first + 4, 0, true);
  if (oldGroups === 1 && newGroups > 1) {
    // A volume of one group had no place for its backups.
    view.setUint32(first, 1, true);
    if (newGroups > 2) view.setUint32(first + 4, newGroups - 1, true);
  }
}

type WideField = 's_blocks_count' | 's_r_blocks_count' | 's_free_blocks_count';

export function readWide(view: DataView, { has64bit }: Geometry, field: WideField): number {
  const low = Superblock[`${field}_lo`].get(view, 0);
  return has64bit ? low + Superblock[`${field}_hi`].get(view, 0) * 0x1_0000_0000 : low;
}

export function setWide(view: DataView, { has64bit }: Geometry, field: WideField, value: number): void {
  Superblock[`${field}_lo`].set(view, 0, value % 0x1_0000_0000);
  if (has64bit) Superblock[`${field}_hi`].set(view, 0, Math.floor(value / 0x1_0000_0000));
}

/** Groups whose tables lie together: 1 without `flex_bg`. */
export function flexibleGroups(superblock: DataView): number {
  const isFlexible = (Superblock.s_feature_incompat.get(superblock, 0) & IncompatibleFeature.flex_bg) !== 0;
  return isFlexible ? 2 ** Superblock.s_log_groups_per_flex.get(superblock, 0) : 1;
}
