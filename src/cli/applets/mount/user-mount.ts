import { setTimeout } from 'node:timers/promises';
import type { DeviceState, MountState, ViewState } from '../../../attach/device-state.ts';
import { mountDevice } from '../../../attach/client.ts';
import type { MountRequest } from '../../../attach/mount-request.ts';
import { CorruptImageError, hasCode, isOwnError, UnsupportedError } from '../../../errors.ts';
import { describeHolder, MultipleMountProtection } from '../../../filesystem/ext/multiple-mount.ts';
import { waitingText } from '../../idle-volume.ts';
import { openDevice } from '../../open-device.ts';
import { driverOf, namesOfVolume, singleType } from './block-type.ts';
import type { MountContext } from './context.ts';
import { type DriverFamily, userMountOptions } from './file-system-options.ts';
import { MountExit, MountFailure, whyOf } from './mount-failure.ts';
import type { MountWishes } from './mount-wishes.ts';
import { readVolume } from './tagged-source.ts';
import { matchesTypeList } from './type-list.ts';

export interface UserMountJob {
  readonly state: DeviceState;
  readonly view: ViewState;
  /** By which our commands open the view. */
  readonly device: string;
  /** What the table of mounts is to show. */
  readonly source: string;
  /** Canonical. */
  readonly target: string;
  /** Where the verbs find the same files: `disk.img:1`. */
  readonly place: string;
  readonly types: string | undefined;
  readonly wishes: MountWishes;
}

/** Mounts with a driver of ours, in the process behind the device. */
export async function mountByUs(context: MountContext, job: UserMountJob): Promise<MountState> {
  const { target, wishes, source } = job;
  const type = wantedType(context, job);
  const family = familyOf(type) ?? (wishes.fileSystem.length > 0 ? probedFamily(context, job) : undefined);
  const options = userMountOptions(wishes, family, target);
  const idleSequence = options.readOnly ? undefined : await idleSequenceOf(context, job);
  const request: MountRequest = {
    view: job.view.name,
    directory: target,
    source,
    ...(type !== undefined && { type }),
    options: idleSequence === undefined ? options : { ...options, idleSequence },
    uid: process.getuid?.() ?? 0,
  };
  try {
    return await mountDevice(job.state, request);
  } catch (error) {
    throw userMountFailure(error, request, job);
  }
}

/** As the kernel's driver: a volume that somebody else may have mounted is looked at again after a while. Undefined: nobody has. */
async function idleSequenceOf(
  { io, program }: MountContext,
  { device, source, target }: UserMountJob,
): Promise<number | undefined> {
  const opened = openDevice(io, device, { readOnly: true });
  try {
    const protection = MultipleMountProtection.of(opened);
    const before = protection?.state();
    if (protection === undefined || before!.kind === 'free') return undefined;
    if (before!.kind === 'mounted') {
      io.stderr.write(`${program}: ${waitingText(source, before!)}`);
      await waitFor(before!.patience, target);
      if (protection.state().sequence === before!.sequence) return before!.sequence;
    }
    throw new MountFailure(`${target}: ${source} is in use: ${describeHolder(protection.state())}.`);
  } catch (error) {
    // What is wrong with it is told by who mounts it.
    if (error instanceof CorruptImageError) return undefined;
    throw error;
  } finally {
    opened.close();
  }
}

/** MountFailure when the user ends it, so that what was attached for the mount goes again. */
async function waitFor(seconds: number, target: string): Promise<void> {
  const end = new AbortController();
  const abort = (): void => end.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, abort);
  try {
    await setTimeout(seconds * 1000, undefined, { signal: end.signal });
  } catch (error) {
    if (!end.signal.aborted) throw error;
    throw new MountFailure(`${target}: interrupted, not mounted.`, MountExit.interrupted);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, abort);
  }
}

/** What must be there, for the drivers: a list is settled by a look at the device. */
function wantedType(
  context: MountContext,
  { types, device, source, target }: UserMountJob,
): MountRequest['type'] {
  const single = singleType(types);
  if (single !== undefined) return driverType(single, target);
  if (types === undefined || types === 'auto') return undefined;
  const volume = readVolume(context, device);
  if (volume === undefined || namesOfVolume(volume.type).some((name) => matchesTypeList(name, types))) {
    return undefined;
  }
  throw new MountFailure(`${target}: ${source} holds ${volume.type}, which is not in the list "${types}".`);
}

function driverType(type: string, target: string): MountRequest['type'] {
  switch (type) {
    case 'fat12':
    case 'fat16':
    case 'fat32':
    case 'ext2':
    case 'ext3':
      return type;
    // The driver of ext4 takes the older ones, too.
    case 'ext4':
    case 'ext':
      return 'ext';
    default:
      if (driverOf(type) === 'fat') return 'fat';
      throw new MountFailure(`${target}: unknown filesystem type '${type}'.`, undefined, [
        'Without the kernel: ext2, ext3, ext4, vfat, msdos.',
      ]);
  }
}

function familyOf(type: MountRequest['type']): DriverFamily | undefined {
  return type === undefined ? undefined : driverOf(type);
}

function probedFamily(context: MountContext, { device }: UserMountJob): DriverFamily | undefined {
  const type = readVolume(context, device)?.type;
  return type === undefined ? undefined : driverOf(type);
}

/** The tool's own words, and below them what is really the matter. */
function userMountFailure(
  error: unknown,
  { source, directory }: MountRequest,
  { place, state, view }: UserMountJob,
): MountFailure {
  const expected = isOwnError(error) || (error instanceof Error && ('syscall' in error || 'code' in error));
  if (!expected) throw error;
  const why = whyOf(error);
  if (error instanceof UnsupportedError && error.features.includes('FUSE')) {
    return new MountFailure(`${directory}: cannot mount here: ${why}.`, undefined, [
      'Without a mount, the same files can be listed, read and changed by',
      `userloop ls ${place}:/, userloop cat ${place}:/FILE, userloop cp FILE ${place}:/ (userloop --help lists more).`,
    ]);
  }
  // A matter of this machine's settings, not of what is in the image.
  if (error instanceof UnsupportedError && error.features.includes('allow_other')) {
    return new MountFailure(`${directory}: ${why}.`);
  }
  const other = state.mounts.find((mount) => mount.view === view.name);
  const text = textOf(error, source, other?.directory);
  return new MountFailure(`${directory}: ${text ?? `${why}.`}`, undefined, text === undefined ? [] : [why]);
}

/** Undefined where the reason alone says it. */
function textOf(error: unknown, source: string, other: string | undefined): string | undefined {
  if (hasCode(error, 'EBUSY'))
    return other === undefined
      ? `${source} already mounted or mount point busy.`
      : `${source} already mounted on ${other}.`;
  if (hasCode(error, 'EACCES') || hasCode(error, 'EPERM')) return 'permission denied.';
  if (hasCode(error, 'ENOTDIR')) return 'mount point is not a directory.';
  if (hasCode(error, 'EIO')) return `can't read superblock on ${source}.`;
  const isContent = error instanceof UnsupportedError || error instanceof CorruptImageError;
  if (!isContent && !hasCode(error, 'EINVAL')) return undefined;
  return `wrong fs type, bad option, bad superblock on ${source}, missing codepage or helper program, or other error.`;
}
