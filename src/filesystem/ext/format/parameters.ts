import type { QuotaKind } from '../../file-system.ts';
import type { Timestamp } from '../../../bytes/time.ts';
import { FsError, UnsupportedError } from '../../../errors.ts';
import {
  editFeatures,
  type FeatureSet,
  hasAny,
  hasCompatible,
  hasIncompatible,
  hasReadOnlyCompatible,
  NO_FEATURES,
  refuseUnsupportedFeatures,
} from './features.ts';
import { type ExtConfiguration, PAGE_SIZE, resolveProfile, type ResolvedProfile } from './profile.ts';

/** `s_creator_os`. */
export const CreatorOs = { linux: 0, hurd: 1, masix: 2, freebsd: 3, lites: 4 } as const;

/** `s_errors`: what the kernel does when it finds the volume damaged. */
export const ErrorBehavior = { continue: 1, 'remount-ro': 2, panic: 3 } as const;

/** What a new file system is to be; whatever is absent is chosen as mke2fs chooses it. */
export interface FormatExtOptions {
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  /** 16 bytes: the salt of directory hashes. */
  readonly hashSeed: Uint8Array;
  /** The time of creation. */
  readonly now: Timestamp;
  /** Bytes; the whole device, less what does not fill a page, where absent. */
  readonly size?: number;
  /** Bytes of the device, of which the volume is a part: they choose the profile. */
  readonly wholeSize?: number;
  /** `ext2` where absent. */
  readonly type?: 'ext2' | 'ext3' | 'ext4';
  /** Usage types (`-T`); by size where absent. */
  readonly usage?: readonly string[];
  /** Bytes, a power of two from 1024 to 65536. */
  readonly blockSize?: number;
  /** Bytes: the profile's block size, but not less than this. */
  readonly minimumBlockSize?: number;
  /** An edit of the profile's features as `-O` takes it. */
  readonly features?: string;
  /** Bytes. */
  readonly inodeSize?: number;
  /** Bytes of volume an inode. */
  readonly inodeRatio?: number;
  readonly inodeCount?: number;
  readonly blocksPerGroup?: number;
  /** Percent of the blocks that only the superuser may use; 5 where absent. */
  readonly reservedPercent?: number;
  readonly revision?: 0 | 1;
  /** Bytes of the label, at most 16. */
  readonly label?: Uint8Array;
  /** Bytes of the path, at most 64. */
  readonly lastMounted?: Uint8Array;
  readonly errorBehavior?: keyof typeof ErrorBehavior;
  readonly creatorOs?: number;
  /** Blocks to which the volume may be grown while mounted. */
  readonly resize?: number;
  /** RAID chunk, blocks. */
  readonly stride?: number;
  /** RAID stripe, blocks. */
  readonly stripeWidth?: number;
  /** With sparse_super2: how many backups of the superblock, 0 to 2. */
  readonly backupSuperblocks?: number;
  readonly rootOwner?: { readonly uid: number; readonly gid: number };
  /** Marks the volume as one for experimental kernel code. */
  readonly testFileSystem?: boolean;
  /** With bigalloc: bytes of a cluster; sixteen blocks where absent. */
  readonly clusterSize?: number;
  /** With flex_bg: groups whose tables lie together, a power of two; 16 where absent. */
  readonly flexGroups?: number;
  /** With flex_bg: the tables of all groups at the start of the volume. */
  readonly packedMetaBlocks?: boolean;
  readonly journal?: JournalOptions;
  /** With mmp: seconds between two signs of life. */
  readonly mmpInterval?: number;
  /** With quota: whose use is counted; users and groups, with the feature also projects, where absent. */
  readonly quotaTypes?: readonly QuotaKind[];
  /** With orphan_file: bytes. */
  readonly orphanFileSize?: number;
  /** With casefold. */
  readonly encodingFlags?: number;
  /** mke2fs.conf; the shipped one where absent. */
  readonly configuration?: ExtConfiguration;
}

export interface JournalOptions {
  /** What is said holds for a journal that the features ask for: nobody asks for one by it. */
  readonly optional?: boolean;
  /** MiB; by the size of the volume where absent. */
  readonly size?: number;
  /** KiB, with fast_commit: a 64th of the others where absent. */
  readonly fastCommitSize?: number;
  /** The block from which room is looked for. */
  readonly location?: number;
}

/** Options with every choice made; sizes are bytes, counts are of blocks, inodes or groups. */
export interface ExtParameters {
  readonly profile: ResolvedProfile;
  readonly features: FeatureSet;
  readonly revision: 0 | 1;
  readonly blockSize: number;
  readonly blockCount: number;
  readonly reservedBlockCount: number;
  /** 0: to be computed. */
  readonly reservedDescriptorBlocks: number;
  /** 0: as many as a block of bitmap covers. */
  readonly blocksPerGroup: number;
  readonly inodeSize: number;
  readonly inodeCount: number;
  /** Bytes. */
  readonly descriptorSize: number;
  /** Blocks a cluster: 1 without bigalloc. */
  readonly clusterBlocks: number;
  /** Groups whose tables lie together: 1 without flex_bg. */
  readonly flexGroups: number;
  readonly packedMetaBlocks: boolean;
  readonly backupSuperblocks: number;
  readonly stride: number;
  readonly stripeWidth: number;
  readonly creatorOs: number;
  readonly options: FormatExtOptions;
}

export const FIRST_INODE = 11;
const MAX_32_BITS = 0xffff_ffff;

/** EINVAL whose `detail` is the sentence that mke2fs prints. */
export function invalid(detail: string): FsError {
  return new FsError('EINVAL', { detail });
}

export function descriptorsPerBlock(blockSize: number, descriptorSize: number): number {
  return blockSize / descriptorSize;
}

/** What the user said, else what the profile says. */
export function chooseBlockSize(
  profile: ResolvedProfile,
  options: { readonly blockSize?: number; readonly minimumBlockSize?: number },
): number {
  return options.blockSize ?? Math.max(profile.blockSize, options.minimumBlockSize ?? 0);
}

/** The size that mke2fs takes of a device of `deviceSize` bytes when none is given. */
export function defaultSize(deviceSize: number, blockSize = 1024): number {
  return deviceSize - (deviceSize % Math.max(blockSize, PAGE_SIZE));
}

/** The choices that are made before extended options are looked at: what they may say depends on them. */
export interface FirstChoices {
  readonly profile: ResolvedProfile;
  readonly features: FeatureSet;
  readonly revision: 0 | 1;
  /** Bytes. */
  readonly blockSize: number;
  readonly blockCount: number;
}

/** Makes them, and refuses what mke2fs refuses first, in its order. `size` in bytes. */
export function resolveFirstChoices(size: number, options: FormatExtOptions): FirstChoices {
  const hurd = options.creatorOs === CreatorOs.hurd;
  const profile = resolveProfile({
    type: options.type ?? 'ext2',
    usage: options.usage,
    size: options.wholeSize ?? size,
    hurd,
    ...(options.configuration === undefined ? {} : { configuration: options.configuration }),
  });
  const blockSize = chooseBlockSize(profile, options);
  if (blockSize < 1024 || blockSize > 65536 || !Number.isInteger(Math.log2(blockSize)))
    throw invalid(`invalid block size - ${blockSize}`);
  const blockCount = Math.floor(size / blockSize);
  const revision = options.revision ?? 1;
  const features = chooseFeatures(profile, options, hurd);
  if (blockCount > MAX_32_BITS && !hasIncompatible(features, '64bit')) {
    throw new FsError('EFBIG', {
      detail: `${blockCount} blocks of ${blockSize} bytes are too many for 32 bits`,
    });
  }
  if (revision === 0) {
    if (hasAny(features)) throw invalid('Filesystem features not supported with revision 0 filesystems');
    if (asksForJournal(options)) throw invalid('Journals not supported with revision 0 filesystems');
  }
  if (hasIncompatible(features, '64bit') && !hasIncompatible(features, 'extent'))
    throw invalid('Extents MUST be enabled for a 64-bit filesystem.  Pass -O extents to rectify.');
  if (options.clusterSize !== undefined && !hasReadOnlyCompatible(features, 'bigalloc'))
    throw invalid('specifying a cluster size requires the bigalloc feature');
  if (options.clusterSize !== undefined && options.clusterSize < blockSize)
    throw invalid('The cluster size may not be smaller than the block size.\n');
  return { profile, features, revision, blockSize, blockCount };
}

/** Makes every choice that needs no arithmetic over groups. `size` in bytes. */
export function resolveParameters(size: number, options: FormatExtOptions): ExtParameters {
  const { profile, revision, blockSize, blockCount, ...first } = resolveFirstChoices(size, options);
  const blocksPerGroup = options.blocksPerGroup ?? 0;
  if (blocksPerGroup % 8 !== 0) throw invalid('blocks per group must be multiple of 8');
  const descriptorSize = hasIncompatible(first.features, '64bit') ? 64 : 32;
  const reservedDescriptorBlocks =
    options.resize === undefined
      ? 0
      : descriptorBlocksToReserve(blockCount, blockSize, blocksPerGroup, descriptorSize, options.resize);
  if (reservedDescriptorBlocks > 0 && revision === 0)
    throw invalid('On-line resizing not supported with revision 0 filesystems');
  const features = addAskedFeatures(first.features, options, { blockCount, reservedDescriptorBlocks });
  // Those that the profile asks for are not looked at.
  if (options.inodeSize === 128 && hasReadOnlyCompatible(features, 'project'))
    throw invalid('128 byte inodes are too small for project quota');
  refuseCombinations(features);
  if (blocksPerGroup !== 0 && (blocksPerGroup < 256 || blocksPerGroup > 8 * blockSize))
    throw invalid('blocks per group count out of range');
  const clusterBlocks = chooseClusterBlocks(profile, options, features, blockSize);
  if (options.flexGroups !== undefined && !hasIncompatible(features, 'flex_bg'))
    throw invalid('Flex_bg feature not enabled, so flex_bg size may not be specified');
  const inodeRatio = options.inodeRatio ?? Math.max(profile.inodeRatio, blockSize * clusterBlocks);
  // Numbers of projects lie behind the first 128 bytes.
  const leastInodeSize = hasReadOnlyCompatible(features, 'project') ? 256 : 0;
  const inodeSize = options.inodeSize ?? Math.max(profile.inodeSize, leastInodeSize);
  if (revision > 0 && (inodeSize < 128 || inodeSize > blockSize || (inodeSize & (inodeSize - 1)) !== 0))
    throw invalid(`invalid inode size ${inodeSize} (min 128/max ${blockSize})`);
  if (inodeSize === 128 && revision > 0 && hasIncompatible(features, 'inline_data'))
    throw invalid(`${inodeSize} byte inodes are too small for inline data; specify larger size`);
  const inodeCount =
    options.inodeCount === undefined || options.inodeCount === 0
      ? Math.min(Math.floor((blockCount * blockSize) / inodeRatio), MAX_32_BITS)
      : options.inodeCount;
  if (inodeCount * inodeSize >= blockCount * blockSize) {
    throw invalid(
      `inode_size (${inodeSize}) * inodes_count (${inodeCount}) too big for a\n` +
        `\tfilesystem with ${blockCount} blocks, specify higher inode_ratio (-i)\n` +
        '\tor lower inode count (-N).\n',
    );
  }
  refuseQuotaWithClusters(features);
  return {
    profile,
    features,
    revision,
    blockSize,
    blockCount,
    reservedBlockCount: Math.floor(((options.reservedPercent ?? profile.reservedPercent) * blockCount) / 100),
    reservedDescriptorBlocks,
    blocksPerGroup,
    // Revision 0 knows one size only.
    inodeSize: revision === 0 ? 128 : inodeSize,
    inodeCount,
    descriptorSize,
    clusterBlocks,
    flexGroups: hasIncompatible(features, 'flex_bg') ? (options.flexGroups ?? profile.flexGroups) : 1,
    packedMetaBlocks: options.packedMetaBlocks ?? profile.packedMetaBlocks,
    backupSuperblocks: options.backupSuperblocks ?? profile.backupSuperblocks,
    stride: options.stride ?? 0,
    stripeWidth: options.stripeWidth ?? 0,
    creatorOs: options.creatorOs ?? CreatorOs.linux,
    options,
  };
}

function chooseFeatures(profile: ResolvedProfile, options: FormatExtOptions, hurd: boolean): FeatureSet {
  let features = NO_FEATURES;
  if (options.revision !== 0) {
    for (const list of profile.features) features = editFeatures(features, list);
    // The Hurd keeps its translators where Linux keeps the file type.
    if (hurd) features = withoutLinux(features);
    features = editFeatures(features, options.features ?? profile.defaultFeatures);
  } else if (options.features !== undefined) features = editFeatures(features, options.features);
  if (asksForJournal(options) && options.revision !== 0) features = editFeatures(features, 'has_journal');
  if (hurd) refuseLinux(features);
  refuseUnsupportedFeatures(features);
  return features;
}

/** To say where one is to lie is not to ask for it. */
function asksForJournal({ journal }: FormatExtOptions): boolean {
  return journal !== undefined && journal.optional !== true;
}

/** Features that extended options bring along, and one that large volumes cannot have. */
function addAskedFeatures(
  features: FeatureSet,
  options: FormatExtOptions,
  { blockCount, reservedDescriptorBlocks }: Pick<ExtParameters, 'blockCount' | 'reservedDescriptorBlocks'>,
): FeatureSet {
  let result = features;
  if (reservedDescriptorBlocks > 0) result = editFeatures(result, 'resize_inode');
  if (options.encodingFlags !== undefined) result = editFeatures(result, 'casefold');
  if (options.quotaTypes?.includes('project') === true) result = editFeatures(result, 'project');
  if (blockCount > MAX_32_BITS) result = editFeatures(result, '^resize_inode');
  // Checksums of all metadata include those of group descriptors.
  return hasReadOnlyCompatible(result, 'metadata_csum') ? editFeatures(result, '^uninit_bg') : result;
}

function refuseCombinations(features: FeatureSet): void {
  if (hasReadOnlyCompatible(features, 'bigalloc') && !hasIncompatible(features, 'extent'))
    throw invalid("Can't support bigalloc feature without extents feature");
  const resizable = hasCompatible(features, 'resize_inode');
  if (resizable && hasIncompatible(features, 'meta_bg')) {
    throw invalid(
      'The resize_inode and meta_bg features are not compatible.\nThey can not be both enabled simultaneously.',
    );
  }
  if (resizable && !hasReadOnlyCompatible(features, 'sparse_super'))
    throw invalid('reserved online resize blocks not supported on non-sparse filesystem');
}

/** What the files of quotas are not made for here. */
function refuseQuotaWithClusters(features: FeatureSet): void {
  if (!hasReadOnlyCompatible(features, 'quota') || !hasReadOnlyCompatible(features, 'bigalloc')) return;
  throw new UnsupportedError(
    'The feature quota cannot be given to a new file system together with bigalloc',
    ['quota'],
  );
}

function withoutLinux(features: FeatureSet): FeatureSet {
  return editFeatures(features, '^filetype,^huge_file,^metadata_csum,^ea_inode,^casefold');
}

function refuseLinux(features: FeatureSet): void {
  for (const [name, present] of [
    ['filetype', hasIncompatible(features, 'filetype')],
    ['huge_file', hasReadOnlyCompatible(features, 'huge_file')],
    ['metadata_csum', hasReadOnlyCompatible(features, 'metadata_csum')],
    ['ea_inode', hasIncompatible(features, 'ea_inode')],
  ] as const)
    if (present) throw invalid(`The HURD does not support the ${name} feature.`);
}

function chooseClusterBlocks(
  profile: ResolvedProfile,
  options: FormatExtOptions,
  features: FeatureSet,
  blockSize: number,
): number {
  if (!hasReadOnlyCompatible(features, 'bigalloc')) return 1;
  const clusterSize = options.clusterSize ?? (profile.clusterSize > 0 ? profile.clusterSize : blockSize * 16);
  return clusterSize / blockSize;
}

/** How many more descriptor blocks a volume of `target` blocks has, as far as one indirect block can list them. */
function descriptorBlocksToReserve(
  blockCount: number,
  blockSize: number,
  blocksPerGroup: number,
  descriptorSize: number,
  target: number,
): number {
  if (target <= blockCount) throw invalid('The resize maximum must be greater than the filesystem size.');
  const perGroup = blocksPerGroup === 0 ? blockSize * 8 : blocksPerGroup;
  const perBlock = descriptorsPerBlock(blockSize, descriptorSize);
  const present = Math.ceil(Math.ceil(blockCount / perGroup) / perBlock);
  const wanted = Math.ceil(Math.ceil(target / perGroup) / perBlock);
  return Math.min(wanted - present, blockSize / 4);
}
