import type { Timestamp } from '../../../bytes/time.ts';
import { FsError } from '../../../errors.ts';
import { IncompatibleFeature } from '../superblock.ts';
import {
  editFeatures,
  type FeatureSet,
  hasCompatible,
  hasIncompatible,
  hasReadOnlyCompatible,
  NO_FEATURES,
  refuseUnsupportedFeatures,
} from './features.ts';
import { PAGE_SIZE, resolveProfile, type ResolvedProfile } from './profile.ts';

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
  /** `ext2`; the others name features that are refused so far. */
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
  readonly backupSuperblocks: number;
  readonly stride: number;
  readonly stripeWidth: number;
  readonly creatorOs: number;
  readonly options: FormatExtOptions;
}

export const FIRST_INODE = 11;
const DESCRIPTOR_SIZE = 32;
const MAX_32_BITS = 0xffff_ffff;

/** EINVAL whose `detail` is the sentence that mke2fs prints. */
export function invalid(detail: string): FsError {
  return new FsError('EINVAL', { detail });
}

export function descriptorsPerBlock(blockSize: number): number {
  return blockSize / DESCRIPTOR_SIZE;
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

/** Makes every choice that needs no arithmetic over groups. `size` in bytes. */
export function resolveParameters(size: number, options: FormatExtOptions): ExtParameters {
  const creatorOs = options.creatorOs ?? CreatorOs.linux;
  const hurd = creatorOs === CreatorOs.hurd;
  const profile = resolveProfile(options.type ?? 'ext2', options.usage, size, hurd);
  const blockSize = chooseBlockSize(profile, options);
  if (blockSize < 1024 || blockSize > 65536 || !Number.isInteger(Math.log2(blockSize)))
    throw invalid(`invalid block size - ${blockSize}`);
  const blockCount = Math.floor(size / blockSize);
  const revision = options.revision ?? 1;
  if (blockCount > MAX_32_BITS) {
    throw new FsError('EFBIG', {
      detail: `${blockCount} blocks of ${blockSize} bytes are too many for 32 bits`,
    });
  }
  const blocksPerGroup = options.blocksPerGroup ?? 0;
  if (blocksPerGroup !== 0) {
    if (blocksPerGroup % 8 !== 0) throw invalid('blocks per group must be multiple of 8');
    if (blocksPerGroup < 256 || blocksPerGroup > 8 * blockSize)
      throw invalid('blocks per group count out of range');
  }
  const reservedDescriptorBlocks =
    options.resize === undefined
      ? 0
      : descriptorBlocksToReserve(blockCount, blockSize, blocksPerGroup, options.resize);
  const features = chooseFeatures(profile, options, hurd, reservedDescriptorBlocks > 0);
  const inodeRatio = options.inodeRatio ?? Math.max(profile.inodeRatio, blockSize);
  const inodeSize = options.inodeSize ?? profile.inodeSize;
  if (revision > 0 && (inodeSize < 128 || inodeSize > blockSize || (inodeSize & (inodeSize - 1)) !== 0))
    throw invalid(`invalid inode size ${inodeSize} (min 128/max ${blockSize})`);
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
  return {
    profile,
    features,
    revision,
    blockSize,
    blockCount,
    reservedBlockCount: Math.floor(((options.reservedPercent ?? 5) * blockCount) / 100),
    reservedDescriptorBlocks,
    blocksPerGroup,
    // Revision 0 knows one size only.
    inodeSize: revision === 0 ? 128 : inodeSize,
    inodeCount,
    backupSuperblocks: options.backupSuperblocks ?? 2,
    stride: options.stride ?? 0,
    stripeWidth: options.stripeWidth ?? 0,
    creatorOs,
    options,
  };
}

function chooseFeatures(
  profile: ResolvedProfile,
  options: FormatExtOptions,
  hurd: boolean,
  reserves: boolean,
): FeatureSet {
  let features = NO_FEATURES;
  if (options.revision !== 0) for (const list of profile.features) features = editFeatures(features, list);
  if (options.features !== undefined) features = editFeatures(features, options.features);
  // The Hurd keeps its translators where Linux keeps the file type.
  if (hurd) features = { ...features, incompatible: features.incompatible & ~IncompatibleFeature.filetype };
  refuseUnsupportedFeatures(features);
  if (reserves && options.revision === 0)
    throw invalid('On-line resizing not supported with revision 0 filesystems');
  if (reserves) features = editFeatures(features, 'resize_inode');
  const resizable = hasCompatible(features, 'resize_inode');
  if (resizable && !hasReadOnlyCompatible(features, 'sparse_super'))
    throw invalid('reserved online resize blocks not supported on non-sparse filesystem');
  if (resizable && hasIncompatible(features, 'meta_bg')) {
    throw invalid(
      'The resize_inode and meta_bg features are not compatible.\nThey can not be both enabled simultaneously.',
    );
  }
  return features;
}

/** How many more descriptor blocks a volume of `target` blocks has, as far as one indirect block can list them. */
function descriptorBlocksToReserve(
  blockCount: number,
  blockSize: number,
  blocksPerGroup: number,
  target: number,
): number {
  if (target <= blockCount) throw invalid('The resize maximum must be greater than the filesystem size.');
  const perGroup = blocksPerGroup === 0 ? blockSize * 8 : blocksPerGroup;
  const perBlock = descriptorsPerBlock(blockSize);
  const present = Math.ceil(Math.ceil(blockCount / perGroup) / perBlock);
  const wanted = Math.ceil(Math.ceil(target / perGroup) / perBlock);
  return Math.min(wanted - present, blockSize / 4);
}
