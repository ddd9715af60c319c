import { CorruptImageError } from '../../errors.ts';
import { type CachedBlock, WriteRank } from './block-cache.ts';
import { hasSuperblockCopy } from './geometry.ts';
import { GroupDescriptor } from './group-descriptor.ts';
import type { Volume } from './volume.ts';

/** One block group, as far as it has been looked at. */
export interface Group {
  readonly index: number;
  readonly firstBlock: number;
  readonly blockCount: number;
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  freeBlocks: number;
  freeInodes: number;
  usedDirectories: number;
  /** Bit from which the next new file's blocks are looked for. */
  blockCursor: number;
  /** No inode below this bit is free. */
  inodeCursor: number;
  /** The block bitmap has been checked against the group's own structures. */
  bitmapChecked: boolean;
}

/** Group descriptors, fetched when first asked for: a volume of many TiB opens as fast as a floppy. */
export class GroupTable {
  readonly #volume: Volume;
  readonly #groups = new Map<number, Group>();

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  get(index: number): Group {
    return this.#groups.get(index) ?? this.#load(index);
  }

  /** Forgets what was read. */
  clear(): void {
    this.#groups.clear();
  }

  /** Writes the counters of a group back into its descriptor. */
  save(group: Group): void {
    const block = this.#descriptorBlock(group.index);
    const base = this.#descriptorBase(group.index);
    GroupDescriptor.bg_free_blocks_count_lo.set(block.view, base, group.freeBlocks);
    GroupDescriptor.bg_free_inodes_count_lo.set(block.view, base, group.freeInodes);
    GroupDescriptor.bg_used_dirs_count_lo.set(block.view, base, group.usedDirectories);
    this.#volume.cache.markDirty(block);
  }

  /** Blocks from the group's first that hold the superblock's copy and the descriptors, with those reserved for growth. */
  baseMetadataBlocks(index: number, reservedDescriptorBlocks: number): number {
    const { geometry, superblock } = this.#volume;
    const copy = hasSuperblockCopy(superblock, index);
    const descriptorBlock = Math.floor(index / geometry.descriptorsPerBlock);
    if (descriptorBlock < geometry.firstMetaDescriptorBlock) {
      if (!copy) return 0;
      const all = Math.ceil(geometry.groupCount / geometry.descriptorsPerBlock);
      return 1 + Math.min(all, geometry.firstMetaDescriptorBlock) + reservedDescriptorBlocks;
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
    const high = (low: number, field: 'bg_block_bitmap_hi' | 'bg_inode_bitmap_hi' | 'bg_inode_table_hi') =>
      geometry.has64bit ? low + GroupDescriptor[field].get(view, base) * 0x1_0000_0000 : low;
    const firstBlock = geometry.firstDataBlock + index * geometry.blocksPerGroup;
    const group: Group = {
      index,
      firstBlock,
      blockCount: Math.min(geometry.blocksPerGroup, geometry.blockCount - firstBlock),
      blockBitmap: high(GroupDescriptor.bg_block_bitmap_lo.get(view, base), 'bg_block_bitmap_hi'),
      inodeBitmap: high(GroupDescriptor.bg_inode_bitmap_lo.get(view, base), 'bg_inode_bitmap_hi'),
      inodeTable: high(GroupDescriptor.bg_inode_table_lo.get(view, base), 'bg_inode_table_hi'),
      freeBlocks: GroupDescriptor.bg_free_blocks_count_lo.get(view, base),
      freeInodes: GroupDescriptor.bg_free_inodes_count_lo.get(view, base),
      usedDirectories: GroupDescriptor.bg_used_dirs_count_lo.get(view, base),
      blockCursor: 0,
      inodeCursor: 0,
      bitmapChecked: false,
    };
    this.#check(index, 'bg_block_bitmap_lo', group.blockBitmap, 1);
    this.#check(index, 'bg_inode_bitmap_lo', group.inodeBitmap, 1);
    this.#check(index, 'bg_inode_table_lo', group.inodeTable, geometry.inodeTableBlocks);
    this.#groups.set(index, group);
    return group;
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
    return cache.get(at, WriteRank.descriptor);
  }

  #descriptorBase(index: number): number {
    const { descriptorsPerBlock, descriptorSize } = this.#volume.geometry;
    return (index % descriptorsPerBlock) * descriptorSize;
  }
}
