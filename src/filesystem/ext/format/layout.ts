import { FsError } from '../../../errors.ts';
import { CompatibleFeature, IncompatibleFeature, ReadOnlyCompatibleFeature } from '../superblock.ts';
import { type FeatureSet, hasCompatible, hasIncompatible, hasReadOnlyCompatible } from './features.ts';
import { descriptorsPerBlock, type ExtParameters, FIRST_INODE, invalid } from './parameters.ts';

/** How the volume is divided: fixed before the first block is written. Counts are of blocks, inodes or groups. */
export interface ExtLayout {
  readonly parameters: ExtParameters;
  readonly features: FeatureSet;
  readonly blockSize: number;
  /** 1 with blocks of 1 KiB: the boot sector's block is in no group. */
  readonly firstDataBlock: number;
  readonly blockCount: number;
  /** Asked for, but left out because a last group of this size could not hold its own tables. */
  readonly unusedBlockCount: number;
  readonly reservedBlockCount: number;
  readonly blocksPerGroup: number;
  /** Blocks a cluster: 1 without bigalloc. */
  readonly clusterBlocks: number;
  readonly groupCount: number;
  /** Groups whose tables lie together: 1 without flex_bg. */
  readonly flexGroups: number;
  readonly inodesPerGroup: number;
  readonly inodeTableBlocks: number;
  readonly inodeCount: number;
  readonly inodeSize: number;
  /** Bytes. */
  readonly descriptorSize: number;
  readonly descriptorBlocks: number;
  /** Kept free behind the descriptors in every group that has them, for the volume to grow. */
  readonly reservedDescriptorBlocks: number;
  /** Descriptor blocks before this one lie in the old place, the rest in their meta group. */
  readonly firstMetaGroup: number;
  readonly metaGroups: boolean;
  /** With sparse_super2: the groups with a backup, 0 for none. */
  readonly backupGroups: readonly [number, number];
  readonly sparse: boolean;
}

/** A last group must hold its tables and this many blocks more. */
const LAST_GROUP_SPARE_BLOCKS = 50;
const MAX_32_BITS = 0xffff_ffff;
/** Bytes; files above need the feature large_file. */
const LARGEST_SMALL_FILE = 0x7fff_ffff;

/** ENOSPC or EINVAL, with mke2fs' own sentence as `detail`, when the volume cannot be laid out. */
export function computeLayout(parameters: ExtParameters): ExtLayout {
  const layout = divide(parameters);
  if (
    hasIncompatible(layout.features, 'metadata_csum_seed') &&
    !hasReadOnlyCompatible(layout.features, 'metadata_csum')
  )
    throw invalid('The metadata_csum_seed feature requires the metadata_csum feature.');
  return layout;
}

function divide(parameters: ExtParameters): ExtLayout {
  const { blockSize, inodeSize, clusterBlocks, descriptorSize } = parameters;
  const firstDataBlock = blockSize * clusterBlocks === 1024 ? 1 : 0;
  const perBlock = descriptorsPerBlock(blockSize, descriptorSize);
  let { features } = parameters;
  // What does not fill a cluster is left out, though it counts for what is reserved.
  const wholeClusters = parameters.blockCount - (parameters.blockCount % clusterBlocks);
  let blockCount = wholeClusters;
  let reservedBlockCount = parameters.reservedBlockCount;
  // Free counts in a descriptor have 16 bits.
  const maxBlocksPerGroup = Math.min(8 * blockSize, 0xfff8) * clusterBlocks;
  // With clusters, what is asked for are clusters.
  let blocksPerGroup =
    parameters.blocksPerGroup === 0
      ? maxBlocksPerGroup
      : Math.min(parameters.blocksPerGroup * clusterBlocks, maxBlocksPerGroup);
  for (;;) {
    const groupCount = Math.ceil((blockCount - firstDataBlock) / blocksPerGroup);
    if (groupCount <= 0) throw tooSmall();
    const descriptorBlocks = Math.ceil(groupCount / perBlock);
    const wantedInodes = Math.max(
      parameters.inodeCount === 0
        ? Math.floor(blockCount / Math.max(4096 / blockSize, 1))
        : parameters.inodeCount,
      FIRST_INODE + 1,
    );
    let perGroup = Math.ceil(wantedInodes / groupCount);
    if (perGroup > blockSize * 8) {
      // More groups, each a little smaller, hold more inodes.
      if (blocksPerGroup < 256 || hasReadOnlyCompatible(features, 'bigalloc')) throw tooManyInodes();
      blocksPerGroup -= 8;
      blockCount = wholeClusters;
      continue;
    }
    perGroup = Math.min(perGroup, 0x1_0000 - blockSize / inodeSize);
    let inodesPerGroup = fillTable(perGroup, blockSize, inodeSize);
    while (inodesPerGroup * groupCount > MAX_32_BITS)
      inodesPerGroup = fillTable(--perGroup, blockSize, inodeSize);
    const inodeTableBlocks = Math.ceil((inodesPerGroup * inodeSize) / blockSize);

    let reservedDescriptorBlocks = 0;
    if (parameters.reservedDescriptorBlocks > 0) {
      reservedDescriptorBlocks = parameters.reservedDescriptorBlocks;
    } else if (hasCompatible(features, 'resize_inode')) {
      reservedDescriptorBlocks = descriptorBlocksToReserve(
        blockCount,
        firstDataBlock,
        blocksPerGroup,
        blockSize,
        descriptorSize,
        descriptorBlocks,
      );
    }
    if (descriptorBlocks + reservedDescriptorBlocks > Math.floor((blocksPerGroup * 3) / 4)) {
      // Descriptors would fill most of every group that has them: spread them over meta groups.
      features = {
        ...features,
        compatible: features.compatible & ~CompatibleFeature.resize_inode,
        incompatible: features.incompatible | IncompatibleFeature.meta_bg,
      };
      // Those asked for stay in the superblock, where nothing uses them.
      reservedDescriptorBlocks = parameters.reservedDescriptorBlocks;
    }

    if (hasCompatible(features, 'resize_inode') && resizeInodeSize(blockSize) > LARGEST_SMALL_FILE) {
      features = {
        ...features,
        readOnlyCompatible: features.readOnlyCompatible | ReadOnlyCompatibleFeature.large_file,
      };
    }
    const sparse = hasReadOnlyCompatible(features, 'sparse_super');
    const metaGroups = hasIncompatible(features, 'meta_bg');
    const backupGroups = chooseBackupGroups(parameters, features, groupCount);
    const layout: ExtLayout = {
      parameters,
      features,
      blockSize,
      firstDataBlock,
      blockCount,
      unusedBlockCount: parameters.blockCount - blockCount,
      reservedBlockCount,
      blocksPerGroup,
      clusterBlocks,
      groupCount,
      flexGroups: parameters.flexGroups,
      inodesPerGroup,
      inodeTableBlocks,
      inodeCount: inodesPerGroup * groupCount,
      inodeSize,
      descriptorSize,
      descriptorBlocks,
      reservedDescriptorBlocks,
      firstMetaGroup: 0,
      metaGroups,
      backupGroups,
      sparse,
    };
    const tables = 2 + inodeTableBlocks;
    const fullest = 1 + tables + reservedDescriptorBlocks + (metaGroups ? 1 : descriptorBlocks);
    if (fullest > blocksPerGroup) throw tooManyInodes();
    const lastHasBackup = hasSuperblock(layout, groupCount - 1);
    const overhead = tables + (lastHasBackup ? 1 + descriptorBlocks + reservedDescriptorBlocks : 0);
    const rest = (blockCount - firstDataBlock) % blocksPerGroup;
    if (groupCount === 1 && rest !== 0 && rest < overhead) throw tooSmall();
    if (rest !== 0 && rest < overhead + LAST_GROUP_SPARE_BLOCKS) {
      blockCount -= rest;
      // Stays so when the blocks come back because the groups become smaller: mke2fs forgets it, too.
      reservedBlockCount = Math.floor((parameters.reservedBlockCount * blockCount) / parameters.blockCount);
      continue;
    }
    return layout;
  }
}

/** Does the group hold a copy of the superblock (and, without meta groups, of the descriptors)? */
export function hasSuperblock(layout: ExtLayout, group: number): boolean {
  if (group === 0) return true;
  if (hasCompatible(layout.features, 'sparse_super2')) return layout.backupGroups.includes(group);
  if (group === 1 || !layout.sparse) return true;
  if ((group & 1) === 0) return false;
  return isPowerOf(group, 3) || isPowerOf(group, 5) || isPowerOf(group, 7);
}

/** The groups other than the first that hold a copy of the superblock, ascending. */
export function* backupGroupsOf(layout: ExtLayout): Iterable<number> {
  if (layout.sparse || hasCompatible(layout.features, 'sparse_super2')) {
    const groups = new Set<number>([1, ...layout.backupGroups]);
    for (const base of [3, 5, 7]) for (let g = base; g < layout.groupCount; g *= base) groups.add(g);
    const sorted = [...groups].filter((g) => g > 0 && g < layout.groupCount).sort((a, b) => a - b);
    for (const group of sorted) if (hasSuperblock(layout, group)) yield group;
    return;
  }
  for (let group = 1; group < layout.groupCount; group++) yield group;
}

export function groupFirstBlock(layout: ExtLayout, group: number): number {
  return layout.firstDataBlock + group * layout.blocksPerGroup;
}

export function groupOfBlock(layout: ExtLayout, block: number): number {
  return Math.floor((block - layout.firstDataBlock) / layout.blocksPerGroup);
}

/** The block behind the last one of the group. */
export function groupEnd(layout: ExtLayout, group: number): number {
  return Math.min(groupFirstBlock(layout, group + 1), layout.blockCount);
}

/** Blocks in the group: fewer in the last. */
export function groupBlockCount(layout: ExtLayout, group: number): number {
  return Math.min(layout.blocksPerGroup, layout.blockCount - groupFirstBlock(layout, group));
}

/** Descriptor blocks of the old kind, with those reserved for growth, behind each copy of the superblock. */
export function oldDescriptorBlocks(layout: ExtLayout): number {
  return layout.metaGroups
    ? layout.firstMetaGroup
    : layout.descriptorBlocks + layout.reservedDescriptorBlocks;
}

/** The index of the descriptor block that this group keeps for its meta group; undefined when it keeps none. */
export function metaDescriptorBlock(layout: ExtLayout, group: number): number | undefined {
  if (!layout.metaGroups) return undefined;
  const perBlock = descriptorsPerBlock(layout.blockSize, layout.descriptorSize);
  const within = group % perBlock;
  if (within !== 0 && within !== 1 && within !== perBlock - 1) return undefined;
  const index = Math.floor(group / perBlock);
  return index < layout.firstMetaGroup ? undefined : index;
}

/** Bytes that a file with one double-indirect block can have. */
export function resizeInodeSize(blockSize: number): number {
  const pointers = blockSize / 4;
  return (pointers * pointers + pointers + 12) * blockSize;
}

/** Blocks at the start of the group for superblock and descriptors. */
export function superAndDescriptorBlocks(layout: ExtLayout, group: number): number {
  const copy = hasSuperblock(layout, group)
    ? superblockShift(layout, group) + 1 + oldDescriptorBlocks(layout)
    : 0;
  return metaDescriptorBlock(layout, group) === undefined ? copy : copy + 1;
}

/** What the reference takes for free before it has placed tables: with flexible groups they are not taken off. */
export function initialFreeBlocks(layout: ExtLayout): number {
  const tables = layout.flexGroups > 1 ? 0 : 2 + layout.inodeTableBlocks;
  let free = 0;
  for (let group = 0; group < layout.groupCount; group++)
    free += groupBlockCount(layout, group) - superAndDescriptorBlocks(layout, group) - tables;
  return free;
}

/** With clusters and blocks of 1 KiB, the boot sector's block belongs to the first group, in front of the superblock. */
export function superblockShift(layout: ExtLayout, group: number): number {
  return group === 0 && layout.blockSize === 1024 && layout.firstDataBlock === 0 ? 1 : 0;
}

/** Whole blocks of inodes, and a multiple of 8 so that the bitmap has whole bytes. */
function fillTable(inodes: number, blockSize: number, inodeSize: number): number {
  const blocks = Math.ceil((inodes * inodeSize) / blockSize);
  const filled = Math.max((blocks * blockSize) / inodeSize, 8);
  return filled - (filled % 8);
}

/** Enough for the volume to grow a thousandfold, but never past 2^32 blocks or one indirect block of them. */
function descriptorBlocksToReserve(
  blockCount: number,
  firstDataBlock: number,
  blocksPerGroup: number,
  blockSize: number,
  descriptorSize: number,
  descriptorBlocks: number,
): number {
  const most = blockCount < Math.floor(MAX_32_BITS / 1024) ? blockCount * 1024 : MAX_32_BITS;
  const groups = Math.ceil((most - firstDataBlock) / blocksPerGroup);
  const blocks = Math.ceil(groups / descriptorsPerBlock(blockSize, descriptorSize)) - descriptorBlocks;
  return Math.min(blocks, blockSize / 4);
}

function chooseBackupGroups(
  parameters: ExtParameters,
  features: FeatureSet,
  groupCount: number,
): readonly [number, number] {
  if (!hasCompatible(features, 'sparse_super2') || groupCount === 1) return [0, 0];
  if (parameters.backupSuperblocks === 0) return [0, 0];
  // A single backup stands in the second place.
  return parameters.backupSuperblocks === 1 || groupCount === 2 ? [0, 1] : [1, groupCount - 1];
}

function isPowerOf(value: number, base: number): boolean {
  let power = base;
  while (power < value) power *= base;
  return power === value;
}

function tooSmall(): FsError {
  return new FsError('ENOSPC', { detail: 'Not enough space to build proposed filesystem' });
}

function tooManyInodes(): FsError {
  return new FsError('EINVAL', { detail: 'Cannot create filesystem with requested number of inodes' });
}
