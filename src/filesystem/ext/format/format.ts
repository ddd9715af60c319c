import { viewOf } from '../../../bytes/struct.ts';
import { type BlockDevice, discardRange, extentsOf, zeroRange } from '../../../device/block-device.ts';
import { FsError } from '../../../errors.ts';
import { GroupDescriptor } from '../group-descriptor.ts';
import { Superblock, SUPERBLOCK_OFFSET } from '../superblock.ts';
import { makeBadBlocksInode } from './bad-blocks-inode.ts';
import { BlockAllocation } from './block-allocation.ts';
import { hasCompatible } from './features.ts';
import { type FirstContent, USED_INODES, usedDirectories, usedInodes } from './first-content.ts';
import { type GroupTables, placeTables, setBits } from './group-tables.ts';
import {
  backupGroupsOf,
  computeLayout,
  type ExtLayout,
  groupBlockCount,
  groupFirstBlock,
  metaDescriptorBlock,
  superAndDescriptorBlocks,
} from './layout.ts';
import { defaultSize, FIRST_INODE, type FormatExtOptions, resolveParameters } from './parameters.ts';
import { makeResizeInode } from './resize-inode.ts';
import { makeRootDirectory } from './root-directory.ts';
import { CLEAN, superblockBytes, type SuperblockCounts } from './superblock-writer.ts';

export interface WriteExtOptions {
  /** Blocks that must hold nothing. */
  readonly badBlocks?: readonly number[];
  /** Writes superblocks and descriptors and nothing else: the last resort for a volume that lost them. */
  readonly superblockOnly?: boolean;
  /** Tells the device that the old content is not needed; on by default. */
  readonly discard?: boolean;
}

/** A volume ready to be written; nothing in here needs the device. */
export interface PreparedExt {
  readonly layout: ExtLayout;
  readonly allocation: BlockAllocation;
  readonly content: FirstContent;
  readonly superblockOnly: boolean;
}

/** What is at the end of a device for other formats' sake (RAID superblocks), bytes; wiped. */
const TAIL = 65536;
/** `bg_flags`: the table of inodes is zero without having been written. */
const INODE_TABLE_ZEROED = 4;

/**
 * Makes an ext2 volume, byte for byte as mke2fs 1.47.0 does with the same UUID, hash seed and time. Whatever is wrong
 * with the options is found before the first byte is written.
 *
 *     formatExt(device, { uuid, hashSeed, now: clock() });
 */
export function formatExt(device: BlockDevice, options: FormatExtOptions & WriteExtOptions): ExtLayout {
  const layout = planExt(options.size ?? defaultSize(device.size, options.blockSize), options);
  writeExt(device, prepareExt(layout, options), options);
  return layout;
}

/** How a volume of `size` bytes would be laid out. */
export function planExt(size: number, options: FormatExtOptions): ExtLayout {
  return computeLayout(resolveParameters(size, options));
}

/** Gives the first files their blocks; ENOSPC when there is no room for them. */
export function prepareExt(layout: ExtLayout, options: WriteExtOptions = {}): PreparedExt {
  const { badBlocks = [], superblockOnly = false } = options;
  const allocation = new BlockAllocation(layout, badBlocks);
  const content: FirstContent = { inodes: new Map(), blocks: new Map() };
  if (!superblockOnly) {
    if (layout.inodeCount < FIRST_INODE) {
      throw new FsError('ENOSPC', {
        detail: 'ext2fs_mkdir: Could not allocate inode in ext2 filesystem while creating /lost+found',
      });
    }
    makeRootDirectory(layout, allocation, content);
    makeBadBlocksInode(layout, allocation, content);
    if (hasCompatible(layout.features, 'resize_inode')) makeResizeInode(layout, allocation, content);
  }
  return { layout, allocation, content, superblockOnly };
}

/**
 * Writes in this order: old content away, bitmaps, directories and inodes, descriptors, backups of the superblock, the
 * superblock itself. Until the last write, there is no file system.
 */
export function writeExt(device: BlockDevice, prepared: PreparedExt, options: WriteExtOptions = {}): void {
  const { layout, superblockOnly } = prepared;
  const size = layout.blockCount * layout.blockSize;
  if (device.size < size) {
    throw new FsError('ENOSPC', {
      detail: `the file system needs ${size} bytes, the device has ${device.size}`,
    });
  }
  if (!superblockOnly) {
    if (options.discard !== false) discardRange(device, 0, size);
    wipeEnds(device, layout);
    zeroInodeTables(device, prepared);
  }
  const descriptors = writeGroups(device, prepared, !superblockOnly && options.discard !== false);
  for (const [block, bytes] of prepared.content.blocks) device.write(block * layout.blockSize, bytes);
  writeInodes(device, prepared);
  writeDescriptors(device, prepared, descriptors);
  device.flush();
}

/** Boot sector, former superblock, and what other formats keep at the end. */
function wipeEnds(device: BlockDevice, layout: ExtLayout): void {
  const size = layout.blockCount * layout.blockSize;
  zeroRange(device, 0, Math.min(4096, size));
  let start = size - (size % TAIL);
  if (start > TAIL) start -= TAIL;
  if (start > 0) zeroRange(device, start, size - start);
}

/** Walks tables and what the device has allocated side by side, so that a sparse device costs nothing. */
function zeroInodeTables(device: BlockDevice, { layout, allocation }: PreparedExt): void {
  const { blockSize } = layout;
  const length = layout.inodeTableBlocks * blockSize;
  const tables: GroupTables = { blockBitmap: 0, inodeBitmap: 0, inodeTable: 0 };
  const startOf = (group: number): number => {
    if (allocation.isSpecial(group)) return allocation.group(group).inodeTable * blockSize;
    placeTables(layout, group, tables);
    return tables.inodeTable * blockSize;
  };
  let group = 0;
  let start = startOf(0);
  for (const extent of extentsOf(device, 0, layout.blockCount * blockSize)) {
    if (extent.kind !== 'data') continue;
    const end = extent.offset + extent.length;
    while (start < end) {
      const from = Math.max(start, extent.offset);
      const to = Math.min(start + length, end);
      if (from < to) zeroRange(device, from, to - from);
      if (start + length > end) break;
      if (++group === layout.groupCount) return;
      start = startOf(group);
    }
  }
}

/** Writes every group's bitmaps; returns the table of descriptors. */
function writeGroups(device: BlockDevice, prepared: PreparedExt, discarded: boolean): Uint8Array {
  const { layout, allocation, superblockOnly } = prepared;
  const { blockSize, groupCount, inodesPerGroup, inodeTableBlocks } = layout;
  const descriptors = new Uint8Array(layout.descriptorBlocks * blockSize);
  const view = viewOf(descriptors);
  const bits = blockSize * 8;
  // Both bitmaps of a group, side by side as they lie on the disk: most groups differ from the one before in nothing.
  const bitmaps = new Uint8Array(2 * blockSize);
  const blockBitmap = bitmaps.subarray(0, blockSize);
  const inodeBitmap = bitmaps.subarray(blockSize);
  let ordinary = -1;
  let inodes = -1;
  const tables: GroupTables = { blockBitmap: 0, inodeBitmap: 0, inodeTable: 0 };
  for (let group = 0; group < groupCount; group++) {
    const count = groupBlockCount(layout, group);
    let at = tables;
    let allocated = 0;
    if (allocation.isSpecial(group)) {
      const blocks = allocation.group(group);
      blockBitmap.set(blocks.bitmap);
      setBits(blockBitmap, count, bits - count);
      ({ allocated } = blocks);
      at = blocks;
      ordinary = -1;
    } else {
      placeTables(layout, group, tables);
      const taken = superAndDescriptorBlocks(layout, group) + 2 + inodeTableBlocks;
      // One number stands for the two that the bitmap depends on.
      if (ordinary !== taken * 0x10000 + count) {
        ordinary = taken * 0x10000 + count;
        blockBitmap.fill(0);
        setBits(blockBitmap, 0, taken);
        setBits(blockBitmap, count, bits - count);
      }
    }
    const used = superblockOnly ? 0 : usedInodes(layout, group);
    if (inodes !== used) {
      inodes = used;
      inodeBitmap.fill(0);
      setBits(inodeBitmap, 0, used);
      setBits(inodeBitmap, inodesPerGroup, bits - inodesPerGroup);
    }
    if (!superblockOnly) {
      if (at.inodeBitmap === at.blockBitmap + 1) device.write(at.blockBitmap * blockSize, bitmaps);
      else {
        device.write(at.blockBitmap * blockSize, blockBitmap);
        device.write(at.inodeBitmap * blockSize, inodeBitmap);
      }
    }
    const base = group * 32;
    GroupDescriptor.bg_block_bitmap_lo.set(view, base, at.blockBitmap);
    GroupDescriptor.bg_inode_bitmap_lo.set(view, base, at.inodeBitmap);
    GroupDescriptor.bg_inode_table_lo.set(view, base, at.inodeTable);
    GroupDescriptor.bg_free_blocks_count_lo.set(view, base, allocation.freeBlocks(group, allocated));
    GroupDescriptor.bg_free_inodes_count_lo.set(view, base, inodesPerGroup - used);
    if (discarded) GroupDescriptor.bg_flags.set(view, base, INODE_TABLE_ZEROED);
    GroupDescriptor.bg_used_dirs_count_lo.set(
      view,
      base,
      superblockOnly ? 0 : usedDirectories(layout, group),
    );
  }
  return descriptors;
}

function writeInodes(device: BlockDevice, { layout, allocation, content }: PreparedExt): void {
  for (const [inode, record] of content.inodes) {
    const group = Math.floor((inode - 1) / layout.inodesPerGroup);
    const index = (inode - 1) % layout.inodesPerGroup;
    const { inodeTable } = allocation.group(group);
    device.write(inodeTable * layout.blockSize + index * layout.inodeSize, record);
  }
}

/** Descriptors and superblocks: the backups first, the primary superblock last. */
function writeDescriptors(device: BlockDevice, prepared: PreparedExt, descriptors: Uint8Array): void {
  const { layout, superblockOnly } = prepared;
  const { blockSize } = layout;
  const superblock = superblockBytes(layout, countFree(prepared, descriptors));
  const oldDescriptors = layout.metaGroups
    ? descriptors.subarray(0, layout.firstMetaGroup * blockSize)
    : descriptors;
  if (layout.metaGroups) {
    for (let group = 0; group < layout.groupCount; group++) {
      const index = metaDescriptorBlock(layout, group);
      if (index === undefined) continue;
      const block = groupFirstBlock(layout, group) + superAndDescriptorBlocks(layout, group) - 1;
      device.write(block * blockSize, descriptors.subarray(index * blockSize, (index + 1) * blockSize));
    }
  }
  const view = viewOf(superblock);
  // Whoever needs a backup is not to take the volume for clean.
  const state = Superblock.s_state.get(view, 0);
  Superblock.s_state.set(view, 0, state & ~CLEAN);
  for (const group of backupGroupsOf(layout)) {
    const at = groupFirstBlock(layout, group) * blockSize;
    Superblock.s_block_group_nr.set(view, 0, group & 0xffff);
    if (oldDescriptors.length > 0) device.write(at + blockSize, oldDescriptors);
    device.write(at, superblock);
  }
  Superblock.s_block_group_nr.set(view, 0, 0);
  Superblock.s_state.set(view, 0, state);
  if (oldDescriptors.length > 0) device.write((layout.firstDataBlock + 1) * blockSize, oldDescriptors);
  // Nothing of the new volume is to be lost by a crash that keeps its superblock.
  if (!superblockOnly) device.flush();
  device.write(SUPERBLOCK_OFFSET, superblock);
}

function countFree(
  { layout, allocation, superblockOnly }: PreparedExt,
  descriptors: Uint8Array,
): SuperblockCounts {
  const view = viewOf(descriptors);
  let freeBlocks = 0;
  for (let group = 0; group < layout.groupCount; group++)
    freeBlocks += GroupDescriptor.bg_free_blocks_count_lo.get(view, group * 32);
  return {
    freeBlocks,
    freeInodes: layout.inodeCount - (superblockOnly ? 0 : USED_INODES),
    badOverhead: allocation.badOverhead(),
    withErrors: superblockOnly,
  };
}
