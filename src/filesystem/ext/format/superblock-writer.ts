import { viewOf } from '../../../bytes/struct.ts';
import { sealSuperblock } from '../checksum.ts';
import { CompatibleFeature, Superblock, SUPERBLOCK_MAGIC } from '../superblock.ts';
import {
  countsWrites,
  type FeatureSet,
  hasCompatible,
  hasIncompatible,
  hasReadOnlyCompatible,
} from './features.ts';
import { EXTRA_INODE_SIZE } from './inode-record.ts';
import { superAndDescriptorBlocks } from './layout.ts';
import type { NewVolume } from './new-volume.ts';
import { ErrorBehavior, FIRST_INODE } from './parameters.ts';

/** `s_state`: unmounted, nothing wrong. */
export const CLEAN = 1;
const WITH_ERRORS = 2;
/** `s_default_mount_opts`: names as tune2fs(8) has them. */
const MOUNT_OPTIONS: Readonly<Record<string, number>> = {
  debug: 0x001,
  bsdgroups: 0x002,
  user_xattr: 0x004,
  acl: 0x008,
  uid16: 0x010,
  journal_data: 0x020,
  journal_data_ordered: 0x040,
  journal_data_writeback: 0x060,
  nobarrier: 0x100,
  block_validity: 0x200,
  discard: 0x400,
  nodelalloc: 0x800,
};
/** `s_flags`. */
const SIGNED_HASH = 1;
const TEST_FILE_SYSTEM = 4;
/** `s_def_hash_version`. */
const HALF_MD4 = 1;
const HASH_VERSIONS: Readonly<Record<string, number>> = { legacy: 0, half_md4: HALF_MD4, tea: 2 };
/** `s_checksum_type`. */
const CRC32C = 1;
/** `s_encrypt_algos`: AES-256-XTS for content, AES-256-CBC-CTS for names. */
const ENCRYPTION_MODES = Uint8Array.of(1, 4, 0, 0);
/** `s_encoding`. */
const UTF8_12_1 = 1;
/** `s_jnl_backup_type`: the first words of inode 8 are kept in the superblock. */
const JOURNAL_BLOCKS = 1;

export interface SuperblockCounts {
  readonly freeBlocks: number;
  readonly freeInodes: number;
  /** Bad blocks among superblocks and descriptors, backups included: mke2fs does not count them as overhead. */
  readonly badOverhead: number;
  /** The tables are not trustworthy: only superblock and descriptors were written. */
  readonly withErrors: boolean;
}

/** The 1024 bytes of the primary superblock; a backup differs in `s_block_group_nr`. */
export function superblockBytes(volume: NewVolume, counts: SuperblockCounts): Uint8Array {
  const bytes = new Uint8Array(Superblock.$size);
  const view = viewOf(bytes);
  const { layout } = volume;
  const { parameters } = layout;
  const features = finalFeatures(volume);
  const { options } = parameters;
  const seconds = options.now.seconds;
  const dynamic = parameters.revision > 0;
  const logBlockSize = Math.log2(layout.blockSize) - 10;
  Superblock.s_inodes_count.set(view, 0, layout.inodeCount);
  Superblock.s_blocks_count_lo.set(view, 0, layout.blockCount >>> 0);
  Superblock.s_blocks_count_hi.set(view, 0, high(layout.blockCount));
  Superblock.s_r_blocks_count_lo.set(view, 0, layout.reservedBlockCount >>> 0);
  Superblock.s_r_blocks_count_hi.set(view, 0, high(layout.reservedBlockCount));
  Superblock.s_free_blocks_count_lo.set(view, 0, counts.freeBlocks >>> 0);
  Superblock.s_free_blocks_count_hi.set(view, 0, high(counts.freeBlocks));
  Superblock.s_free_inodes_count.set(view, 0, counts.freeInodes);
  Superblock.s_first_data_block.set(view, 0, layout.firstDataBlock);
  Superblock.s_log_block_size.set(view, 0, logBlockSize);
  Superblock.s_log_cluster_size.set(view, 0, logBlockSize + Math.log2(layout.clusterBlocks));
  Superblock.s_blocks_per_group.set(view, 0, layout.blocksPerGroup);
  Superblock.s_clusters_per_group.set(view, 0, layout.blocksPerGroup / layout.clusterBlocks);
  Superblock.s_inodes_per_group.set(view, 0, layout.inodesPerGroup);
  Superblock.s_wtime.set(view, 0, seconds);
  Superblock.s_max_mnt_count.set(view, 0, 0xffff);
  Superblock.s_magic.set(view, 0, SUPERBLOCK_MAGIC);
  Superblock.s_state.set(view, 0, counts.withErrors ? CLEAN | WITH_ERRORS : CLEAN);
  Superblock.s_errors.set(
    view,
    0,
    ErrorBehavior[options.errorBehavior ?? errorBehaviorOf(parameters.profile.errorBehavior)],
  );
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
  Superblock.s_def_hash_version.set(
    view,
    0,
    HASH_VERSIONS[parameters.profile.hashAlgorithm ?? ''] ?? HALF_MD4,
  );
  if (dynamic) Superblock.s_default_mount_opts.set(view, 0, mountOptionBits(parameters.profile.mountOptions));
  if (hasIncompatible(features, '64bit')) Superblock.s_desc_size.set(view, 0, layout.descriptorSize);
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
    Superblock.s_overhead_blocks.set(view, 0, overheadBlocks(volume) - counts.badOverhead);
  setFeatureFields(view, volume, features);
  const backups = viewOf(Superblock.s_backup_bgs.get(view, 0));
  backups.setUint32(0, layout.backupGroups[0], true);
  backups.setUint32(4, layout.backupGroups[1], true);
  return bytes;
}

/** What is there by virtue of a feature only. */
function setFeatureFields(view: DataView, volume: NewVolume, features: FeatureSet): void {
  const { layout, superblockFields: fields } = volume;
  const { options } = layout.parameters;
  if (layout.flexGroups > 1) Superblock.s_log_groups_per_flex.set(view, 0, Math.log2(layout.flexGroups));
  if (hasReadOnlyCompatible(features, 'metadata_csum')) Superblock.s_checksum_type.set(view, 0, CRC32C);
  if (hasIncompatible(features, 'metadata_csum_seed'))
    Superblock.s_checksum_seed.set(view, 0, volume.checksumSeed ?? 0);
  if (hasIncompatible(features, 'encrypt')) Superblock.s_encrypt_algos.set(view, 0, ENCRYPTION_MODES);
  if (hasIncompatible(features, 'casefold')) {
    Superblock.s_encoding.set(view, 0, UTF8_12_1);
    Superblock.s_encoding_flags.set(view, 0, options.encodingFlags ?? 0);
  }
  if (countsWrites(features)) {
    const descriptors = Math.floor((layout.descriptorBlocks + 1) / (layout.blockSize / 1024));
    Superblock.s_kbytes_written.set(
      view,
      0,
      BigInt(1 + Math.floor(volume.counter.bytes / 1024) + descriptors),
    );
  }
  if (fields.journalInode !== undefined) {
    Superblock.s_journal_inum.set(view, 0, fields.journalInode);
    if (fields.journalBackup !== undefined) {
      Superblock.s_jnl_backup_type.set(view, 0, JOURNAL_BLOCKS);
      Superblock.s_jnl_blocks.set(view, 0, fields.journalBackup);
    }
  }
  Superblock.s_orphan_file_inum.set(view, 0, fields.orphanFileInode ?? 0);
  Superblock.s_usr_quota_inum.set(view, 0, fields.userQuotaInode ?? 0);
  Superblock.s_grp_quota_inum.set(view, 0, fields.groupQuotaInode ?? 0);
  Superblock.s_prj_quota_inum.set(view, 0, fields.projectQuotaInode ?? 0);
  Superblock.s_mmp_interval.set(view, 0, fields.mmpInterval ?? options.mmpInterval ?? 0);
  if (fields.mmpBlock !== undefined) Superblock.s_mmp_block.set(view, 0, BigInt(fields.mmpBlock));
}

/** Without a journal that would have been too large for the volume, and what depends on it. */
function finalFeatures({ layout, journalBlocks, superblockFields }: NewVolume): FeatureSet {
  const { features } = layout;
  if (
    !hasCompatible(features, 'has_journal') ||
    journalBlocks > 0 ||
    superblockFields.journalInode !== undefined
  )
    return features;
  const without = CompatibleFeature.has_journal | CompatibleFeature.orphan_file;
  return { ...features, compatible: features.compatible & ~without };
}

/** What mke2fs.conf says; what is no behavior counts as none. */
function errorBehaviorOf(name: string | undefined): keyof typeof ErrorBehavior {
  return name === 'remount-ro' || name === 'panic' ? name : 'continue';
}

/** Of a list of names; what is no name is left out. */
function mountOptionBits(list: string): number {
  let bits = 0;
  for (const name of list.split(/[ ,]+/)) {
    if (Object.hasOwn(MOUNT_OPTIONS, name)) bits |= MOUNT_OPTIONS[name]!;
  }
  return bits;
}

function high(value: number): number {
  return Math.floor(value / 0x1_0000_0000);
}

/** Puts the checksum in, where the volume has one, after a change of the bytes. */
export function sealSuperblockOf(volume: NewVolume, superblock: Uint8Array): void {
  sealSuperblock(viewOf(superblock), volume.layout.features);
}

/** Clusters that can never hold files. */
function overheadBlocks({ layout, journalBlocks, tableClusters }: NewVolume): number {
  if (layout.clusterBlocks > 1) return tableClusters + Math.ceil(journalBlocks / layout.clusterBlocks);
  let blocks = layout.firstDataBlock;
  for (let group = 0; group < layout.groupCount; group++)
    blocks += superAndDescriptorBlocks(layout, group) + 2 + layout.inodeTableBlocks;
  return blocks + journalBlocks;
}
