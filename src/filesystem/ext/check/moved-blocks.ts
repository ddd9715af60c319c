import { Superblock } from '../superblock.ts';
import { hasCode } from '../../../errors.ts';
import type { ExtCheck } from './context.ts';
import { writeSuperblock } from './superblock-pass.ts';

/**
 * Gives a block, with its cluster, to a file where nothing was wrong. The counts follow at once; the bitmaps are written by pass 5, which does not tell of such blocks.
 */
export function takeBlock(check: ExtCheck, block: number): void {
  move(check, block, -1);
}

/** The other way round. */
export function releaseBlock(check: ExtCheck, block: number): void {
  move(check, block, 1);
}

function move(check: ExtCheck, block: number, change: number): void {
  const { geometry, groups, foundBlocks, movedBlocks, superblock } = check;
  const index = check.bitOf(block);
  if (foundBlocks.get(index) === change < 0) return;
  if (change < 0) foundBlocks.set(index);
  else foundBlocks.clear(index);
  if (!movedBlocks.set(index)) check.movedCount++;
  const group = Math.floor((block - geometry.firstDataBlock) / geometry.blocksPerGroup);
  groups.setFreeBlocks(group, groups.freeBlocks(group) + change);
  groups.save(group);
  const high = geometry.has64bit ? Superblock.s_free_blocks_count_hi.get(superblock, 0) : 0;
  const free =
    Superblock.s_free_blocks_count_lo.get(superblock, 0) +
    high * 0x1_0000_0000 +
    change * geometry.blocksPerCluster;
  Superblock.s_free_blocks_count_lo.set(superblock, 0, free % 0x1_0000_0000);
  if (geometry.has64bit)
    Superblock.s_free_blocks_count_hi.set(superblock, 0, Math.floor(free / 0x1_0000_0000));
  writeSuperblock(check);
}

/** So many blocks in a row, as the repairs so far leave them. */
export function copyBlocks(check: ExtCheck, from: number, to: number, length: number): void {
  const bytes = new Uint8Array(check.geometry.blockSize);
  for (let index = 0; index < length; index++) {
    try {
      check.readBlock(from + index, bytes);
    } catch (error) {
      // A bad block: what was in it is lost, the rest of the file is not.
      if (!hasCode(error, 'EIO')) throw error;
      bytes.fill(0);
    }
    check.writeBlock(to + index, bytes);
  }
}
