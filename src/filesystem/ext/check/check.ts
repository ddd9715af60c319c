import type { BlockDevice } from '../../../device/block-device.ts';
import { type CheckFinding, type CheckObserver, LEAVE } from '../../check.ts';
import { type BadBlocks, reportNeeded, setBadBlocks } from './bad-blocks.ts';
import { checkSummary } from './bitmap-pass.ts';
import { checkConnections, checkLinks } from './connect-pass.ts';
import type { ExtCheck, ExtCheckOptions, ExtCheckResult } from './context.ts';
import { checkDirectories } from './directory-pass.ts';
import { checkInodes } from './inode-pass.ts';
import { checkJournal } from './journal-check.ts';
import { checkOrphanFile, finishOrphans } from './orphan-check.ts';
import { checkQuotaFiles } from './quota-check.ts';
import { checkQuotaNumbers } from './quota-inode.ts';
import { checkResizeInode } from './resize-check.ts';
import { checkShared } from './shared-pass.ts';
import { openCheck } from './superblock-pass.ts';

export type { BadBlocks } from './bad-blocks.ts';
export type { ExtCheckOptions, ExtCheckResult, ExtStatistics } from './context.ts';

/** Of blocks in use twice: each uncovers what lies below one level of the maps. */
const MAX_ROUNDS = 8;

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
  let check = openCheck(device, observer, options);
  checkJournal(check);
  if (finishOrphans(check)) check = openCheck(device, observer, options);
  if (checkQuotaNumbers(check)) {
    const muted = new MutedObserver(observer);
    check = openCheck(device, muted, options);
    muted.isMuted = false;
  }
  if (options.badBlocks !== undefined) check = listBadBlocks(check, options.badBlocks);
  check.progress = options.progress;
  check.begin('1', 'Checking inodes, blocks, and sizes');
  checkInodes(check);
  checkResizeInode(check);
  for (let round = 0; round < MAX_ROUNDS && checkShared(check); round++) {
    // Maps have changed, and below those that were shared there may be more. Pass 1 has told what it has to tell.
    const muted = new MutedObserver(observer);
    const before = check;
    check = openCheck(device, muted, { ...options, isJournalPending: false });
    checkInodes(check);
    check.inheritMoves(before);
    muted.isMuted = false;
    check.progress = options.progress;
  }
  check.end('1');
  check.begin('2', 'Checking directory structure');
  checkDirectories(check);
  check.end('2');
  check.begin('3', 'Checking directory connectivity');
  checkConnections(check);
  check.end('3');
  check.begin('4', 'Checking reference counts');
  checkLinks(check);
  check.end('4');
  check.begin('5', 'Checking group summary information');
  const { usedBlocks, usedInodes } = checkSummary(check);
  check.end('5');
  checkOrphanFile(check);
  checkQuotaFiles(check);
  const { geometry, fragmentedFiles, fragmentedDirectories, statistics } = check;
  return {
    usedInodes,
    inodeCount: geometry.inodeCount,
    fragmentedFiles,
    fragmentedDirectories,
    usedBlocks: usedBlocks + geometry.firstDataBlock,
    blockCount: geometry.blockCount,
    statistics,
    isRearranged: check.isRearranged,
  };
}

/** Does what a mount would do with files that were deleted while in use, on a volume that is taken for clean otherwise. Throws as `checkExt`. */
export function finishLeftOrphans(device: BlockDevice, observer: CheckObserver): void {
  finishOrphans(openCheck(device, observer, {}));
}

/** Which blocks are in use is found by a pass 1 of its own, which tells nothing. */
function listBadBlocks({ device, observer, options }: ExtCheck, wanted: BadBlocks): ExtCheck {
  const muted = new MutedObserver(observer);
  const scout = openCheck(device, muted, options);
  checkInodes(scout);
  const needed = setBadBlocks(scout, wanted);
  const check = openCheck(device, muted, options);
  muted.isMuted = false;
  check.inheritMoves(scout);
  check.isRearranged = true;
  for (const block of needed) reportNeeded(check, block);
  return check;
}

/** Passes nothing on while it is muted, and has nothing mended. */
class MutedObserver implements CheckObserver {
  isMuted = true;
  readonly #observer: CheckObserver;

  constructor(observer: CheckObserver) {
    this.#observer = observer;
  }

  report(finding: CheckFinding): number {
    return this.isMuted ? LEAVE : this.#observer.report(finding);
  }

  tell(text: string): void {
    if (!this.isMuted) this.#observer.tell(text);
  }
}
