import type { BlockDevice } from '../../../device/block-device.ts';
import { isOwnError } from '../../../errors.ts';
import { readFeatures, refuseUnknownFeatures } from '../features.ts';
import { CompatibleFeature, IncompatibleFeature } from '../superblock.ts';
import { Volume } from '../volume.ts';
import { hasFastCommit } from './fast-commit.ts';
import type { JournalArea } from './journal-area.ts';
import { openJournalArea } from './journal-inode.ts';
import {
  JournalSuperblock,
  journalSuperblockOf,
  type LogFormat,
  readLogFormat,
} from './journal-superblock.ts';
import { LoggedBlocks, LoggedBlocksDevice } from './logged-blocks.ts';
import { type LogScan, scanLog } from './log-scan.ts';

/** A journal as it was found: what it holds, and whether anything is wrong with it. */
export interface FoundJournal {
  readonly area: JournalArea;
  readonly format: LogFormat;
  /** The journal's superblock, 1024 bytes. */
  readonly superblock: DataView;
  /** What is to be replayed; undefined when the log is empty. */
  readonly scan: LogScan | undefined;
  readonly blocks: LoggedBlocks;
}

/** What a volume is opened on. */
export interface Recovered {
  /** The device, or what it would be after replaying. */
  readonly device: BlockDevice;
  /** Why the volume must not be written to; undefined when its journal is in order, or it has none. */
  readonly problem: string | undefined;
}

/** Looks for what the journal of a volume has still to give; writes nothing. CorruptImageError when the superblock is not sound, UnsupportedError for features without which it cannot be read. */
export function recoverForReading(device: BlockDevice): Recovered {
  const volume = Volume.open(device, () => ({ seconds: 0, nanoseconds: 0 }));
  const features = readFeatures(volume.superblock);
  refuseUnknownFeatures(features);
  const needsRecovery = (features.incompatible & IncompatibleFeature.needs_recovery) !== 0;
  if (!needsRecovery) return { device, problem: undefined };
  if ((features.compatible & CompatibleFeature.has_journal) === 0) {
    return { device, problem: 'needs_recovery is set on a volume without a journal. Run e2fsck first' };
  }
  const { blockSize } = volume.geometry;
  try {
    const { area, format, blocks, scan } = findJournal(volume, true);
    const view = blocks.size === 0 ? device : new LoggedBlocksDevice(device, blockSize, blocks);
    return { device: view, problem: scan === undefined ? undefined : scanProblem(area, format, scan) };
  } catch (error) {
    if (!isOwnError(error)) throw error;
    const problem = `the journal cannot be replayed: ${error.message}. What is shown is the state without it; run e2fsck first`;
    return { device, problem };
  }
}

/** Reads the journal's superblock and, when asked to, its log. CorruptImageError, or UnsupportedError with what is missing. */
export function findJournal(volume: Volume, withLog: boolean): FoundJournal {
  const { blockSize, blockCount } = volume.geometry;
  const area = openJournalArea(volume);
  const first = new Uint8Array(blockSize);
  area.read(0, first);
  const superblock = journalSuperblockOf(first);
  const format = readLogFormat(superblock, blockSize, area.length);
  const blocks = new LoggedBlocks(volume.device, blockSize);
  const block = JournalSuperblock.s_start.get(superblock, 0);
  const sequence = JournalSuperblock.s_sequence.get(superblock, 0);
  const scan =
    withLog && block !== 0 ? scanLog(area, format, { sequence, block }, blocks, blockCount) : undefined;
  return { area, format, superblock, scan, blocks };
}

/** What stands in the way of replaying a log wholly. */
export function scanProblem(area: JournalArea, format: LogFormat, scan: LogScan): string | undefined {
  if (scan.damage !== undefined) {
    return `${scan.damage}. What is shown is the state without what is damaged; run e2fsck first`;
  }
  if (!hasFastCommit(area, format, scan.nextSequence)) return undefined;
  return 'the journal ends with fast commits (fast_commit), which are not replayed here. What is shown is the state without them; run e2fsck first';
}
