import { struct, u16le, u32le } from '../../bytes/struct.ts';

/** One block group: `struct ext4_group_desc`, Linux Documentation/filesystems/ext4/group_descr.rst; the first 32 bytes are ext2's. */
export const GroupDescriptor = struct('group descriptor', 64, {
  bg_block_bitmap_lo: u32le(0x00),
  bg_inode_bitmap_lo: u32le(0x04),
  bg_inode_table_lo: u32le(0x08),
  bg_free_blocks_count_lo: u16le(0x0c),
  bg_free_inodes_count_lo: u16le(0x0e),
  bg_used_dirs_count_lo: u16le(0x10),
  bg_flags: u16le(0x12), // GroupFlag
  bg_exclude_bitmap_lo: u32le(0x14),
  bg_block_bitmap_csum_lo: u16le(0x18),
  bg_inode_bitmap_csum_lo: u16le(0x1a),
  bg_itable_unused_lo: u16le(0x1c),
  bg_checksum: u16le(0x1e),
  bg_block_bitmap_hi: u32le(0x20), // from here on only with the feature 64bit
  bg_inode_bitmap_hi: u32le(0x24),
  bg_inode_table_hi: u32le(0x28),
  bg_free_blocks_count_hi: u16le(0x2c),
  bg_free_inodes_count_hi: u16le(0x2e),
  bg_used_dirs_count_hi: u16le(0x30),
  bg_itable_unused_hi: u16le(0x32),
  bg_exclude_bitmap_hi: u32le(0x34),
  bg_block_bitmap_csum_hi: u16le(0x38),
  bg_inode_bitmap_csum_hi: u16le(0x3a),
});

/** `bg_flags`. They mean something only where descriptors have checksums. */
export const GroupFlag = {
  /** `EXT4_BG_INODE_UNINIT`: no inode was ever used; the inode bitmap is not to be read. */
  inodesUninitialised: 0x0001,
  /** `EXT4_BG_BLOCK_UNINIT`: no block but the format's own was ever used; the block bitmap is not to be read. */
  blocksUninitialised: 0x0002,
  /** `EXT4_BG_INODE_ZEROED`: the whole inode table was written. */
  tableZeroed: 0x0004,
} as const;
