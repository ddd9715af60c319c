import { viewOf } from '../../../bytes/struct.ts';
import { Superblock, SUPERBLOCK_MAGIC } from '../superblock.ts';
import { EXTRA_INODE_SIZE } from './inode-record.ts';
import { type ExtLayout, superAndDescriptorBlocks } from './layout.ts';
import { ErrorBehavior, FIRST_INODE } from './parameters.ts';

/** `s_state`: unmounted, nothing wrong. */
export const CLEAN = 1;
const WITH_ERRORS = 2;
/** `s_default_mount_opts`: user_xattr and acl. */
const DEFAULT_MOUNT_OPTIONS = 0x0c;
/** `s_flags`. */
const SIGNED_HASH = 1;
const TEST_FILE_SYSTEM = 4;
/** `s_def_hash_version`. */
const HALF_MD4 = 1;

export interface SuperblockCounts {
  readonly freeBlocks: number;
  readonly freeInodes: number;
  /** Bad blocks among superblocks and descriptors, backups included: mke2fs does not count them as overhead. */
  readonly badOverhead: number;
  /** The tables are not trustworthy: only superblock and descriptors were written. */
  readonly withErrors: boolean;
}

/** The 1024 bytes of the primary superblock; a backup differs in `s_block_group_nr`. */
export function superblockBytes(layout: ExtLayout, counts: SuperblockCounts): Uint8Array {
  const bytes = new Uint8Array(Superblock.$size);
  const view = viewOf(bytes);
  const { parameters, features } = layout;
  const { options } = parameters;
  const seconds = options.now.seconds;
  const dynamic = parameters.revision > 0;
  const logBlockSize = Math.log2(layout.blockSize) - 10;
  Superblock.s_inodes_count.set(view, 0, layout.inodeCount);
  Superblock.s_blocks_count_lo.set(view, 0, layout.blockCount);
  Superblock.s_r_blocks_count_lo.set(view, 0, layout.reservedBlockCount);
  Superblock.s_free_blocks_count_lo.set(view, 0, counts.freeBlocks);
  Superblock.s_free_inodes_count.set(view, 0, counts.freeInodes);
  Superblock.s_first_data_block.set(view, 0, layout.firstDataBlock);
  Superblock.s_log_block_size.set(view, 0, logBlockSize);
  Superblock.s_log_cluster_size.set(view, 0, logBlockSize);
  Superblock.s_blocks_per_group.set(view, 0, layout.blocksPerGroup);
  Superblock.s_clusters_per_group.set(view, 0, layout.blocksPerGroup);
  Superblock.s_inodes_per_group.set(view, 0, layout.inodesPerGroup);
  Superblock.s_wtime.set(view, 0, seconds);
  Superblock.s_max_mnt_count.set(view, 0, 0xffff);
  Superblock.s_magic.set(view, 0, SUPERBLOCK_MAGIC);
  Superblock.s_state.set(view, 0, counts.withErrors ? CLEAN | WITH_ERRORS : CLEAN);
  Superblock.s_errors.set(view, 0, ErrorBehavior[options.errorBehavior ?? 'continue']);
  Superblock.s_lastcheck.set(view, 0, seconds);
  Superblock.s_creator_os.set(view, 0, parameters.creatorOs);
  Superblock.s_rev_level.set(view, 0, parameters.revision);
  Superblock.s_first_ino.set(view, 0, FIRST_INODE);
  Superblock.s_inode_size.set(view, 0, layout.inodeSize);
  Superblock.s_feature_compat.set(view, 0, features.compatible);
  Superblock.s_feature_incompat.set(view, 0, features.incompatible);
  Superblock.s_feature_ro_compat.set(view, 0, features.readOnlyCompatible);
  Superblock.s_uuid.set(view, 0, options.uuid);
  Superblock.s_volume_name.set(view, 0, options.label ?? new Uint8Array(0));
  Superblock.s_last_mounted.set(view, 0, options.lastMounted ?? new Uint8Array(0));
  Superblock.s_reserved_gdt_blocks.set(view, 0, layout.reservedDescriptorBlocks);
  Superblock.s_hash_seed.set(view, 0, options.hashSeed);
  Superblock.s_def_hash_version.set(view, 0, HALF_MD4);
  if (dynamic) Superblock.s_default_mount_opts.set(view, 0, DEFAULT_MOUNT_OPTIONS);
  Superblock.s_first_meta_bg.set(view, 0, layout.firstMetaGroup);
  Superblock.s_mkfs_time.set(view, 0, seconds);
  if (layout.inodeSize > 128) {
    Superblock.s_min_extra_isize.set(view, 0, EXTRA_INODE_SIZE);
    Superblock.s_want_extra_isize.set(view, 0, EXTRA_INODE_SIZE);
  }
  Superblock.s_flags.set(view, 0, SIGNED_HASH | (options.testFileSystem === true ? TEST_FILE_SYSTEM : 0));
  Superblock.s_raid_stride.set(view, 0, parameters.stride);
  Superblock.s_raid_stripe_width.set(view, 0, parameters.stripeWidth);
  if (!counts.withErrors)
    Superblock.s_overhead_blocks.set(view, 0, overheadBlocks(layout) - counts.badOverhead);
  const backups = viewOf(Superblock.s_backup_bgs.get(view, 0));
  backups.setUint32(0, layout.backupGroups[0], true);
  backups.setUint32(4, layout.backupGroups[1], true);
  return bytes;
}

/** Blocks that can never hold files. */
function overheadBlocks(layout: ExtLayout): number {
  let blocks = layout.firstDataBlock;
  for (let group = 0; group < layout.groupCount; group++)
    blocks += superAndDescriptorBlocks(layout, group) + 2 + layout.inodeTableBlocks;
  return blocks;
}
