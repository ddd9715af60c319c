import type { BlockDevice } from '../../../device/block-device.ts';
import { CorruptImageError, ERRNO, FsError } from '../../../errors.ts';
import { recover } from '../../../filesystem/ext/journal/recovery.ts';
import { IncompatibleFeature } from '../../../filesystem/ext/superblock.ts';
import { SuperblockEditor } from '../../../filesystem/ext/superblock-editor.ts';
import type { MultipleMountProtection } from '../../../filesystem/ext/multiple-mount.ts';
import { clockFromEnvironment } from '../../../host/system.ts';
import type { Io } from '../../io.ts';
import { openVolume } from '../../open-volume.ts';
import { Failure } from '../e2fsprogs/failure.ts';
import { takeVolume } from '../e2fsprogs/multiple-mount.ts';
import { errorText, examineTarget, isMounted } from '../mke2fs/target.ts';

/** The device could not be opened, or holds no such file system. */
export class OpenFailure extends Failure {
  /** What a program with an exit status of its own for it ends with. */
  readonly exitStatus: number;

  constructor(message: string, exitStatus: number) {
    super(message);
    this.exitStatus = exitStatus;
  }
}

/** `EXT2_ET_BAD_MAGIC`, as much of it as fits into an exit status. */
const BAD_MAGIC_STATUS = 19;

/** Opens the superblock on a device for `work`. Failure with the words of e2fsprogs' programs. */
export function withSuperblock(
  io: Io,
  options: {
    readonly name: string;
    readonly program: string;
    readonly write: boolean;
    /** Whoever holds the volume is said to be gone. */
    readonly isHolderGone?: boolean;
  },
  work: (editor: SuperblockEditor, device: BlockDevice) => void,
): void {
  const { name, program, write } = options;
  if (write && isMounted(examineTarget(io, name))) {
    throw new Failure(`${program}: ${name} is mounted; to change it meanwhile is not supported here\n`);
  }
  let device: BlockDevice;
  try {
    device = openVolume(io, name, { readOnly: !write });
  } catch (error) {
    if (!(error instanceof FsError) && !(error instanceof Error && 'code' in error)) throw error;
    const text = errorText(error);
    const errno = Object.values(ERRNO).find(([, known]) => known === text)?.[0] ?? 1;
    throw new OpenFailure(
      `${program}: ${text} while trying to open ${name}\nCouldn't find valid filesystem superblock.\n`,
      errno,
    );
  }
  const now = clockFromEnvironment(io.env)().seconds;
  let protection: MultipleMountProtection | undefined;
  let editor: SuperblockEditor | undefined;
  let isDone = false;
  try {
    editor = openEditor(device, name, program);
    if (write) {
      refuseUnknown(editor, name, program);
      protection = options.isHolderGone === true ? undefined : editor.multipleMount;
      if (protection !== undefined) takeVolume(io, protection, { program, name, now });
      if ((editor.features.incompatible & IncompatibleFeature.needs_recovery) !== 0) {
        replayJournal(io, device, name, program);
        editor = openEditor(device, name, program);
      }
    }
    work(editor, device);
    isDone = true;
  } finally {
    // Where the feature was cleared, its block may be somebody else's by now.
    if (!isDone || editor?.multipleMount !== undefined) protection?.release(now);
    device.close();
  }
}

function openEditor(device: BlockDevice, name: string, program: string): SuperblockEditor {
  try {
    return SuperblockEditor.open(device);
  } catch (error) {
    if (error instanceof CorruptImageError && error.field === 's_magic') {
      const message = `${program}: Bad magic number in super-block while trying to open ${name}\n`;
      throw new OpenFailure(message, BAD_MAGIC_STATUS);
    }
    throw error;
  }
}

/** What the journal holds would be written over the changes later. */
function replayJournal(io: Io, device: BlockDevice, name: string, program: string): void {
  io.stdout.write('Recovering journal.\n');
  const { journal, problem } = recover(device, 'write', true);
  if (journal !== undefined) return;
  const reason = problem ?? 'the file system has features that are not written to';
  throw new Failure(`${program}: ${reason} while recovering journal.\nPlease run e2fsck -fy ${name}.\n`);
}

function refuseUnknown(editor: SuperblockEditor, name: string, program: string): void {
  const unknown = namesOfUnknown(editor);
  if (unknown !== '') throw new Failure(`${program}: ${name} has unsupported feature(s): ${unknown}\n`);
}

/** A feature that nobody here knows may mean that other structures follow from the superblock. */
function namesOfUnknown({ features }: SuperblockEditor): string {
  const known = Object.values(IncompatibleFeature).reduce((all, bit) => all | bit, 0);
  const unknown = features.incompatible & ~known;
  return unknown === 0 ? '' : `FEATURE_I${31 - Math.clz32(unknown)}`;
}
