import type { Usage } from '../file-system.ts';
import { Superblock } from './superblock.ts';
import type { Volume } from './volume.ts';

/** What statfs(2) says of the volume: all blocks but those that the format itself takes. */
export function measureUsage(volume: Volume): Usage {
  const { geometry, superblock, groups } = volume;
  const reservedDescriptors = Superblock.s_reserved_gdt_blocks.get(superblock, 0);
  let overhead = geometry.firstDataBlock;
  for (let group = 0; group < geometry.groupCount; group++) {
    overhead += groups.baseMetadataBlocks(group, reservedDescriptors) + 2 + geometry.inodeTableBlocks;
  }
  const free = (volume.freeBlocks + volume.held.count) * geometry.blocksPerCluster;
  const freeBlocks = Math.min(free, geometry.blockCount);
  const reserved = Superblock.s_r_blocks_count_lo.get(superblock, 0);
  return {
    blockSize: geometry.blockSize,
    totalBlocks: Math.max(0, geometry.blockCount - overhead),
    freeBlocks,
    availableBlocks: Math.max(0, freeBlocks - reserved),
    totalNodes: geometry.inodeCount,
    freeNodes: Math.min(volume.freeInodes + volume.heldInodes.count, geometry.inodeCount),
  };
}
