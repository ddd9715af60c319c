import fs from 'node:fs';
import type { Timestamp } from '../../bytes/time.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { hasCode, isOwnError } from '../../errors.ts';
import { GroupLayout } from '../../filesystem/ext/resize/group-layout.ts';
import { usableBlockCount } from '../../filesystem/ext/resize/new-size.ts';
import {
  minimumBlockCount,
  planMinimum,
  planResize,
  type ResizePlan,
} from '../../filesystem/ext/resize/passes.ts';
import type { SuperblockEditor } from '../../filesystem/ext/superblock-editor.ts';
import { ReadOnlyCompatibleFeature } from '../../filesystem/ext/superblock.ts';
import { clockFromEnvironment } from '../../host/system.ts';
import { defineApplet } from '../applet.ts';
import { checkUndoFile } from '../check/apply.ts';
import { refuseInUse } from '../device-use.ts';
import type { Io } from '../io.ts';
import { print } from '../verbs/print.ts';
import { Failure } from './e2fsprogs/failure.ts';
import { errorText, examineTarget, mountPointOf, type Target } from './mke2fs/target.ts';
import {
  requireChecked,
  requireFitting,
  requireReplayed,
  requireRoom,
  wantedBlocks,
} from './resize2fs/checks.ts';
import { type CommandLine, OPTIONS, parseCommandLine } from './resize2fs/command-line.ts';
import { openForResize } from './resize2fs/open.ts';
import { growMounted } from './resize2fs/online.ts';
import { ProgressBars } from './resize2fs/progress.ts';
import { keepBefore } from '../resize/undo.ts';

const BANNER = 'resize2fs 1.47.0 (5-Feb-2023)\n';
export const resize2fs = defineApplet({
  name: 'resize2fs',
  kind: 'applet',
  summary: 'change the size of an ext2, ext3 or ext4 file system',
  usage: ['resize2fs [OPTION]... DEVICE [SIZE]'],
  description: [
    'Makes the file system on DEVICE, a file or a block device, as large as SIZE: a number of its blocks, or with one of the suffixes s, K, M, G, T of sectors of 512 bytes, KiB and so on. Without SIZE it fills the device. A file that is too short is made longer; one whose file system became smaller is cut, unless an undo file is kept.',
    'What is printed is what resize2fs of e2fsprogs 1.47.0 prints, and where nothing has to move the same bytes are written. The bars of -p count what is done here, which is less where the real tool moves more. The smallest size, of -M and -P, is not estimated as there but tried, and mostly less. SOURCE_DATE_EPOCH takes the place of the clock.',
    "A mounted file system can become larger: its driver does it, ours or the kernel's, while programs use it; ours waits for no file that is open, but refuses while one is that was deleted. Make the image longer first, and have its device see that (losetup -c).",
    'Everything is worked out before the first write. Cut short at any moment, no file is lost: run e2fsck -fy, then resize again.',
  ],
  options: OPTIONS,
  examples: [
    { command: 'resize2fs disk.img 4G', explanation: 'Grows image and file system to 4 GiB.' },
    { command: 'resize2fs -M disk.img', explanation: 'Makes both as small as the files allow.' },
    {
      command: 'truncate -s 2G disk.img && losetup -c /dev/loop0 && resize2fs /dev/loop0',
      explanation: 'Gives a mounted file system more room.',
    },
    { command: 'resize2fs /dev/loop0p2', explanation: 'Has the file system fill its partition.' },
  ],
  exitStatus: { 0: 'done, or nothing to do', 1: 'nothing was changed' },
  notSupported: [
    'making a mounted file system smaller, or saying how small it could be; changing one whose journal has to be replayed',
    'file systems with bigalloc or shared_blocks; moving blocks of one with bad blocks',
    'moving inodes that hold attribute values (ea_inode)',
    '-b, -s: switching 64bit. -S: a stride. -d: debugging output',
  ],
  run,
});

function run(io: Io, argv: readonly string[]): number {
  io.stderr.write(BANNER);
  try {
    const command = parseCommandLine(argv);
    const target = examineTarget(io, command.device);
    const directory = mountPointOf(target);
    if (directory !== undefined) {
      if (command.printMinimum) {
        throw new Failure(`resize2fs: ${command.device} is mounted: what it needs is known once it is not\n`);
      }
      growMounted(io, command, directory);
      return 0;
    }
    checkUndo(io, command);
    const { editor, device } = openForResize(io, command.device, command.printMinimum);
    try {
      resize(io, command, target, editor, device);
    } finally {
      device.close();
    }
    return 0;
  } catch (error) {
    if (error instanceof Failure) io[error.stream].write(error.message);
    else if (isOwnError(error)) io.stderr.write(`resize2fs: ${error.message}\n`);
    else throw error;
    return 1;
  }
}

function checkUndo(io: Io, command: CommandLine): void {
  checkUndoFile(io, command.undoFile);
  try {
    if (!command.printMinimum) refuseInUse(io, command.device);
  } catch (error) {
    if (!isOwnError(error)) throw error;
    throw new Failure(`open: ${errorText(error)} while opening ${command.device}\n`);
  }
}

function resize(
  io: Io,
  command: CommandLine,
  target: Target,
  editor: SuperblockEditor,
  device: BlockDevice,
): void {
  const clock = clockFromEnvironment(io.env);
  if (command.printMinimum) {
    print(io, `Estimated minimum size of the filesystem: ${minimumBlockCount(device, clock)}\n`);
    return;
  }
  if (!command.force) requireChecked(editor, command.device);
  requireReplayed(io, editor, command.device);
  const { blockSize, blockCount } = editor.geometry;
  const unit = `(${blockSize / 1024}k) blocks`;
  const minimum = command.minimum ? planMinimum(device, clock) : undefined;
  const wanted = command.minimum
    ? (minimum?.blockCount ?? blockCount)
    : wantedBlocks(command, editor, device);
  if (target.kind !== 'file' && !command.force) requireRoom(device, blockSize, wanted);
  requireFitting(editor, wanted);
  if ((editor.features.readOnlyCompatible & ReadOnlyCompatibleFeature.bigalloc) !== 0 && !command.force) {
    throw new Failure(
      '\nResizing bigalloc file systems has not been fully tested.  Proceed at\nyour own risk!  Use the force option if you want to go ahead anyway.\n\n',
    );
  }
  const plan = minimum ?? planOrSayMinimum(device, editor, wanted, clock);
  if (plan === undefined) {
    io.stderr.write(`The filesystem is already ${blockCount} ${unit} long.  Nothing to do!\n\n`);
    return;
  }
  perform(io, command, { target, device, blockSize, plan, wanted });
}

/** Undefined when there is nothing to do. Failure with the smallest size when there is no room. */
function planOrSayMinimum(
  device: BlockDevice,
  { view, geometry }: SuperblockEditor,
  wanted: number,
  clock: () => Timestamp,
): ResizePlan | undefined {
  try {
    const usable = usableBlockCount(new GroupLayout(view, geometry), wanted);
    return usable === geometry.blockCount ? undefined : planResize(device, { blockCount: usable, clock });
  } catch (error) {
    if (!hasCode(error, 'ENOSPC') || wanted > geometry.blockCount) throw error;
    throw new Failure(`resize2fs: New size smaller than minimum (${minimumBlockCount(device, clock)})\n\n`);
  }
}

interface Job {
  readonly target: Target;
  readonly device: BlockDevice;
  readonly blockSize: number;
  readonly plan: ResizePlan;
  /** Blocks. */
  readonly wanted: number;
}

function perform(io: Io, command: CommandLine, job: Job): void {
  const { target, blockSize, plan, wanted } = job;
  const isFile = target.kind === 'file';
  const length = wanted * blockSize;
  const before = job.device.size;
  const grows = isFile && before < length;
  let { device } = job;
  let isStarted = false;
  try {
    if (grows) {
      fs.truncateSync(target.path, length);
      device = openForResize(io, command.device, false).device;
    }
    if (command.undoFile !== undefined) {
      const { device: name, undoFile } = command;
      print(
        io,
        `Overwriting existing filesystem; this can be undone using the command:\n    e2undo ${undoFile} ${name}\n\n`,
      );
      keepBefore(io, undoFile, device, plan);
    }
    print(
      io,
      `Resizing the filesystem on ${command.device} to ${plan.blockCount} (${blockSize / 1024}k) blocks.\n`,
    );
    isStarted = true;
    const bars = new ProgressBars(io);
    plan.apply(device, command.showProgress ? (step, share) => bars.show(step, share) : undefined);
    // What is behind the new end is given up; an undo file does not have it.
    if (isFile && !grows && command.undoFile === undefined) {
      fs.truncateSync(target.path, plan.blockCount * blockSize);
    }
    print(
      io,
      `The filesystem on ${command.device} is now ${plan.blockCount} (${blockSize / 1024}k) blocks long.\n\n`,
    );
  } catch (error) {
    // Nothing was written yet, or the file system is no longer as it was: then it may need the new length.
    if (grows && !isStarted) fs.truncateSync(target.path, before);
    throw error;
  } finally {
    if (device !== job.device) device.close();
  }
}
