import { bytes, struct, text, token64le, u16le, u32le, u8 } from '../../bytes/struct.ts';

/**
 * The ext2/3/4 superblock, 1024 bytes at byte 1024 of the volume: `struct ext4_super_block`, Linux
 * Documentation/filesystems/ext4/super.rst.
 */
export const Superblock = struct('superblock', 1024, {
  s_inodes_count: u32le(0x000),
  s_blocks_count_lo: u32le(0x004),
  s_r_blocks_count_lo: u32le(0x008), // reserved for s_def_resuid
  s_free_blocks_count_lo: u32le(0x00c),
  s_free_inodes_count: u32le(0x010),
  s_first_data_block: u32le(0x014), // 1 with blocks of 1 KiB, 0 else
  s_log_block_size: u32le(0x018), // block size is 2^(10 + this)
  s_log_cluster_size: u32le(0x01c), // fragments on ext2: equal to s_log_block_size
  s_blocks_per_group: u32le(0x020),
  s_clusters_per_group: u32le(0x024),
  s_inodes_per_group: u32le(0x028),
  s_mtime: u32le(0x02c),
  s_wtime: u32le(0x030),
  s_mnt_count: u16le(0x034),
  s_max_mnt_count: u16le(0x036), // 0xffff: never check
  s_magic: u16le(0x038), // 0xef53
  s_state: u16le(0x03a), // 1: clean, 2: errors, 4: orphans being recovered
  s_errors: u16le(0x03c), // 1: continue, 2: remount read-only, 3: panic
  s_minor_rev_level: u16le(0x03e),
  s_lastcheck: u32le(0x040),
  s_checkinterval: u32le(0x044),
  s_creator_os: u32le(0x048), // 0: Linux, 1: Hurd, 2: Masix, 3: FreeBSD, 4: Lites
  s_rev_level: u32le(0x04c), // 0: original, 1: dynamic inode sizes
  s_def_resuid: u16le(0x050),
  s_def_resgid: u16le(0x052),
  s_first_ino: u32le(0x054), // 11; the fields from here on are only there with revision 1
  s_inode_size: u16le(0x058),
  s_block_group_nr: u16le(0x05a), // of the group that holds this copy
  s_feature_compat: u32le(0x05c),
  s_feature_incompat: u32le(0x060),
  s_feature_ro_compat: u32le(0x064),
  s_uuid: bytes(0x068, 16),
  s_volume_name: bytes(0x078, 16),
  s_last_mounted: bytes(0x088, 64),
  s_algorithm_usage_bitmap: u32le(0x0c8),
  s_prealloc_blocks: u8(0x0cc),
  s_prealloc_dir_blocks: u8(0x0cd),
  s_reserved_gdt_blocks: u16le(0x0ce),
  s_journal_uuid: bytes(0x0d0, 16),
  s_journal_inum: u32le(0x0e0),
  s_journal_dev: u32le(0x0e4),
  s_last_orphan: u32le(0x0e8),
  s_hash_seed: bytes(0x0ec, 16),
  s_def_hash_version: u8(0x0fc), // 0: legacy, 1: half MD4, 2: TEA; see s_flags for signedness
  s_jnl_backup_type: u8(0x0fd),
  s_desc_size: u16le(0x0fe), // only with the feature 64bit
  s_default_mount_opts: u32le(0x100),
  s_first_meta_bg: u32le(0x104),
  s_mkfs_time: u32le(0x108),
  s_jnl_blocks: bytes(0x10c, 68),
  s_blocks_count_hi: u32le(0x150),
  s_r_blocks_count_hi: u32le(0x154),
  s_free_blocks_count_hi: u32le(0x158),
  s_min_extra_isize: u16le(0x15c),
  s_want_extra_isize: u16le(0x15e),
  s_flags: u32le(0x160), // 1: signed directory hash, 2: unsigned, 4: development file system
  s_raid_stride: u16le(0x164),
  s_mmp_interval: u16le(0x166),
  s_mmp_block: token64le(0x168),
  s_raid_stripe_width: u32le(0x170),
  s_log_groups_per_flex: u8(0x174),
  s_checksum_type: u8(0x175), // 1: crc32c
  s_reserved_pad: u16le(0x176),
  s_kbytes_written: token64le(0x178),
  s_snapshot_inum: u32le(0x180),
  s_snapshot_id: u32le(0x184),
  s_snapshot_r_blocks_count: token64le(0x188),
  s_snapshot_list: u32le(0x190),
  s_error_count: u32le(0x194),
  s_first_error_time: u32le(0x198),
  s_first_error_ino: u32le(0x19c),
  s_first_error_block: token64le(0x1a0),
  s_first_error_func: text(0x1a8, 32),
  s_first_error_line: u32le(0x1c8),
  s_last_error_time: u32le(0x1cc),
  s_last_error_ino: u32le(0x1d0),
  s_last_error_line: u32le(0x1d4),
  s_last_error_block: token64le(0x1d8),
  s_last_error_func: text(0x1e0, 32),
  s_mount_opts: text(0x200, 64),
  s_usr_quota_inum: u32le(0x240),
  s_grp_quota_inum: u32le(0x244),
  s_overhead_blocks: u32le(0x248),
  s_backup_bgs: bytes(0x24c, 8), // two u32: groups with backups under sparse_super2
  s_encrypt_algos: bytes(0x254, 4),
  s_encrypt_pw_salt: bytes(0x258, 16),
  s_lpf_ino: u32le(0x268),
  s_prj_quota_inum: u32le(0x26c),
  s_checksum_seed: u32le(0x270),
  s_wtime_hi: u8(0x274),
  s_mtime_hi: u8(0x275),
  s_mkfs_time_hi: u8(0x276),
  s_lastcheck_hi: u8(0x277),
  s_first_error_time_hi: u8(0x278),
  s_last_error_time_hi: u8(0x279),
  s_first_error_errcode: u8(0x27a),
  s_last_error_errcode: u8(0x27b),
  s_encoding: u16le(0x27c),
  s_encoding_flags: u16le(0x27e),
  s_orphan_file_inum: u32le(0x280),
  s_reserved: bytes(0x284, 376),
  s_checksum: u32le(0x3fc),
});

export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_MAGIC = 0xef53;

/** `s_feature_compat`: a driver that does not know one may still write. */
export const CompatibleFeature = {
  dir_prealloc: 0x0001,
  imagic_inodes: 0x0002,
  has_journal: 0x0004,
  ext_attr: 0x0008,
  resize_inode: 0x0010,
  dir_index: 0x0020,
  sparse_super2: 0x0200,
  fast_commit: 0x0400,
  stable_inodes: 0x0800,
  orphan_file: 0x1000,
} as const;

/** `s_feature_incompat`: a driver that does not know one must not touch the volume. */
export const IncompatibleFeature = {
  compression: 0x00001,
  filetype: 0x00002,
  needs_recovery: 0x00004,
  journal_dev: 0x00008,
  meta_bg: 0x00010,
  extent: 0x00040,
  '64bit': 0x00080,
  mmp: 0x00100,
  flex_bg: 0x00200,
  ea_inode: 0x00400,
  dirdata: 0x01000,
  metadata_csum_seed: 0x02000,
  large_dir: 0x04000,
  inline_data: 0x08000,
  encrypt: 0x10000,
  casefold: 0x20000,
} as const;

/** `s_feature_ro_compat`: a driver that does not know one may read. */
export const ReadOnlyCompatibleFeature = {
  sparse_super: 0x00001,
  large_file: 0x00002,
  btree_dir: 0x00004,
  huge_file: 0x00008,
  uninit_bg: 0x00010,
  dir_nlink: 0x00020,
  extra_isize: 0x00040,
  has_snapshot: 0x00080,
  quota: 0x00100,
  bigalloc: 0x00200,
  metadata_csum: 0x00400,
  replica: 0x00800,
  'read-only': 0x01000,
  project: 0x02000,
  shared_blocks: 0x04000,
  verity: 0x08000,
  orphan_present: 0x10000,
} as const;
