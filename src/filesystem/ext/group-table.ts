import { CorruptImageError } from '../../errors.ts';
import { nextClear, nextSet, setRange } from './bitmap.ts';
import { type BlockContent, type CachedBlock, WriteRank } from './block-cache.ts';
import { BitmapSeal, type GroupBitmap } from './bitmap-seal.ts';
import { descriptorChecksum } from './checksum.ts';
import { hasGroupFlags } from './features.ts';
import { hasSuperblockCopy } from './geometry.ts';
import { GroupDescriptor, GroupFlag } from './group-descriptor.ts';
import { requireEqual } from './metadata-seals.ts';
import { IncompatibleFeature, ReadOnlyCompatibleFeature, Superblock } from './superblock.ts';
import type { Volume } from './volume.ts';

/** One block group, as far as it has been looked at. */
export interface Group {
  readonly index: number;
  readonly firstBlock: number;
  readonly blockCount: number;
  /** Bits of the block bitmap that stand for something: blocks without `bigalloc`. */
  readonly clusterCount: number;
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  freeClusters: number;
  freeInodes: number;
  usedDirectories: number;
  /** `GroupFlag`s; none on volumes without checksums of descriptors. */
  flags: number;
  /** Inodes at the end of the table that were never used: what their blocks hold means nothing. */
  unusedInodes: number;
  /** The descriptor's checksum is to be computed anew. */
  changed: boolean;
  /** Bit from which the next new file's blocks are looked for. */
  clusterCursor: number;
  /** No inode below this bit is free. */
  inodeCursor: number;
  /** The block bitmap has been checked against the group's own structures. */
  bitmapChecked: boolean;
}

/** Blocks that belong to the format itself. */
interface OwnRun {
  readonly start: number;
  readonly length: number;
}

/** With more groups in a flexible group than this, only a group's own structures are looked after. */
const MAX_FLEXIBLE_GROUPS = 4096;

/** Group descriptors, fetched when first asked for: a volume of many TiB opens as fast as a floppy. */
export class GroupTable {
  readonly #volume: Volume;
  readonly #groups = new Map<number, Group>();
  readonly #hasFlags: boolean;
  readonly #hasBitmapChecksums: boolean;
  /** By flexible group, then by group: bitmaps and inode tables that lie in that group. */
  readonly #ownRuns = new Map<number, Map<number, OwnRun[]>>();

  constructor(volume: Volume) {
    this.#volume = volume;
    this.#hasFlags = hasGroupFlags(volume.features);
    this.#hasBitmapChecksums =
      (volume.features.readOnlyCompatible & ReadOnlyCompatibleFeature.metadata_csum) !== 0;
  }

  get(index: number): Group {
    return this.#groups.get(index) ?? this.#load(index);
  }

  /** Forgets what was read. */
  clear(): void {
    this.#groups.clear();
    this.#ownRuns.clear();
  }

  /** Writes the counters of a group back into its descriptor. */
  save(group: Group): void {
    const block = this.#descriptorBlock(group.index);
    const { view } = block;
    const base = this.#descriptorBase(group.index);
    GroupDescriptor.bg_free_blocks_count_lo.set(view, base, group.freeClusters & 0xffff);
    GroupDescriptor.bg_free_inodes_count_lo.set(view, base, group.freeInodes & 0xffff);
    GroupDescriptor.bg_used_dirs_count_lo.set(view, base, group.usedDirectories & 0xffff);
    if (this.#volume.geometry.has64bit) {
      GroupDescriptor.bg_free_blocks_count_hi.set(view, base, group.freeClusters >>> 16);
      GroupDescriptor.bg_free_inodes_count_hi.set(view, base, group.freeInodes >>> 16);
      GroupDescriptor.bg_used_dirs_count_hi.set(view, base, group.usedDirectories >>> 16);
    }
    if (this.#hasFlags) {
      GroupDescriptor.bg_flags.set(view, base, group.flags);
      GroupDescriptor.bg_itable_unused_lo.set(view, base, group.unusedInodes & 0xffff);
      if (this.#volume.geometry.has64bit) {
        GroupDescriptor.bg_itable_unused_hi.set(view, base, group.unusedInodes >>> 16);
      }
      group.changed = true;
    }
    this.#volume.cache.markDirty(block);
  }

  /** The block bitmap, verified; of a group that was never used it is computed, not read. */
  blockBitmap(group: Group): CachedBlock {
    const known = this.#volume.cache.find(group.blockBitmap) ?? this.#fetchBlockBitmap(group);
    if (!group.bitmapChecked) this.#checkOwnRuns(group, known);
    return known;
  }

  /** The inode bitmap, likewise. */
  inodeBitmap(group: Group): CachedBlock {
    return this.#volume.cache.find(group.inodeBitmap) ?? this.#fetchInodeBitmap(group);
  }

  /** To be called after a change in the block bitmap and the counters. */
  saveBlocks(group: Group, bitmap: CachedBlock): void {
    group.flags &= ~GroupFlag.blocksUninitialised;
    this.#volume.cache.markDirty(bitmap);
    this.save(group);
  }

  /** To be called after a change in the inode bitmap and the counters; `bit` is that of the inode. */
  saveInodes(group: Group, bitmap: CachedBlock, bit: number): void {
    const { inodesPerGroup } = this.#volume.geometry;
    if (this.#hasFlags && bit >= inodesPerGroup - group.unusedInodes) this.#extendTable(group, bit);
    // As the kernel: a group in use has both bitmaps.
    if ((group.flags & GroupFlag.blocksUninitialised) !== 0) {
      this.#volume.cache.markDirty(this.blockBitmap(group));
    }
    group.flags &= ~(GroupFlag.inodesUninitialised | GroupFlag.blocksUninitialised);
    this.#volume.cache.markDirty(bitmap);
    this.save(group);
  }

  /** Is this block of the group's inode table one whose inodes were all never used? Then it is not to be read. */
  isTableBlockUnused(group: Group, block: number): boolean {
    if (group.unusedInodes === 0) return false;
    const { geometry } = this.#volume;
    const used = geometry.inodesPerGroup - group.unusedInodes;
    return (block - group.inodeTable) * (geometry.blockSize / geometry.inodeSize) >= used;
  }

  /** The bitmap has changed and is about to go out: its checksum goes into the descriptor. */
  setBitmapChecksum(group: Group, bitmap: GroupBitmap, checksum: number): void {
    const block = this.#descriptorBlock(group.index);
    const base = this.#descriptorBase(group.index);
    GroupDescriptor[`bg_${bitmap}_bitmap_csum_lo`].set(block.view, base, checksum & 0xffff);
    if (this.#volume.geometry.has64bit) {
      GroupDescriptor[`bg_${bitmap}_bitmap_csum_hi`].set(block.view, base, checksum >>> 16);
    }
    group.changed = true;
    this.#volume.cache.markDirty(block);
  }

  /** All 32 bits, or the low 16 where descriptors have no more. */
  bitmapChecksum(group: Group, bitmap: GroupBitmap): number {
    const { view } = this.#descriptorBlock(group.index);
    const base = this.#descriptorBase(group.index);
    const low = GroupDescriptor[`bg_${bitmap}_bitmap_csum_lo`].get(view, base);
    if (!this.#volume.geometry.has64bit) return low;
    return (low | (GroupDescriptor[`bg_${bitmap}_bitmap_csum_hi`].get(view, base) << 16)) >>> 0;
  }

  /** Blocks from the group's first that hold the superblock's copy and the descriptors, with those reserved for growth. */
  baseMetadataBlocks(index: number, reservedDescriptorBlocks: number): number {
    const { geometry, superblock } = this.#volume;
    const copy = hasSuperblockCopy(superblock, index);
    const descriptorBlock = Math.floor(index / geometry.descriptorsPerBlock);
    if (descriptorBlock < geometry.firstMetaDescriptorBlock) {
      if (!copy) return 0;
      const all = Math.ceil(geometry.groupCount / geometry.descriptorsPerBlock);
      // With blocks of 1 KiB and bigalloc, the superblock of the first group is block 1 of it.
      const before = index === 0 && geometry.firstDataBlock === 0 && geometry.blockSize === 1024 ? 1 : 0;
      return before + 1 + Math.min(all, geometry.firstMetaDescriptorBlock) + reservedDescriptorBlocks;
    }
    // In a meta group its first, second and last group hold a copy of its one descriptor block.
    const within = index % geometry.descriptorsPerBlock;
    const holds = within === 0 || within === 1 || within === geometry.descriptorsPerBlock - 1;
    return (copy ? 1 : 0) + (holds ? 1 : 0);
  }

  #load(index: number): Group {
    const { geometry } = this.#volume;
    const { view } = this.#descriptorBlock(index);
    const base = this.#descriptorBase(index);
    this.#verifyDescriptor(index);
    const high = (low: number, field: 'bg_block_bitmap_hi' | 'bg_inode_bitmap_hi' | 'bg_inode_table_hi') =>
      geometry.has64bit ? low + GroupDescriptor[field].get(view, base) * 0x1_0000_0000 : low;
    const count = (field: 'free_blocks_count' | 'free_inodes_count' | 'used_dirs_count' | 'itable_unused') =>
      GroupDescriptor[`bg_${field}_lo`].get(view, base) +
      (geometry.has64bit ? GroupDescriptor[`bg_${field}_hi`].get(view, base) * 0x1_0000 : 0);
    const firstBlock = geometry.firstDataBlock + index * geometry.blocksPerGroup;
    const blockCount = Math.min(geometry.blocksPerGroup, geometry.blockCount - firstBlock);
    const group: Group = {
      index,
      firstBlock,
      blockCount,
      clusterCount: Math.ceil(blockCount / geometry.blocksPerCluster),
      blockBitmap: high(GroupDescriptor.bg_block_bitmap_lo.get(view, base), 'bg_block_bitmap_hi'),
      inodeBitmap: high(GroupDescriptor.bg_inode_bitmap_lo.get(view, base), 'bg_inode_bitmap_hi'),
      inodeTable: high(GroupDescriptor.bg_inode_table_lo.get(view, base), 'bg_inode_table_hi'),
      freeClusters: count('free_blocks_count'),
      freeInodes: count('free_inodes_count'),
      usedDirectories: count('used_dirs_count'),
      flags: this.#hasFlags ? GroupDescriptor.bg_flags.get(view, base) : 0,
      unusedInodes: this.#hasFlags ? Math.min(count('itable_unused'), geometry.inodesPerGroup) : 0,
      changed: false,
      clusterCursor: 0,
      inodeCursor: 0,
      bitmapChecked: false,
    };
    if ((group.flags & GroupFlag.inodesUninitialised) !== 0) group.unusedInodes = geometry.inodesPerGroup;
    this.#check(index, 'bg_block_bitmap_lo', group.blockBitmap, 1);
    this.#check(index, 'bg_inode_bitmap_lo', group.inodeBitmap, 1);
    this.#check(index, 'bg_inode_table_lo', group.inodeTable, geometry.inodeTableBlocks);
    this.#groups.set(index, group);
    return group;
  }

  /** CorruptImageError when the descriptor, as it came from the device, does not have its checksum. */
  #verifyDescriptor(index: number): void {
    const { superblock, features, geometry } = this.#volume;
    const { index: at, bytes, view } = this.#descriptorBlock(index);
    const base = this.#descriptorBase(index);
    const expected = descriptorChecksum(superblock, features, index, bytes, base, geometry.descriptorSize);
    if (expected === undefined) return;
    const offset = at * geometry.blockSize + base + GroupDescriptor.bg_checksum.offset;
    const found = GroupDescriptor.bg_checksum.get(view, base);
    requireEqual(`group descriptor ${index}`, 'bg_checksum', offset, found, expected, 4);
  }

  /** Only those that have changed: a damaged neighbour is not made to look sound. */
  #sealDescriptors({ bytes, view }: BlockContent, firstGroup: number): void {
    const { superblock, features, geometry } = this.#volume;
    for (let index = firstGroup; index < firstGroup + geometry.descriptorsPerBlock; index++) {
      const group = this.#groups.get(index);
      if (group === undefined || !group.changed) continue;
      group.changed = false;
      const base = this.#descriptorBase(index);
      const size = geometry.descriptorSize;
      const checksum = descriptorChecksum(superblock, features, index, bytes, base, size)!;
      GroupDescriptor.bg_checksum.set(view, base, checksum);
    }
  }

  #fetchBlockBitmap(group: Group): CachedBlock {
    const { cache, geometry, superblock } = this.#volume;
    const seal = this.#hasBitmapChecksums ? new BitmapSeal(this.#volume, group, 'block') : undefined;
    if ((group.flags & GroupFlag.blocksUninitialised) === 0) {
      return cache.get(group.blockBitmap, WriteRank.bitmap, seal);
    }
    const block = cache.blank(group.blockBitmap, WriteRank.bitmap, seal);
    const reserved = Superblock.s_reserved_gdt_blocks.get(superblock, 0);
    const base = { start: group.firstBlock, length: this.baseMetadataBlocks(group.index, reserved) };
    for (const run of [base, ...this.#ownRunsIn(group)]) {
      const { from, end } = this.#bitsOf(group, run);
      if (from < end) setRange(block.bytes, from, end - from);
    }
    setRange(block.bytes, group.clusterCount, 8 * geometry.blockSize - group.clusterCount);
    return block;
  }

  #fetchInodeBitmap(group: Group): CachedBlock {
    const { cache, geometry } = this.#volume;
    const seal = this.#hasBitmapChecksums ? new BitmapSeal(this.#volume, group, 'inode') : undefined;
    if ((group.flags & GroupFlag.inodesUninitialised) === 0) {
      const block = cache.get(group.inodeBitmap, WriteRank.bitmap, seal);
      this.#checkUnused(group, block);
      return block;
    }
    const block = cache.blank(group.inodeBitmap, WriteRank.bitmap, seal);
    setRange(block.bytes, geometry.inodesPerGroup, 8 * geometry.blockSize - geometry.inodesPerGroup);
    return block;
  }

  /** An inode in use among those that were never used would be overwritten with zeros. */
  #checkUnused(group: Group, bitmap: CachedBlock): void {
    const { inodesPerGroup } = this.#volume.geometry;
    const used = nextSet(bitmap.bytes, inodesPerGroup - group.unusedInodes, inodesPerGroup);
    if (used === inodesPerGroup) return;
    throw new CorruptImageError({
      structure: `group descriptor ${group.index}`,
      field: 'bg_itable_unused',
      found: `${group.unusedInodes}, with inode ${used + 1} of the group in use`,
      expected: `at most ${inodesPerGroup - used - 1}`,
    });
  }

  /** The table is in use up to and with this inode: what lies there in blocks that were never used becomes zeros. */
  #extendTable(group: Group, bit: number): void {
    const { geometry, cache, seals } = this.#volume;
    const { inodesPerGroup } = geometry;
    const perBlock = geometry.blockSize / geometry.inodeSize;
    const firstUnused = Math.ceil((inodesPerGroup - group.unusedInodes) / perBlock);
    group.unusedInodes = inodesPerGroup - bit - 1;
    for (let block = firstUnused; block * perBlock <= bit; block++) {
      const first = group.index * inodesPerGroup + block * perBlock + 1;
      this.#volume.prepareTableBlock(group.inodeTable + block);
      cache.create(group.inodeTable + block, WriteRank.inodeTable, seals?.inodes(first, geometry));
    }
  }

  /** Bitmaps and inode tables that lie in this group. With `flex_bg` those of its neighbours, too. */
  #ownRunsIn(group: Group): readonly OwnRun[] {
    const { superblock, geometry, features } = this.#volume;
    const isFlexible = (features.incompatible & IncompatibleFeature.flex_bg) !== 0;
    const size = 2 ** (isFlexible ? Superblock.s_log_groups_per_flex.get(superblock, 0) : 0);
    if (size > MAX_FLEXIBLE_GROUPS) return runsOf(group, geometry.inodeTableBlocks);
    const flexible = Math.floor(group.index / size);
    let runs = this.#ownRuns.get(flexible);
    if (runs === undefined) {
      runs = new Map();
      const end = Math.min(geometry.groupCount, (flexible + 1) * size);
      for (let index = flexible * size; index < end; index++) {
        for (const run of runsOf(this.get(index), geometry.inodeTableBlocks)) this.#noteRun(runs, run);
      }
      this.#ownRuns.set(flexible, runs);
    }
    return runs.get(group.index) ?? [];
  }

  #noteRun(runs: Map<number, OwnRun[]>, run: OwnRun): void {
    const { firstDataBlock, blocksPerGroup } = this.#volume.geometry;
    const last = Math.floor((run.start + run.length - 1 - firstDataBlock) / blocksPerGroup);
    for (let at = Math.floor((run.start - firstDataBlock) / blocksPerGroup); at <= last; at++) {
      const list = runs.get(at);
      if (list === undefined) runs.set(at, [run]);
      else list.push(run);
    }
  }

  /** The bits of a group that a run of blocks touches. */
  #bitsOf(group: Group, { start, length }: OwnRun): { readonly from: number; readonly end: number } {
    const { blocksPerCluster } = this.#volume.geometry;
    const from = Math.max(0, start - group.firstBlock);
    const end = Math.min(group.blockCount, start - group.firstBlock + length);
    return { from: Math.floor(from / blocksPerCluster), end: Math.ceil(end / blocksPerCluster) };
  }

  /** The bitmap must have the format's own structures marked as used: else they would be given away. */
  #checkOwnRuns(group: Group, bitmap: CachedBlock): void {
    const base = { start: group.firstBlock, length: this.baseMetadataBlocks(group.index, 0) };
    for (const run of [base, ...this.#ownRunsIn(group)]) {
      const { from, end } = this.#bitsOf(group, run);
      const hole = from < end ? nextClear(bitmap.bytes, from, end) : end;
      if (hole >= end) continue;
      throw new CorruptImageError({
        structure: `block bitmap of group ${group.index}`,
        field: `bit ${hole}`,
        found: '0 for a block of the format itself',
        expected: '1',
      });
    }
    group.bitmapChecked = true;
  }

  #check(index: number, field: string, block: number, length: number): void {
    const { firstDataBlock, blockCount } = this.#volume.geometry;
    if (block > firstDataBlock && block + length <= blockCount) return;
    throw new CorruptImageError({
      structure: `group descriptor ${index}`,
      field,
      found: `block ${block}`,
      expected: `a block from ${firstDataBlock + 1} to ${blockCount - length}`,
    });
  }

  #descriptorBlock(index: number): CachedBlock {
    const { geometry, superblock, cache } = this.#volume;
    const descriptorBlock = Math.floor(index / geometry.descriptorsPerBlock);
    // The descriptors follow the superblock, which lies at byte 1024: block 1 with blocks of 1 KiB, also where the
    // first group begins with block 0 (bigalloc).
    const superblockBlock = geometry.blockSize === 1024 ? 1 : 0;
    let at = superblockBlock + 1 + descriptorBlock;
    if (descriptorBlock >= geometry.firstMetaDescriptorBlock) {
      const firstGroup = descriptorBlock * geometry.descriptorsPerBlock;
      at = geometry.firstDataBlock + firstGroup * geometry.blocksPerGroup;
      if (hasSuperblockCopy(superblock, firstGroup)) at++;
      if (firstGroup === 0) at += superblockBlock - geometry.firstDataBlock;
    }
    if (at >= geometry.blockCount) {
      throw new CorruptImageError({
        structure: `group descriptor ${index}`,
        field: 'block',
        found: `block ${at}`,
        expected: `a block below ${geometry.blockCount}`,
      });
    }
    const known = cache.find(at);
    if (known !== undefined) return known;
    if (!this.#hasFlags) return cache.get(at, WriteRank.descriptor);
    const firstGroup = descriptorBlock * geometry.descriptorsPerBlock;
    return cache.get(at, WriteRank.descriptor, {
      seal: (block) => this.#sealDescriptors(block, firstGroup),
      // Each descriptor is verified when it is first used.
      verify: () => undefined,
    });
  }

  #descriptorBase(index: number): number {
    const { descriptorsPerBlock, descriptorSize } = this.#volume.geometry;
    return (index % descriptorsPerBlock) * descriptorSize;
  }
}

function runsOf(group: Group, inodeTableBlocks: number): OwnRun[] {
  return [
    { start: group.blockBitmap, length: 1 },
    { start: group.inodeBitmap, length: 1 },
    { start: group.inodeTable, length: inodeTableBlocks },
  ];
}
