import { crc32c } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { type BlockDevice, discardRange, extentsOf, zeroRange } from '../../../device/block-device.ts';
import { FsError } from '../../../errors.ts';
import { descriptorChecksum } from '../checksum.ts';
import { GroupDescriptor } from '../group-descriptor.ts';
import { Superblock, SUPERBLOCK_OFFSET } from '../superblock.ts';
import { setBits } from './block-usage.ts';
import { hasGroupFlags } from './features.ts';
import { journalSize } from './journal.ts';
import {
  backupGroupsOf,
  computeLayout,
  type ExtLayout,
  groupBlockCount,
  groupFirstBlock,
  initialFreeBlocks,
  metaDescriptorBlock,
  superAndDescriptorBlocks,
  superblockShift,
} from './layout.ts';
import { makeContent } from './new-content.ts';
import type { NewVolume } from './new-volume.ts';
import { defaultSize, FIRST_INODE, type FormatExtOptions, resolveParameters } from './parameters.ts';
import { CLEAN, sealSuperblockOf, superblockBytes, type SuperblockCounts } from './superblock-writer.ts';

export interface WriteExtOptions {
  /** Blocks that must hold nothing. */
  readonly badBlocks?: readonly number[];
  /** Writes superblocks and descriptors and nothing else: the last resort for a volume that lost them. */
  readonly superblockOnly?: boolean;
  /** Tells the device that the old content is not needed; on by default. */
  readonly discard?: boolean;
  /** The old content is zero, and is said to be. */
  readonly zeroed?: boolean;
  /** Where groups have flags, leaves what is not needed of the tables of inodes for the kernel to zero. */
  readonly lazyInodeTables?: boolean;
  /** Leaves old content in the journal. */
  readonly lazyJournal?: boolean;
}

/** A volume ready to be written; nothing in here needs the device. */
export interface PreparedExt {
  readonly volume: NewVolume;
  readonly superblockOnly: boolean;
}

/** What is at the end of a device for other formats' sake (RAID superblocks), bytes; wiped. */
const TAIL = 65536;
/** `bg_flags`. */
const INODES_UNINITIALIZED = 1;
const BLOCKS_UNINITIALIZED = 2;
/** The table of inodes is zero without having been written. */
const INODE_TABLE_ZEROED = 4;

/**
 * Makes an ext2, ext3 or ext4 volume, byte for byte as mke2fs 1.47.0 does with the same UUID, hash seed and time. Whatever is wrong
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
  const journal = superblockOnly ? undefined : journalSize(layout, initialFreeBlocks(layout));
  return { volume: makeContent(layout, { badBlocks, superblockOnly, journal }), superblockOnly };
}

/**
 * Writes in this order: old content away, bitmaps, directories and inodes, descriptors, backups of the superblock, the
 * superblock itself. Until the last write, there is no file system.
 */
export function writeExt(device: BlockDevice, prepared: PreparedExt, options: WriteExtOptions = {}): void {
  const { volume, superblockOnly } = prepared;
  const { layout } = volume;
  const size = layout.blockCount * layout.blockSize;
  if (device.size < size) {
    throw new FsError('ENOSPC', {
      detail: `the file system needs ${size} bytes, the device has ${device.size}`,
    });
  }
  const zeroed = !superblockOnly && (options.discard !== false || options.zeroed === true);
  const lazy = !zeroed && options.lazyInodeTables !== false;
  if (!superblockOnly) {
    if (options.discard !== false) discardRange(device, 0, size);
    wipeEnds(device, layout);
    if (lazy && hasGroupFlags(layout.features)) zeroFirstInodes(device, volume);
    else if (options.zeroed !== true) zeroInodeTables(device, volume);
    if (options.lazyJournal !== true) zeroFiles(device, volume);
  }
  const descriptors = writeGroups(device, prepared, !superblockOnly && !lazy);
  for (const [block, bytes] of volume.blocks) device.write(block * layout.blockSize, bytes);
  writeInodes(device, volume);
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
function zeroInodeTables(device: BlockDevice, { layout, tables }: NewVolume): void {
  const { blockSize } = layout;
  const length = layout.inodeTableBlocks * blockSize;
  const starts = tables.inodeTable.toSorted();
  let group = 0;
  for (const extent of extentsOf(device, 0, layout.blockCount * blockSize)) {
    if (extent.kind !== 'data') continue;
    const end = extent.offset + extent.length;
    while (group < starts.length && starts[group]! * blockSize < end) {
      const start = starts[group]! * blockSize;
      const from = Math.max(start, extent.offset);
      const to = Math.min(start + length, end);
      if (from < to) zeroRange(device, from, to - from);
      if (start + length > end) break;
      group++;
    }
  }
}

/** What the first inodes need of their table; the flags of the groups say that the rest is not to be read. */
function zeroFirstInodes(device: BlockDevice, { layout, tables }: NewVolume): void {
  const length = Math.ceil((FIRST_INODE * layout.inodeSize) / layout.blockSize) * layout.blockSize;
  zeroRange(device, tables.inodeTable[0]! * layout.blockSize, length);
}

/** Blocks of files of which nothing is written: the journal. */
function zeroFiles(device: BlockDevice, { layout, zeroBlocks }: NewVolume): void {
  for (const { block, count } of zeroBlocks)
    zeroRange(device, block * layout.blockSize, count * layout.blockSize);
}

/** Writes every group's bitmaps; returns the table of descriptors. */
function writeGroups(
  device: BlockDevice,
  { volume, superblockOnly }: PreparedExt,
  zeroed: boolean,
): Uint8Array {
  const { layout, tables, checksumSeed, lastInode } = volume;
  const { blockSize, groupCount, inodesPerGroup, descriptorSize } = layout;
  const wide = descriptorSize >= 64;
  const flags = hasGroupFlags(layout.features);
  const descriptors = new Uint8Array(layout.descriptorBlocks * blockSize);
  const view = viewOf(descriptors);
  const bits = blockSize * 8;
  // Both bitmaps of a group, side by side as they mostly lie on the disk.
  const bitmaps = new Uint8Array(2 * blockSize);
  const blockBitmap = bitmaps.subarray(0, blockSize);
  const inodeBitmap = bitmaps.subarray(blockSize);
  const clusterBytes = layout.blocksPerGroup / layout.clusterBlocks / 8;
  let inodesIn = -1;
  for (let group = 0; group < groupCount; group++) {
    const first = groupFirstBlock(layout, group);
    const count = groupBlockCount(layout, group);
    const clusters = Math.ceil(count / layout.clusterBlocks);
    const used = superblockOnly
      ? 0
      : Math.min(Math.max(lastInode - group * inodesPerGroup, 0), inodesPerGroup);
    const base = group * descriptorSize;
    let flagBits = zeroed ? INODE_TABLE_ZEROED : 0;
    if (flags && used === 0) flagBits |= INODES_UNINITIALIZED;
    if (tables.blockUninitialized[group] === 1) flagBits |= BLOCKS_UNINITIALIZED;
    const writesBlocks = (flagBits & BLOCKS_UNINITIALIZED) === 0;
    const writesInodes = (flagBits & INODES_UNINITIALIZED) === 0;
    if (writesBlocks) {
      blockBitmap.fill(0);
      volume.usage.fillBitmap(blockBitmap, first, count);
      setBits(blockBitmap, clusters, bits - clusters);
    }
    if (writesInodes && inodesIn !== used) {
      inodesIn = used;
      inodeBitmap.fill(0);
      setBits(inodeBitmap, 0, used);
      setBits(inodeBitmap, inodesPerGroup, bits - inodesPerGroup);
    }
    const [blockAt, inodeAt, table] = [
      tables.blockBitmap[group]!,
      tables.inodeBitmap[group]!,
      tables.inodeTable[group]!,
    ];
    if (!superblockOnly) {
      if (writesBlocks && writesInodes && inodeAt === blockAt + 1) device.write(blockAt * blockSize, bitmaps);
      else {
        if (writesBlocks) device.write(blockAt * blockSize, blockBitmap);
        if (writesInodes) device.write(inodeAt * blockSize, inodeBitmap);
      }
    }
    const free = volume.freeClusters(group) - volume.badBlocksCountedTwice(group);
    const directories = superblockOnly ? 0 : volume.directoriesIn(group);
    GroupDescriptor.bg_block_bitmap_lo.set(view, base, blockAt >>> 0);
    GroupDescriptor.bg_inode_bitmap_lo.set(view, base, inodeAt >>> 0);
    GroupDescriptor.bg_inode_table_lo.set(view, base, table >>> 0);
    GroupDescriptor.bg_free_blocks_count_lo.set(view, base, free & 0xffff);
    GroupDescriptor.bg_free_inodes_count_lo.set(view, base, (inodesPerGroup - used) & 0xffff);
    GroupDescriptor.bg_used_dirs_count_lo.set(view, base, directories);
    GroupDescriptor.bg_flags.set(view, base, flagBits);
    const unused = flags ? inodesPerGroup - used : 0;
    GroupDescriptor.bg_itable_unused_lo.set(view, base, unused & 0xffff);
    let blockSum = 0;
    let inodeSum = 0;
    if (checksumSeed !== undefined && !superblockOnly) {
      if (writesBlocks) blockSum = crc32c(checksumSeed, blockBitmap, 0, clusterBytes);
      if (writesInodes) inodeSum = crc32c(checksumSeed, inodeBitmap, 0, inodesPerGroup / 8);
      GroupDescriptor.bg_block_bitmap_csum_lo.set(view, base, blockSum & 0xffff);
      GroupDescriptor.bg_inode_bitmap_csum_lo.set(view, base, inodeSum & 0xffff);
    }
    if (!wide) continue;
    GroupDescriptor.bg_block_bitmap_hi.set(view, base, high(blockAt));
    GroupDescriptor.bg_inode_bitmap_hi.set(view, base, high(inodeAt));
    GroupDescriptor.bg_inode_table_hi.set(view, base, high(table));
    GroupDescriptor.bg_free_blocks_count_hi.set(view, base, free >>> 16);
    GroupDescriptor.bg_free_inodes_count_hi.set(view, base, (inodesPerGroup - used) >>> 16);
    GroupDescriptor.bg_itable_unused_hi.set(view, base, unused >>> 16);
    GroupDescriptor.bg_block_bitmap_csum_hi.set(view, base, blockSum >>> 16);
    GroupDescriptor.bg_inode_bitmap_csum_hi.set(view, base, inodeSum >>> 16);
  }
  return descriptors;
}

function high(value: number): number {
  return Math.floor(value / 0x1_0000_0000);
}

function writeInodes(device: BlockDevice, { layout, tables, inodes }: NewVolume): void {
  for (const [inode, record] of inodes) {
    const group = Math.floor((inode - 1) / layout.inodesPerGroup);
    const index = (inode - 1) % layout.inodesPerGroup;
    device.write(tables.inodeTable[group]! * layout.blockSize + index * layout.inodeSize, record);
  }
}

/** Descriptors and superblocks: the backups first, the primary superblock last. */
function writeDescriptors(device: BlockDevice, prepared: PreparedExt, descriptors: Uint8Array): void {
  const { volume, superblockOnly } = prepared;
  const { layout } = volume;
  const { blockSize } = layout;
  const superblock = superblockBytes(volume, countFree(prepared));
  sealDescriptors(volume, superblock, descriptors);
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
    // 16 bits hold no more.
    Superblock.s_block_group_nr.set(view, 0, Math.min(group, 0xffff));
    if (oldDescriptors.length > 0) device.write(at + blockSize, oldDescriptors);
    sealSuperblockOf(volume, superblock);
    device.write(at, superblock);
  }
  Superblock.s_block_group_nr.set(view, 0, 0);
  Superblock.s_state.set(view, 0, state);
  sealSuperblockOf(volume, superblock);
  const firstDescriptor = layout.firstDataBlock + superblockShift(layout, 0) + 1;
  if (oldDescriptors.length > 0) device.write(firstDescriptor * blockSize, oldDescriptors);
  // Nothing of the new volume is to be lost by a crash that keeps its superblock.
  if (!superblockOnly) device.flush();
  device.write(SUPERBLOCK_OFFSET, superblock);
}

function countFree({ volume, superblockOnly }: PreparedExt): SuperblockCounts {
  const { layout } = volume;
  let free = 0;
  for (let group = 0; group < layout.groupCount; group++)
    free += volume.freeClusters(group) - volume.badBlocksCountedTwice(group);
  return {
    freeBlocks: free * layout.clusterBlocks,
    freeInodes: layout.inodeCount - (superblockOnly ? 0 : volume.lastInode),
    badOverhead: volume.badOverhead(),
    withErrors: superblockOnly,
  };
}

function sealDescriptors(volume: NewVolume, superblock: Uint8Array, descriptors: Uint8Array): void {
  const { layout } = volume;
  const view = viewOf(descriptors);
  const superblockView = viewOf(superblock);
  const words = layout.features;
  const { descriptorSize } = layout;
  for (let group = 0; group < layout.groupCount; group++) {
    const at = group * descriptorSize;
    const value = descriptorChecksum(superblockView, words, group, descriptors, at, descriptorSize);
    if (value === undefined) return;
    GroupDescriptor.bg_checksum.set(view, at, value);
  }
}
