import type { BlockDevice } from '../../../device/block-device.ts';
import { StagingDevice } from '../../../device/staging-device.ts';
import { CorruptImageError, isOwnError, UnsupportedError } from '../../../errors.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { testBit } from '../bitmap.ts';
import { sealSuperblock } from '../checksum.ts';
import { readFeatures, readOnlyReason, refuseUnknownFeatures } from '../features.ts';
import {
  CompatibleFeature,
  IncompatibleFeature,
  Superblock,
  SUPERBLOCK_MAGIC,
  SUPERBLOCK_OFFSET,
} from '../superblock.ts';
import { Volume } from '../volume.ts';
import { readFastCommits } from './fast-commit.ts';
import { replayFastCommits } from './fast-commit-replay.ts';
import type { JournalArea } from './journal-area.ts';
import { openJournalArea } from './journal-inode.ts';
import {
  JournalSuperblock,
  journalSuperblockOf,
  type LogFormat,
  readLogFormat,
  sealJournalSuperblock,
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
  /** The journal to write through, its log empty; undefined on a volume without one, or that is not written to. */
  readonly journal: FoundJournal | undefined;
  /** There was something to replay. */
  readonly wasDirty: boolean;
  /** Some of it were fast commits. */
  readonly hadFastCommits: boolean;
}

/** `s_state`: errors were found. */
const ERRORS = 2;

/** Whether what is on the device says that it is an ext volume whose journal has something to replay. */
export function isReplayPending(device: BlockDevice): boolean {
  if (device.size < SUPERBLOCK_OFFSET + Superblock.$size) return false;
  const bytes = new Uint8Array(Superblock.$size);
  device.read(SUPERBLOCK_OFFSET, bytes);
  const superblock = viewOf(bytes);
  const features = Superblock.s_feature_incompat.get(superblock, 0);
  const isExt = Superblock.s_magic.get(superblock, 0) === SUPERBLOCK_MAGIC;
  return isExt && (features & IncompatibleFeature.needs_recovery) !== 0;
}

/**
 * Gives a volume what its journal still has for it: on the device when the volume is going to be written to, else only to the
 * eye; `ignore` leaves it out, and `bypass` writes to the volume without it when its log is empty. CorruptImageError when the superblock is not sound, UnsupportedError for features without which it cannot be read.
 * `isIdle`: nobody holds the volume, whatever its multiple-mount protection says. `external`: where a journal is that is not on the volume.
 */
export function recover(
  device: BlockDevice,
  use: 'read' | 'write' | 'ignore' | 'bypass',
  isIdle = false,
  external?: BlockDevice,
): Recovered {
  const plain = { device, problem: undefined, journal: undefined, wasDirty: false, hadFastCommits: false };
  const volume = Volume.open(device, () => ({ seconds: 0, nanoseconds: 0 }));
  const features = readFeatures(volume.superblock);
  refuseUnknownFeatures(features);
  const wasDirty = (features.incompatible & IncompatibleFeature.needs_recovery) !== 0;
  if ((features.compatible & CompatibleFeature.has_journal) === 0) {
    if (!wasDirty) return plain;
    return { ...plain, problem: 'needs_recovery is set on a volume without a journal. Run e2fsck first' };
  }
  if (use === 'ignore') return { ...plain, problem: 'its journal is not looked at', wasDirty };
  if (use === 'bypass' && !wasDirty) return plain;
  const mayWrite =
    use === 'write' &&
    readOnlyReason(volume.superblock, features) === undefined &&
    (isIdle || volume.multipleMount?.holder() === undefined);
  if (!mayWrite && !wasDirty) return plain;
  const { blockSize } = volume.geometry;
  try {
    const found = findJournal(volume, external);
    const { area, format, blocks, scan } = found;
    // Without the word in the superblock the log does not count, whatever is in it.
    if (!wasDirty) blocks.clear();
    const problem = wasDirty ? scanProblem(scan) : undefined;
    const view = blocks.size === 0 ? device : new LoggedBlocksDevice(device, blockSize, blocks);
    // As the kernel: behind an empty log there are none.
    const mayHaveMore = wasDirty && problem === undefined && scan !== undefined;
    const records = mayHaveMore ? readFastCommits(area, format, scan.nextSequence) : [];
    const hadFastCommits = records.length > 0;
    let staged: StagingDevice | undefined;
    if (hadFastCommits) {
      staged = new StagingDevice(view);
      try {
        replayFastCommits(staged, records);
      } catch (error) {
        if (!isOwnError(error) && !(error instanceof RangeError)) throw error;
        return { ...plain, device: view, problem: fastCommitProblem(error), wasDirty };
      }
    }
    if (!mayWrite || problem !== undefined) {
      const shown =
        staged === undefined
          ? view
          : new LoggedBlocksDevice(staged, blockSize, new LoggedBlocks(staged, blockSize));
      return { ...plain, device: shown, problem, wasDirty, hadFastCommits };
    }
    if (scan !== undefined) JournalSuperblock.s_sequence.set(found.superblock, 0, scan.nextSequence);
    JournalSuperblock.s_start.set(found.superblock, 0, 0);
    if (wasDirty) replay(volume, found, staged === undefined ? [] : stagedChanges(view, staged));
    return { ...plain, journal: found, wasDirty, hadFastCommits };
  } catch (error) {
    if (!(error instanceof CorruptImageError || error instanceof UnsupportedError)) throw error;
    const state = wasDirty ? '. What is shown is the state without what it holds; run e2fsck first' : '';
    return { ...plain, problem: `the journal cannot be used: ${error.message}${state}`, wasDirty };
  }
}

/** Reads the journal's superblock and its log. CorruptImageError, or UnsupportedError with what is missing. */
function findJournal(volume: Volume, external: BlockDevice | undefined): FoundJournal {
  const { blockSize, blockCount } = volume.geometry;
  const area = openJournalArea(volume, external);
  const first = new Uint8Array(blockSize);
  area.read(0, first);
  const superblock = journalSuperblockOf(first);
  const format = readLogFormat(superblock, blockSize, area.length);
  const blocks = new LoggedBlocks(volume.device, blockSize, area.device);
  const block = JournalSuperblock.s_start.get(superblock, 0);
  const sequence = JournalSuperblock.s_sequence.get(superblock, 0);
  const scan = block === 0 ? undefined : scanLog(area, format, { sequence, block }, blocks, blockCount);
  return { area, format, superblock, scan, blocks };
}

/** What stands in the way of replaying a log wholly. */
function scanProblem(scan: LogScan | undefined): string | undefined {
  if (scan?.damage === undefined) return undefined;
  return `${scan.damage}. What is shown is the state without what is damaged; run e2fsck first`;
}

function fastCommitProblem(error: Error): string {
  return `the journal ends with fast commits that cannot be replayed: ${error.message}. What is shown is the state without them; run e2fsck first`;
}

/**
 * Order, with `|` for a flush: blocks in their places | what fast commits change, first what nothing leads to yet | journal superblock: the log is empty | superblock: nothing to recover |.
 * Until the second flush a crash leaves all of it to be done again, to the same end.
 */
function replay(
  volume: Volume,
  { area, superblock, scan, blocks }: FoundJournal,
  changes: readonly StagedWrite[][],
): void {
  const { device } = volume;
  blocks.writeHome();
  device.flush();
  blocks.clear();
  for (const part of changes) {
    for (const { offset, bytes } of part) device.write(offset, bytes);
    device.flush();
  }
  const failed = JournalSuperblock.s_errno.get(superblock, 0) !== 0;
  if (scan !== undefined) {
    // The kernel leaves out the number of what may lie behind as half a transaction.
    JournalSuperblock.s_sequence.set(superblock, 0, (scan.nextSequence + 1) >>> 0);
  }
  JournalSuperblock.s_errno.set(superblock, 0, 0);
  sealJournalSuperblock(superblock);
  const bytes = new Uint8Array(superblock.buffer, superblock.byteOffset, JournalSuperblock.$size);
  area.device.write(area.blockOf(0) * area.blockSize, bytes);
  area.device.flush();

  const fresh = new Uint8Array(Superblock.$size);
  device.read(SUPERBLOCK_OFFSET, fresh);
  const view = viewOf(fresh);
  // Errors are noted past the journal: what it has of them is older.
  const from = Superblock.s_error_count.offset;
  const to = Superblock.s_mount_opts.offset;
  const { buffer, byteOffset } = volume.superblock;
  fresh.set(new Uint8Array(buffer, byteOffset + from, to - from), from);
  if (failed) Superblock.s_state.set(view, 0, Superblock.s_state.get(view, 0) | ERRORS);
  const features = readFeatures(view);
  const cleared = (features.incompatible & ~IncompatibleFeature.needs_recovery) >>> 0;
  Superblock.s_feature_incompat.set(view, 0, cleared);
  sealSuperblock(view, features);
  device.write(SUPERBLOCK_OFFSET, fresh);
  device.flush();
}

interface StagedWrite {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** What is staged over `view`, in blocks: those that are free there, and the others. */
function stagedChanges(view: BlockDevice, staged: StagingDevice): readonly StagedWrite[][] {
  const volume = Volume.open(view, () => ({ seconds: 0, nanoseconds: 0 }));
  const { blockSize, firstDataBlock, blocksPerGroup } = volume.geometry;
  const before: StagedWrite[] = [];
  const after: StagedWrite[] = [];
  for (const { offset, length } of staged.changes()) {
    for (let at = offset; at < offset + length;) {
      const block = Math.floor(at / blockSize);
      const end = Math.min(offset + length, (block + 1) * blockSize);
      const bytes = new Uint8Array(end - at);
      staged.read(at, bytes);
      const group =
        block < firstDataBlock
          ? undefined
          : volume.groups.get(Math.floor((block - firstDataBlock) / blocksPerGroup));
      const isFree =
        group !== undefined && !testBit(volume.groups.blockBitmap(group).bytes, block - group.firstBlock);
      (isFree ? before : after).push({ offset: at, bytes });
      at = end;
    }
  }
  return [before, after];
}
