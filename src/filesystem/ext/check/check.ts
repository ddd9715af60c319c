import type { BlockDevice } from '../../../device/block-device.ts';
import type { CheckObserver } from '../../check.ts';
import { checkSummary } from './bitmap-pass.ts';
import { checkConnections, checkLinks } from './connect-pass.ts';
import type { ExtCheckOptions, ExtCheckResult } from './context.ts';
import { checkDirectories } from './directory-pass.ts';
import { checkInodes } from './inode-pass.ts';
import { checkShared } from './shared-pass.ts';
import { openCheck } from './superblock-pass.ts';

export type { ExtCheckOptions, ExtCheckResult, ExtStatistics } from './context.ts';

/**
 * Checks ext2, ext3 or ext4 in the five passes of e2fsck: inodes and their blocks, what directories hold, whether all are reached, links,
 * bitmaps and counts. What is mended is written to `device`, which is a staging device where nothing is to be written yet; what a mend
 * uncovers is found when the check is made again. Throws CheckEnd when a fatal finding was reported, UnsupportedError for features
 * without which nothing can be said.
 *
 * Memory: a bit for each block and inode in use, 16 bytes for each inode in use, 24 for each block of a directory, and all group descriptors.
 */
export function checkExt(
  device: BlockDevice,
  observer: CheckObserver,
  options: ExtCheckOptions = {},
): ExtCheckResult {
  const check = openCheck(device, observer, options);
  observer.tell('Pass 1: Checking inodes, blocks, and sizes\n');
  checkInodes(check);
  checkShared(check);
  observer.tell('Pass 2: Checking directory structure\n');
  checkDirectories(check);
  observer.tell('Pass 3: Checking directory connectivity\n');
  checkConnections(check);
  observer.tell('Pass 4: Checking reference counts\n');
  checkLinks(check);
  observer.tell('Pass 5: Checking group summary information\n');
  const { usedBlocks, usedInodes } = checkSummary(check);
  const { geometry, fragmentedFiles, fragmentedDirectories, statistics } = check;
  return {
    usedInodes,
    inodeCount: geometry.inodeCount,
    fragmentedFiles,
    fragmentedDirectories,
    usedBlocks: usedBlocks + geometry.firstDataBlock,
    blockCount: geometry.blockCount,
    statistics,
  };
}
