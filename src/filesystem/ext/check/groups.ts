import { viewOf } from '../../../bytes/struct.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import { descriptorChecksum } from '../checksum.ts';
import type { FeatureWords } from '../features.ts';
import { hasGroupFlags } from '../features.ts';
import { type Geometry, hasSuperblockCopy } from '../geometry.ts';
import { GroupDescriptor, GroupFlag } from '../group-descriptor.ts';
import { IncompatibleFeature, Superblock } from '../superblock.ts';

const HIGH = 0x1_0000_0000;

/** The descriptors of all groups, in memory as they are on disk; what is changed is written by `save`. */
export class CheckedGroups {
  readonly #device: BlockDevice;
  readonly #superblock: DataView;
  readonly #geometry: Geometry;
  readonly #words: FeatureWords;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #descriptorBlocks: number;

  constructor(
    device: BlockDevice,
    superblock: DataView,
    geometry: Geometry,
    words: FeatureWords,
    superblockBlock: number,
  ) {
    this.#device = device;
    this.#superblock = superblock;
    this.#geometry = geometry;
    this.#words = words;
    const { blockSize, descriptorsPerBlock, groupCount } = geometry;
    this.#descriptorBlocks = Math.ceil(groupCount / descriptorsPerBlock);
    this.#bytes = new Uint8Array(this.#descriptorBlocks * blockSize);
    this.#view = viewOf(this.#bytes);
    // Descriptors follow the superblock, which with blocks of 1 KiB and bigalloc lies in block 1 of the first group alone.
    const isLate = geometry.firstDataBlock === 0 && blockSize === 1024 && superblockBlock > 0;
    const shift = superblockBlock - geometry.firstDataBlock - (isLate ? 1 : 0);
    for (let index = 0; index < this.#descriptorBlocks; index++) {
      // A copy of the superblock has a copy of the descriptors behind it, but for those in their own meta groups.
      const block = this.#blockOf(index, 0) + (index < geometry.firstMetaDescriptorBlock ? shift : 0);
      if ((block + 1) * blockSize <= device.size)
        device.read(block * blockSize, this.#bytes.subarray(index * blockSize, (index + 1) * blockSize));
    }
  }

  get count(): number {
    return this.#geometry.groupCount;
  }

  /** Byte offset of a descriptor on the device. */
  offsetOf(group: number): number {
    const { descriptorsPerBlock, descriptorSize, blockSize } = this.#geometry;
    const block = this.#blockOf(Math.floor(group / descriptorsPerBlock), 0);
    return block * blockSize + (group % descriptorsPerBlock) * descriptorSize;
  }

  blockBitmap(group: number): number {
    return this.#wide(group, 'bg_block_bitmap_lo', 'bg_block_bitmap_hi');
  }

  inodeBitmap(group: number): number {
    return this.#wide(group, 'bg_inode_bitmap_lo', 'bg_inode_bitmap_hi');
  }

  inodeTable(group: number): number {
    return this.#wide(group, 'bg_inode_table_lo', 'bg_inode_table_hi');
  }

  freeBlocks(group: number): number {
    return this.#half(group, 'bg_free_blocks_count_lo', 'bg_free_blocks_count_hi');
  }

  freeInodes(group: number): number {
    return this.#half(group, 'bg_free_inodes_count_lo', 'bg_free_inodes_count_hi');
  }

  usedDirectories(group: number): number {
    return this.#half(group, 'bg_used_dirs_count_lo', 'bg_used_dirs_count_hi');
  }

  unusedInodes(group: number): number {
    if (!hasGroupFlags(this.#words)) return 0;
    return this.#half(group, 'bg_itable_unused_lo', 'bg_itable_unused_hi');
  }

  flags(group: number): number {
    return hasGroupFlags(this.#words) ? GroupDescriptor.bg_flags.get(this.#view, this.#base(group)) : 0;
  }

  /** Says the descriptor that something of the group was never written, where no descriptor may? */
  hasUndueFlags(group: number): boolean {
    if (hasGroupFlags(this.#words)) return false;
    const flags = GroupDescriptor.bg_flags.get(this.#view, this.#base(group));
    const uninitialised = GroupFlag.inodesUninitialised | GroupFlag.blocksUninitialised;
    return (
      (flags & uninitialised) !== 0 || this.#half(group, 'bg_itable_unused_lo', 'bg_itable_unused_hi') !== 0
    );
  }

  clearUndueFlags(group: number): void {
    const base = this.#base(group);
    const uninitialised = GroupFlag.inodesUninitialised | GroupFlag.blocksUninitialised;
    GroupDescriptor.bg_flags.set(
      this.#view,
      base,
      GroupDescriptor.bg_flags.get(this.#view, base) & ~uninitialised,
    );
    this.setUnusedInodes(group, 0);
    this.save(group);
  }

  bitmapChecksum(group: number, which: 'block' | 'inode'): number {
    return which === 'block'
      ? this.#half(group, 'bg_block_bitmap_csum_lo', 'bg_block_bitmap_csum_hi')
      : this.#half(group, 'bg_inode_bitmap_csum_lo', 'bg_inode_bitmap_csum_hi');
  }

  setBitmapChecksum(group: number, which: 'block' | 'inode', value: number): void {
    const base = this.#base(group);
    const view = this.#view;
    const low =
      which === 'block' ? GroupDescriptor.bg_block_bitmap_csum_lo : GroupDescriptor.bg_inode_bitmap_csum_lo;
    low.set(view, base, value & 0xffff);
    if (this.#geometry.descriptorSize < 64) return;
    const high =
      which === 'block' ? GroupDescriptor.bg_block_bitmap_csum_hi : GroupDescriptor.bg_inode_bitmap_csum_hi;
    high.set(view, base, value >>> 16);
  }

  setFlags(group: number, flags: number): void {
    GroupDescriptor.bg_flags.set(this.#view, this.#base(group), flags);
  }

  setUnusedInodes(group: number, value: number): void {
    this.#setHalf(group, 'bg_itable_unused_lo', 'bg_itable_unused_hi', value);
  }

  setFreeBlocks(group: number, value: number): void {
    this.#setHalf(group, 'bg_free_blocks_count_lo', 'bg_free_blocks_count_hi', value);
  }

  setFreeInodes(group: number, value: number): void {
    this.#setHalf(group, 'bg_free_inodes_count_lo', 'bg_free_inodes_count_hi', value);
  }

  setUsedDirectories(group: number, value: number): void {
    this.#setHalf(group, 'bg_used_dirs_count_lo', 'bg_used_dirs_count_hi', value);
  }

  storedChecksum(group: number): number {
    return GroupDescriptor.bg_checksum.get(this.#view, this.#base(group));
  }

  /** Undefined where descriptors have none. */
  checksum(group: number): number | undefined {
    const { descriptorSize } = this.#geometry;
    return descriptorChecksum(
      this.#superblock,
      this.#words,
      group,
      this.#bytes,
      this.#base(group),
      descriptorSize,
    );
  }

  /** Writes the descriptor with its checksum, and all copies of the block that it is in. */
  save(group: number): void {
    const base = this.#base(group);
    const checksum = this.checksum(group);
    if (checksum !== undefined) GroupDescriptor.bg_checksum.set(this.#view, base, checksum);
    this.#device.write(
      this.offsetOf(group),
      this.#bytes.subarray(base, base + this.#geometry.descriptorSize),
    );
  }

  /** Writes all descriptors to where they belong. */
  saveAll(): void {
    for (let group = 0; group < this.count; group++) this.save(group);
  }

  /** Calls `mark` for every block of superblock copies and descriptors in `group`: start and length. */
  ownRuns(group: number, mark: (start: number, length: number) => void): void {
    const {
      firstDataBlock,
      blocksPerGroup,
      descriptorsPerBlock,
      firstMetaDescriptorBlock,
      blockCount,
      blockSize,
    } = this.#geometry;
    const start = firstDataBlock + group * blocksPerGroup;
    const hasCopy = hasSuperblockCopy(this.#superblock, group);
    let at = start;
    if (hasCopy) {
      mark(start, 1);
      at++;
      // With blocks of 1 KiB and bigalloc, the superblock lies in block 1 although counting starts at 0.
      if (group === 0 && firstDataBlock === 0 && blockSize === 1024) mark(at++, 1);
    }
    const metaGroup = Math.floor(group / descriptorsPerBlock);
    if (metaGroup < firstMetaDescriptorBlock) {
      if (!hasCopy) return;
      const old = Math.min(this.#descriptorBlocks, firstMetaDescriptorBlock);
      const reserved = Superblock.s_reserved_gdt_blocks.get(this.#superblock, 0);
      const hasMetaGroups = (this.#words.incompatible & IncompatibleFeature.meta_bg) !== 0;
      mark(at, Math.min(old + (hasMetaGroups ? 0 : reserved), Math.max(0, blockCount - at)));
      return;
    }
    const within = group % descriptorsPerBlock;
    if ((within === 0 || within === 1 || within === descriptorsPerBlock - 1) && at < blockCount) mark(at, 1);
  }

  blocksOf(group: number): number {
    const { firstDataBlock, blocksPerGroup, blockCount } = this.#geometry;
    return Math.min(blocksPerGroup, blockCount - firstDataBlock - group * blocksPerGroup);
  }

  /** Bits of the block bitmap that stand for something. */
  clustersOf(group: number): number {
    return Math.ceil(this.blocksOf(group) / this.#geometry.blocksPerCluster);
  }

  hasFlag(group: number, flag: keyof typeof GroupFlag): boolean {
    return (this.flags(group) & GroupFlag[flag]) !== 0;
  }

  /** The block that holds the descriptors with this index, in the copy that begins in `group`. */
  #blockOf(index: number, group: number): number {
    const { firstDataBlock, blocksPerGroup, descriptorsPerBlock, firstMetaDescriptorBlock, blockSize } =
      this.#geometry;
    const extra = firstDataBlock === 0 && blockSize === 1024 ? 1 : 0;
    if (index < firstMetaDescriptorBlock) return firstDataBlock + extra + group * blocksPerGroup + 1 + index;
    const first = index * descriptorsPerBlock;
    const start = firstDataBlock + first * blocksPerGroup;
    return start + (hasSuperblockCopy(this.#superblock, first) ? 1 : 0) + (first === 0 ? extra : 0);
  }

  #base(group: number): number {
    return group * this.#geometry.descriptorSize;
  }

  #wide(group: number, low: WideLow, high: WideHigh): number {
    const base = this.#base(group);
    const value = GroupDescriptor[low].get(this.#view, base);
    return this.#geometry.descriptorSize < 64
      ? value
      : value + GroupDescriptor[high].get(this.#view, base) * HIGH;
  }

  #half(group: number, low: HalfLow, high: HalfHigh): number {
    const base = this.#base(group);
    const value = GroupDescriptor[low].get(this.#view, base);
    return this.#geometry.descriptorSize < 64
      ? value
      : value + GroupDescriptor[high].get(this.#view, base) * 0x10000;
  }

  #setHalf(group: number, low: HalfLow, high: HalfHigh, value: number): void {
    const base = this.#base(group);
    GroupDescriptor[low].set(this.#view, base, value & 0xffff);
    if (this.#geometry.descriptorSize >= 64) GroupDescriptor[high].set(this.#view, base, value >>> 16);
  }
}

type WideLow = 'bg_block_bitmap_lo' | 'bg_inode_bitmap_lo' | 'bg_inode_table_lo';
type WideHigh = 'bg_block_bitmap_hi' | 'bg_inode_bitmap_hi' | 'bg_inode_table_hi';
type HalfLow =
  | 'bg_free_blocks_count_lo'
  | 'bg_free_inodes_count_lo'
  | 'bg_used_dirs_count_lo'
  | 'bg_itable_unused_lo'
  | 'bg_block_bitmap_csum_lo'
  | 'bg_inode_bitmap_csum_lo';
type HalfHigh =
  | 'bg_free_blocks_count_hi'
  | 'bg_free_inodes_count_hi'
  | 'bg_used_dirs_count_hi'
  | 'bg_itable_unused_hi'
  | 'bg_block_bitmap_csum_hi'
  | 'bg_inode_bitmap_csum_hi';
