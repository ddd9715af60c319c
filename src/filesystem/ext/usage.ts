import { isOwnError } from '../../errors.ts';
import type { Usage } from '../file-system.ts';
import type { ExtCore } from './ext-core.ts';
import { CompatibleFeature, IncompatibleFeature, Superblock } from './superblock.ts';

/** Clusters that Linux keeps back on volumes with extents, so that these can always be split: one in RESERVE_PART, at most RESERVE_MOST. */
const RESERVE_PART = 50;
const RESERVE_MOST = 4096;

/** What statfs(2) says of the volume: all blocks but those that the format itself and the journal take. As Linux tells it, what that keeps back is left out of what users may have. */
export function measureUsage(core: ExtCore): Usage {
  const { volume } = core;
  const { geometry, superblock } = volume;
  const freeBlocks = Math.min(volume.freeBlocks + volume.held.count, geometry.blockCount);
  const reserved = Superblock.s_r_blocks_count_lo.get(superblock, 0) + keptBack(core);
  return {
    blockSize: geometry.blockSize,
    totalBlocks: Math.max(0, geometry.blockCount - overheadOf(core)),
    freeBlocks,
    availableBlocks: Math.max(0, freeBlocks - reserved),
    totalNodes: geometry.inodeCount,
    freeNodes: Math.min(volume.freeInodes + volume.heldInodes.count, geometry.inodeCount),
  };
}

/** Blocks that hold no content of files. */
function overheadOf(core: ExtCore): number {
  const { geometry, superblock, groups } = core.volume;
  const { blocksPerCluster } = geometry;
  // Blocks of several kinds may share a cluster: whoever made the volume has counted these.
  const clusters = blocksPerCluster > 1 ? Superblock.s_overhead_blocks.get(superblock, 0) : 0;
  if (clusters > 0) return clusters * blocksPerCluster;
  const reservedDescriptors = Superblock.s_reserved_gdt_blocks.get(superblock, 0);
  let overhead = geometry.firstDataBlock + journalBlocks(core);
  for (let group = 0; group < geometry.groupCount; group++) {
    overhead += groups.baseMetadataBlocks(group, reservedDescriptors) + 2 + geometry.inodeTableBlocks;
  }
  return overhead;
}

/** Of a journal in an inode of the volume; 0 where that cannot be read. */
function journalBlocks({ volume, inodes }: ExtCore): number {
  const number = Superblock.s_journal_inum.get(volume.superblock, 0);
  const hasJournal = (volume.features.compatible & CompatibleFeature.has_journal) !== 0;
  if (!hasJournal || number === 0 || number > volume.geometry.inodeCount) return 0;
  try {
    return Math.floor(inodes.size(inodes.load(number)) / volume.geometry.blockSize);
  } catch (error) {
    if (!isOwnError(error)) throw error;
    return 0;
  }
}

function keptBack({ volume }: ExtCore): number {
  if ((volume.features.incompatible & IncompatibleFeature.extent) === 0) return 0;
  const { blockCount, blocksPerCluster } = volume.geometry;
  const clusters = Math.floor(blockCount / blocksPerCluster);
  return Math.min(Math.floor(clusters / RESERVE_PART), RESERVE_MOST) * blocksPerCluster;
}
