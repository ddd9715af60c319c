import { bytes, struct, u16le, u32le } from '../../bytes/struct.ts';

/**
 * An inode: `struct ext4_inode`, Linux Documentation/filesystems/ext4/inodes.rst. Volumes of 128-byte inodes end
 * before `i_extra_isize`.
 */
export const Inode = struct('inode', 160, {
  i_mode: u16le(0x00),
  i_uid: u16le(0x02),
  i_size_lo: u32le(0x04),
  i_atime: u32le(0x08), // signed seconds; the extra field adds two bits of epoch
  i_ctime: u32le(0x0c),
  i_mtime: u32le(0x10),
  i_dtime: u32le(0x14),
  i_gid: u16le(0x18),
  i_links_count: u16le(0x1a),
  i_blocks_lo: u32le(0x1c), // in units of 512 bytes
  i_flags: u32le(0x20),
  i_version: u32le(0x24), // osd1
  i_block: bytes(0x28, 60), // block map, extent tree, symlink target or inline data
  i_generation: u32le(0x64),
  i_file_acl_lo: u32le(0x68),
  i_size_high: u32le(0x6c), // i_dir_acl on directories of revision 0
  i_obso_faddr: u32le(0x70),
  i_blocks_high: u16le(0x74), // osd2 as Linux has it
  i_file_acl_high: u16le(0x76),
  i_uid_high: u16le(0x78),
  i_gid_high: u16le(0x7a),
  i_checksum_lo: u16le(0x7c),
  i_extra_isize: u16le(0x80), // bytes past 128 that the fields below may use
  i_checksum_hi: u16le(0x82),
  i_ctime_extra: u32le(0x84), // nanoseconds << 2 | epoch
  i_mtime_extra: u32le(0x88),
  i_atime_extra: u32le(0x8c),
  i_crtime: u32le(0x90),
  i_crtime_extra: u32le(0x94),
  i_version_hi: u32le(0x98),
  i_projid: u32le(0x9c),
});

/** Inodes with a fixed job. */
export const ReservedInode = {
  badBlocks: 1,
  root: 2,
  userQuota: 3,
  groupQuota: 4,
  bootLoader: 5,
  undeleteDirectory: 6,
  resize: 7,
  journal: 8,
} as const;

/** `i_mode`, the bits that tell the kind. */
export const InodeKind = {
  fifo: 0x1000,
  characterDevice: 0x2000,
  directory: 0x4000,
  blockDevice: 0x6000,
  file: 0x8000,
  symlink: 0xa000,
  socket: 0xc000,
} as const;

/** `i_flags`. */
export const InodeFlag = {
  secureDeletion: 0x0000_0001,
  undelete: 0x0000_0002,
  compressed: 0x0000_0004,
  synchronous: 0x0000_0008,
  immutable: 0x0000_0010,
  appendOnly: 0x0000_0020,
  noDump: 0x0000_0040,
  noAtime: 0x0000_0080,
  encrypted: 0x0000_0800,
  index: 0x0000_1000, // directory with a hash tree
  hugeFile: 0x0004_0000,
  extents: 0x0008_0000,
  verity: 0x0010_0000,
  eaInode: 0x0020_0000,
  inlineData: 0x1000_0000,
  projectInherit: 0x2000_0000,
  casefold: 0x4000_0000,
} as const;
