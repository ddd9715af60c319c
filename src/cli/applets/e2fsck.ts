import type { BlockDevice } from '../../device/block-device.ts';
import { StagingDevice } from '../../device/staging-device.ts';
import { TalliedDevice } from '../../device/tallied-device.ts';
import { isOwnError, UsageError } from '../../errors.ts';
import { CheckEnd } from '../../filesystem/check.ts';
import { checkExt, type ExtCheckResult, finishLeftOrphans } from '../../filesystem/ext/check/check.ts';
import { SKIPPED_JOURNAL } from '../../filesystem/ext/check/superblock-pass.ts';
import { sealSuperblock } from '../../filesystem/ext/checksum.ts';
import { readFeatures } from '../../filesystem/ext/features.ts';
import { isReplayPending, recover } from '../../filesystem/ext/journal/recovery.ts';
import { IncompatibleFeature, Superblock, SUPERBLOCK_OFFSET } from '../../filesystem/ext/superblock.ts';
import { clockFromEnvironment } from '../../host/system.ts';
import { defineApplet } from '../applet.ts';
import { applyStaged, checkUndoFile } from '../check/apply.ts';
import type { Io } from '../io.ts';
import { openVolume } from '../open-volume.ts';
import { print } from '../verbs/print.ts';
import { reasonOf } from '../verbs/failure.ts';
import { BadListError, badBlocksFor } from './e2fsck/bad-blocks.ts';
import { refuseHeld } from './e2fsck/multiple-mount.ts';
import {
  type CommandLine,
  IncompatibleError,
  PlainUsageError,
  OPTIONS,
  parseCommandLine,
} from './e2fsck/command-line.ts';
import { isProgressDescriptor, tellerFor } from './e2fsck/progress.ts';
import { statisticsOf, summaryOf } from './e2fsck/report.ts';
import { Talker } from './e2fsck/talker.ts';
import { Times } from './e2fsck/times.ts';
import {
  cleanLine,
  featuresOf,
  hasMagic,
  hasOrphans,
  isClean,
  nameOf,
  superblockOf,
} from './e2fsck/volume-state.ts';
import { calendarTime } from './tune2fs/calendar.ts';

const VERSION = 'e2fsck 1.47.0 (5-Feb-2023)\n';
/** fsck(8): the sum of these. */
const Status = { mended: 1, left: 4, failed: 8, usage: 16, cancelled: 32 } as const;
const MAX_ROUNDS = 16;

export const e2fsck = defineApplet({
  name: 'e2fsck',
  aliases: ['fsck.ext2', 'fsck.ext3', 'fsck.ext4'],
  kind: 'applet',
  summary: 'check and repair an ext2, ext3 or ext4 file system',
  usage: ['e2fsck [OPTION]... DEVICE'],
  description: [
    'Checks a file system in the five passes of e2fsck of e2fsprogs 1.47 and tells what it finds in its words. Repairs are gathered while everything is checked, and written at the end; -z keeps what they overwrite, which e2undo(8) and userloop check --restore put back.',
    'A journal is replayed before a repair; with -n it is left alone, and the check is about the state without it. userloop check tells the same for people, with numbers.',
  ],
  options: OPTIONS,
  examples: [
    { command: 'e2fsck -fn disk.img', explanation: 'Tells what is wrong.' },
    { command: 'e2fsck -fy -z before.undo disk.img', explanation: 'Repairs it, and keeps what was there.' },
  ],
  exitStatus: {
    0: 'nothing is wrong',
    1: 'what was wrong is repaired',
    4: 'something is wrong and was left so',
    8: 'the check could not be done',
    16: 'wrong usage',
  },
  notSupported: [
    '-cc: the search for bad blocks by writing them',
    '-C with a negative number: progress that begins with a signal',
    '-E ea_ver, fragcheck, discard, optimize_extents, bmap2extent, unshare_blocks, fixes_only and check_encoding',
    '-d: debugging output',
    '-j together with -z; the state of a journal on another device where there is nothing to replay',
    '-l, -L and -c on file systems with bigalloc',
    'misplaced bitmaps and tables, a new journal where neither its inode nor the copy in the superblock can be used: the volume goes without',
    'copies of more than 64 MiB of multiply-claimed blocks in one run: what is beyond is asked to be deleted',
  ],
  run,
});

function run(io: Io, argv: readonly string[], calledAs: string): number {
  let command: CommandLine;
  try {
    command = parseCommandLine(argv);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    if (error instanceof IncompatibleError) {
      io.stderr.write(`${calledAs}: ${error.message}\n`);
      return error.exitStatus;
    }
    if (error instanceof PlainUsageError) {
      io.stderr.write(error.message);
      return error.exitStatus;
    }
    const message = error.message === '' ? '' : `${calledAs}: ${error.message}\n`;
    io.stderr.write(
      `${message}Usage: ${calledAs} [-panyrcfktvDFV] [-b superblock] [-B blocksize] [-l|-L bad_blocks_file] [-C fd] [-j external_journal] [-E extended-options] [-z undo_file] device\n`,
    );
    return Status.usage;
  }
  const { progress } = command;
  if (progress !== undefined && progress > 0 && !isProgressDescriptor(progress)) {
    io.stderr.write(
      `Error validating file descriptor ${progress}: Bad file descriptor\n${calledAs}: Invalid completion information file descriptor\n`,
    );
    return Status.failed;
  }
  if (command.manner !== 'preen' || command.version) io.stderr.write(VERSION);
  if (command.version) return 0;
  if (command.manner === 'ask' && !io.stdin.isTerminal) {
    io.stderr.write(`${calledAs}: need terminal for interactive repairs\n`);
    return Status.failed;
  }
  let device: BlockDevice;
  try {
    checkUndoFile(io, command.undoFile);
    device = openVolume(io, command.target, { readOnly: command.manner === 'no' });
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    io.stderr.write(`${calledAs}: ${reasonOf(error)} while trying to open ${command.target}\n`);
    return Status.failed;
  }
  try {
    const name = (nameOf(device) ?? command.target).replaceAll(/[\s:]/g, '_');
    const refusal = refuseHeld(io, device, {
      calledAs,
      target: command.target,
      name,
      isReadOnly: command.manner === 'no',
    });
    if (refusal === 'active') {
      io.stdout.write(NO_SUPERBLOCK);
      return Status.failed;
    }
    if (refusal === 'in use') {
      io.stdout.write(`\n${stillWrong(name)}`);
      return Status.failed | Status.left;
    }
    return checkDevice(io, { ...command, target: name }, calledAs, device);
  } catch (error) {
    if (error instanceof BadListError) io.stderr.write(`${error.message}\n`);
    else if (isOwnError(error)) io.stderr.write(`${calledAs}: ${command.target}: ${error.message}\n`);
    else throw error;
    return Status.failed;
  } finally {
    device.close();
  }
}

function checkDevice(io: Io, command: CommandLine, calledAs: string, opened: BlockDevice): number {
  const device = command.times === 0 ? opened : new TalliedDevice(opened);
  const staged = new StagingDevice(device);
  const isPending = isReplayPending(device);
  // What the undo file is to keep must be known before anything is written.
  const target = command.undoFile === undefined ? device : staged;
  const problem =
    isPending && command.manner !== 'no' ? replay(io, target, command.externalJournal) : undefined;
  if (isPending && command.manner !== 'no' && problem === undefined)
    print(io, `${command.target}: recovering journal\n`);
  const isSkipped = isPending && command.manner === 'no';
  if (command.journalOnly && !command.force && problem === undefined && hasMagic(staged)) {
    if (isSkipped) print(io, SKIPPED_JOURNAL);
    applyStaged(io, device, staged, command.undoFile);
    return 0;
  }
  if (
    !command.force &&
    !isSkipped &&
    problem === undefined &&
    command.superblock === undefined &&
    command.badBlocks === undefined &&
    isClean(staged)
  ) {
    if (command.manner !== 'no' && hasOrphans(staged)) {
      const talker = new Talker(io, command);
      try {
        finishLeftOrphans(staged, talker);
      } catch (error) {
        if (error instanceof CheckEnd) return finishEarly(io, command, talker);
        throw error;
      }
      if (talker.isStopped) return Status.left;
    }
    applyStaged(io, device, staged, command.undoFile);
    print(io, cleanLine(command.target, device));
    return 0;
  }
  const teller = command.progress === undefined ? undefined : tellerFor(io, command.progress, command.target);
  const talker = new Talker(io, command, teller);
  const badBlocks = badBlocksFor(io, command, device);
  const times =
    device instanceof TalliedDevice
      ? new Times(device, command.times, (text) => talker.print(text))
      : undefined;
  let result: ExtCheckResult;
  try {
    result = checkExt(staged, talker, {
      ...(command.superblock !== undefined && { superblock: command.superblock }),
      ...(command.blockSize !== undefined && { blockSize: command.blockSize }),
      isJournalPending: isSkipped,
      ...(command.manner !== 'no' && { optimise: command.optimises ? 'all' : 'long' }),
      ...(badBlocks !== undefined && { badBlocks }),
      formatTime: (seconds) => calendarTime(seconds).trimEnd(),
      onFresh: (offset, length) => staged.precede(offset, length),
      progress: {
        begin(pass) {
          if (!talker.isStopped) times?.begin(pass);
        },
        end(pass) {
          if (!talker.isStopped) times?.end(pass);
        },
        step(pass, done, total) {
          if (!talker.isStopped) teller?.step(pass, done, total);
        },
        directory(number, done, total) {
          if (!talker.isStopped) teller?.directory(number, done, total);
        },
      },
    });
    if (talker.mended > 0) result = settle(staged, talker, result);
  } catch (error) {
    if (error instanceof CheckEnd) return finishEarly(io, command, talker);
    throw error;
  }
  if (talker.isStopped) return Status.left;
  // Unless the check has mended the journal, nothing may be written that its replay would undo.
  if (problem !== undefined && isReplayPending(staged)) {
    io.stderr.write(`${calledAs}: ${command.target}: the journal cannot be replayed: ${problem}\n`);
    return Status.failed;
  }
  const status = finish(io, command, device, staged, talker, result);
  times?.endAll();
  return status;
}

/** Mends what the mends have uncovered, until there is nothing. */
function settle(staged: StagingDevice, talker: Talker, first: ExtCheckResult): ExtCheckResult {
  const { fragmentedFiles, fragmentedDirectories, isRearranged } = first;
  let result = first;
  for (let round = 1; round < MAX_ROUNDS; round++) {
    const silent = talker.silent();
    // The tool tells how it was, and goes on with what it has found.
    result = { ...checkExt(staged, silent), fragmentedFiles, fragmentedDirectories, isRearranged };
    talker.left = silent.left;
    if (silent.mended === 0) break;
  }
  return result;
}

const NO_SUPERBLOCK = `
The superblock could not be read or does not describe a valid ext2/ext3/ext4
filesystem.  If the device is valid and it really contains an ext2/ext3/ext4
filesystem (and not swap or ufs or something else), then the superblock
is corrupt, and you might try running e2fsck with an alternate superblock:
    e2fsck -b 8193 <device>
 or
    e2fsck -b 32768 <device>

`;

function stillWrong(name: string): string {
  return `${name}: ********** WARNING: Filesystem still has errors **********\n\n`;
}

function finishEarly(io: Io, command: CommandLine, talker: Talker): number {
  if (talker.isSuperblockLost) {
    io.stdout.write(NO_SUPERBLOCK);
    return Status.failed;
  }
  print(io, `\n${stillWrong(command.target)}`);
  return Status.left;
}

function finish(
  io: Io,
  command: CommandLine,
  device: BlockDevice,
  staged: StagingDevice,
  talker: Talker,
  result: ExtCheckResult,
): number {
  const isChanged = talker.mended > 0;
  if (isChanged) {
    markChecked(io, staged, talker.left === 0);
    applyStaged(io, device, staged, command.undoFile);
  }
  // The replay of the journal alone is no repair, and a better layout is none either.
  if (!isChanged && command.manner !== 'no') applyStaged(io, device, staged, command.undoFile);
  if ((isChanged || result.isRearranged) && command.manner !== 'preen')
    print(io, `\n${command.target}: ***** FILE SYSTEM WAS MODIFIED *****\n`);
  if (talker.left > 0) print(io, `\n${stillWrong(command.target)}`);
  const hasExtents = (featuresOf(staged).incompatible & IncompatibleFeature.extent) !== 0;
  print(io, command.verbose ? statisticsOf(result, hasExtents) : summaryOf(command.target, result));
  return (isChanged ? Status.mended : 0) | (talker.left > 0 ? Status.left : 0);
}

/** The time of the check, and the state. */
function markChecked(io: Io, staged: StagingDevice, isClean: boolean): void {
  const superblock = superblockOf(staged);
  const { seconds } = clockFromEnvironment(io.env)();
  Superblock.s_lastcheck.set(superblock, 0, seconds >>> 0);
  Superblock.s_wtime.set(superblock, 0, seconds >>> 0);
  Superblock.s_mnt_count.set(superblock, 0, 0);
  const state = Superblock.s_state.get(superblock, 0);
  if (isClean) Superblock.s_state.set(superblock, 0, (state & ~2) | 1);
  sealSuperblock(superblock, readFeatures(superblock));
  staged.write(SUPERBLOCK_OFFSET, new Uint8Array(superblock.buffer, 0, Superblock.$size));
}

/** What keeps the journal from being replayed, if anything does. */
function replay(io: Io, device: BlockDevice, external: string | undefined): string | undefined {
  let journalDevice: BlockDevice | undefined;
  try {
    if (external !== undefined) journalDevice = openVolume(io, external);
    const { journal, problem } = recover(device, 'write', false, journalDevice);
    return journal === undefined
      ? (problem ?? 'the file system has features that are not written to')
      : undefined;
  } catch (error) {
    if (isOwnError(error)) return error.message;
    if (external !== undefined && journalDevice === undefined && error instanceof Error && 'code' in error)
      return `${reasonOf(error)} while trying to open ${external}`;
    throw error;
  } finally {
    journalDevice?.close();
  }
}
