import { type Finding, refuseOn } from '../../errors.ts';
import {
  IncompatibleFeature,
  ReadOnlyCompatibleFeature,
  SUPERBLOCK_MAGIC,
  SUPERBLOCK_OFFSET,
  CompatibleFeature,
  Superblock,
} from './superblock.ts';

/** What follows from a superblock that has passed `checkSuperblock`. Counts of blocks are in file-system blocks. */
export interface Geometry {
  /** Bytes. */
  readonly blockSize: number;
  readonly blockCount: number;
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly groupCount: number;
  readonly inodeCount: number;
  readonly inodesPerGroup: number;
  /** Bytes. */
  readonly inodeSize: number;
  /** First inode that is not reserved. */
  readonly firstInode: number;
  /** Blocks of one group's inode table. */
  readonly inodeTableBlocks: number;
  /** Bytes. */
  readonly descriptorSize: number;
  readonly descriptorsPerBlock: number;
  /** Index of the first descriptor block that lies in its own meta block group; infinite without `meta_bg`. */
  readonly firstMetaDescriptorBlock: number;
  /** `i_blocks` units a block. */
  readonly sectorsPerBlock: number;
  /** Blocks a cluster: 1 without `bigalloc`. */
  readonly blocksPerCluster: number;
  readonly has64bit: boolean;
}

const MAX_LOG_BLOCK_SIZE = 6;

/**
 * Is this superblock sound enough for arithmetic? Every rule that a later division, shift or allocation relies on is
 * here, and nothing else computes with a field before this has passed.
 */
export function checkSuperblock(view: DataView, deviceSize: number): Finding[] {
  const findings: Finding[] = [];
  function refuse(field: keyof typeof Superblock.$fields, found: string, expected: string): void {
    findings.push({
      severity: 'refuse',
      structure: Superblock.$name,
      field,
      offset: SUPERBLOCK_OFFSET + Superblock[field].offset,
      found,
      expected,
    });
  }

  const magic = Superblock.s_magic.get(view, 0);
  if (magic !== SUPERBLOCK_MAGIC) {
    refuse('s_magic', hex(magic, 4), hex(SUPERBLOCK_MAGIC, 4));
    return findings;
  }
  const logBlockSize = Superblock.s_log_block_size.get(view, 0);
  if (logBlockSize > MAX_LOG_BLOCK_SIZE) {
    refuse('s_log_block_size', `${logBlockSize}`, `at most ${MAX_LOG_BLOCK_SIZE} (64 KiB)`);
    return findings;
  }
  const blockSize = 1024 << logBlockSize;
  const readOnlyCompatible = Superblock.s_feature_ro_compat.get(view, 0);
  const dynamic = Superblock.s_rev_level.get(view, 0) > 0;
  const bigalloc = dynamic && (readOnlyCompatible & ReadOnlyCompatibleFeature.bigalloc) !== 0;
  const has64bit =
    dynamic && (Superblock.s_feature_incompat.get(view, 0) & IncompatibleFeature['64bit']) !== 0;

  const firstDataBlock = Superblock.s_first_data_block.get(view, 0);
  const expectedFirst = blockSize === 1024 && !bigalloc ? 1 : 0;
  if (firstDataBlock !== expectedFirst) refuse('s_first_data_block', `${firstDataBlock}`, `${expectedFirst}`);

  const logClusterSize = Superblock.s_log_cluster_size.get(view, 0);
  if (bigalloc && (logClusterSize < logBlockSize || logClusterSize > logBlockSize + 20)) {
    refuse('s_log_cluster_size', `${logClusterSize}`, `${logBlockSize} to ${logBlockSize + 20}`);
    return findings;
  }
  const clusterRatio = bigalloc ? 2 ** (logClusterSize - logBlockSize) : 1;

  const blockCount =
    Superblock.s_blocks_count_lo.get(view, 0) +
    (has64bit ? Superblock.s_blocks_count_hi.get(view, 0) * 0x1_0000_0000 : 0);
  const deviceBlocks = Math.floor(deviceSize / blockSize);
  if (blockCount <= firstDataBlock || blockCount > deviceBlocks) {
    refuse(
      's_blocks_count_lo',
      `${blockCount} blocks of ${blockSize} bytes`,
      `${firstDataBlock + 1} to ${deviceBlocks}, the blocks of the device`,
    );
  }
  const blocksPerGroup = Superblock.s_blocks_per_group.get(view, 0);
  const maxPerGroup = 8 * blockSize * clusterRatio;
  if (blocksPerGroup === 0 || blocksPerGroup > maxPerGroup || blocksPerGroup % 8 !== 0) {
    refuse('s_blocks_per_group', `${blocksPerGroup}`, `a multiple of 8 from 8 to ${maxPerGroup}`);
  }

  const inodeSize = dynamic ? Superblock.s_inode_size.get(view, 0) : 128;
  if (inodeSize < 128 || inodeSize > blockSize || (inodeSize & (inodeSize - 1)) !== 0) {
    refuse('s_inode_size', `${inodeSize}`, `a power of two from 128 to ${blockSize}`);
    return findings;
  }
  const inodesPerGroup = Superblock.s_inodes_per_group.get(view, 0);
  if (inodesPerGroup === 0 || inodesPerGroup > 8 * blockSize) {
    refuse('s_inodes_per_group', `${inodesPerGroup}`, `1 to ${8 * blockSize}`);
  }
  if (findings.length > 0) return findings;

  const groupCount = Math.ceil((blockCount - firstDataBlock) / blocksPerGroup);
  const inodeCount = Superblock.s_inodes_count.get(view, 0);
  if (inodeCount !== groupCount * inodesPerGroup) {
    refuse('s_inodes_count', `${inodeCount}`, `${groupCount} groups of ${inodesPerGroup} inodes`);
  }
  const firstInode = dynamic ? Superblock.s_first_ino.get(view, 0) : 11;
  if (firstInode < 11 || firstInode > inodeCount) {
    refuse('s_first_ino', `${firstInode}`, `11 to ${inodeCount}`);
  }
  const descriptorSize = has64bit ? Superblock.s_desc_size.get(view, 0) : 32;
  if (
    has64bit &&
    (descriptorSize < 64 || descriptorSize > blockSize || (descriptorSize & (descriptorSize - 1)) !== 0)
  ) {
    refuse('s_desc_size', `${descriptorSize}`, `a power of two from 64 to ${blockSize}`);
    return findings;
  }
  const metaGroups =
    dynamic && (Superblock.s_feature_incompat.get(view, 0) & IncompatibleFeature.meta_bg) !== 0;
  const descriptorBlocks = Math.ceil((groupCount * descriptorSize) / blockSize);
  if (!metaGroups && firstDataBlock + 1 + descriptorBlocks > blockCount) {
    refuse(
      's_blocks_count_lo',
      `${blockCount}`,
      `more than the ${descriptorBlocks} blocks of group descriptors`,
    );
  }
  const reserved = Superblock.s_reserved_gdt_blocks.get(view, 0);
  if (dynamic && reserved > blockSize / 4) {
    refuse('s_reserved_gdt_blocks', `${reserved}`, `at most ${blockSize / 4}`);
  }
  const freeBlocks = Superblock.s_free_blocks_count_lo.get(view, 0);
  if (!has64bit && freeBlocks > blockCount) {
    findings.push({
      severity: 'note',
      structure: Superblock.$name,
      field: 's_free_blocks_count_lo',
      offset: SUPERBLOCK_OFFSET + Superblock.s_free_blocks_count_lo.offset,
      found: `${freeBlocks}`,
      expected: `at most ${blockCount}`,
    });
  }
  return findings;
}

/** Throws CorruptImageError when the superblock is not sound. */
export function readGeometry(view: DataView, deviceSize: number): Geometry {
  refuseOn(checkSuperblock(view, deviceSize));
  const blockSize = 1024 << Superblock.s_log_block_size.get(view, 0);
  const dynamic = Superblock.s_rev_level.get(view, 0) > 0;
  const incompatible = dynamic ? Superblock.s_feature_incompat.get(view, 0) : 0;
  const readOnlyCompatible = dynamic ? Superblock.s_feature_ro_compat.get(view, 0) : 0;
  const has64bit = (incompatible & IncompatibleFeature['64bit']) !== 0;
  const blockCount =
    Superblock.s_blocks_count_lo.get(view, 0) +
    (has64bit ? Superblock.s_blocks_count_hi.get(view, 0) * 0x1_0000_0000 : 0);
  const firstDataBlock = Superblock.s_first_data_block.get(view, 0);
  const blocksPerGroup = Superblock.s_blocks_per_group.get(view, 0);
  const inodesPerGroup = Superblock.s_inodes_per_group.get(view, 0);
  const inodeSize = dynamic ? Superblock.s_inode_size.get(view, 0) : 128;
  const descriptorSize = has64bit ? Superblock.s_desc_size.get(view, 0) : 32;
  return {
    blockSize,
    blockCount,
    firstDataBlock,
    blocksPerGroup,
    groupCount: Math.ceil((blockCount - firstDataBlock) / blocksPerGroup),
    inodeCount: Superblock.s_inodes_count.get(view, 0),
    inodesPerGroup,
    inodeSize,
    firstInode: dynamic ? Superblock.s_first_ino.get(view, 0) : 11,
    inodeTableBlocks: Math.ceil((inodesPerGroup * inodeSize) / blockSize),
    descriptorSize,
    descriptorsPerBlock: blockSize / descriptorSize,
    firstMetaDescriptorBlock:
      (incompatible & IncompatibleFeature.meta_bg) !== 0
        ? Superblock.s_first_meta_bg.get(view, 0)
        : Number.POSITIVE_INFINITY,
    sectorsPerBlock: blockSize / 512,
    blocksPerCluster:
      (readOnlyCompatible & ReadOnlyCompatibleFeature.bigalloc) !== 0
        ? 2 ** (Superblock.s_log_cluster_size.get(view, 0) - Superblock.s_log_block_size.get(view, 0))
        : 1,
    has64bit,
  };
}

/** Does this group begin with a copy of the superblock? */
export function hasSuperblockCopy(view: DataView, group: number): boolean {
  if (group === 0) return true;
  if ((Superblock.s_feature_compat.get(view, 0) & CompatibleFeature.sparse_super2) !== 0) {
    const base = Superblock.s_backup_bgs.offset;
    return view.getUint32(base, true) === group || view.getUint32(base + 4, true) === group;
  }
  if ((Superblock.s_feature_ro_compat.get(view, 0) & ReadOnlyCompatibleFeature.sparse_super) === 0)
    return true;
  return group === 1 || isPower(group, 3) || isPower(group, 5) || isPower(group, 7);
}

function isPower(value: number, base: number): boolean {
  let rest = value;
  while (rest > 1 && rest % base === 0) rest /= base;
  return rest === 1;
}

/** `0x0041`, at least `digits` wide. */
export function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
