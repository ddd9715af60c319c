import { FsError } from '../../../errors.ts';
import { type DeviceLock, lockDevice } from '../../device-lock.ts';
import type { Io } from '../../io.ts';
import { openDevice } from '../../open-device.ts';
import { Disk } from '../fdisk/disk.ts';
import { warnOfDosLabel } from '../fdisk/new-label.ts';
import { tellKernel } from '../fdisk/tell-kernel.ts';
import { openFailure } from '../fdisk/open-failure.ts';
import { deviceUse } from '../fdisk/opening.ts';
import { requireWritable } from '../fdisk/writability.ts';
import type { CommandName, SfdiskOptions } from './command-line.ts';
import type { Talk } from './talk.ts';

/** What every command works with. */
export interface Context {
  readonly io: Io;
  readonly talk: Talk;
  readonly options: SfdiskOptions;
}

/** Ends the command with a line on standard error and status 1. */
export class Failure extends Error {
  override readonly name = 'Failure';
}

export interface OpenOptions {
  /** The disk is only looked at. */
  readonly readOnly: boolean;
}

/** Opens the disk that is named; Failure where it cannot be, or not for writing: nothing is read or asked then. */
export function openDisk(context: Context, name: string, { readOnly }: OpenOptions): Disk {
  const { options } = context;
  if (!readOnly) withReason(name, () => checkWritable(context, name));
  const lock = readOnly ? undefined : lockOf(context, name);
  let disk: Disk;
  try {
    disk = withReason(name, () => open(context, name, readOnly, lock));
  } catch (error) {
    lock?.close();
    throw error;
  }
  if (options.command === 'show-size') return disk;
  sayWhatIsOdd(context, disk);
  return options.nested ? hybridOf(context, disk) : disk;
}

function open({ io, options }: Context, name: string, readOnly: boolean, lock: DeviceLock | undefined): Disk {
  return Disk.open(io, name, {
    geometry: {},
    dosCompatible: false,
    cylinders: false,
    classic: false,
    keepBootCode: options.wipe !== 'always',
    readOnly,
    ...(options.sectorSize === undefined ? {} : { sectorSize: options.sectorSize }),
    ...(lock === undefined ? {} : { lock }),
  });
}

/** Before the table is read: it may be another one by the time the lock is had. */
function lockOf({ io, options }: Context, name: string): DeviceLock | undefined {
  const lock = lockDevice(io, name, { program: 'sfdisk', mode: options.lock });
  if (lock === undefined) throw new Failure('');
  return lock === 'none' ? undefined : lock;
}

/** Throws what would keep the table from being written. A device that is in use is another matter: --force writes it all the same. */
function checkWritable({ io, options }: Context, name: string): void {
  deviceUse(io, name);
  if (!options.noAct) requireWritable(io, name);
  else openDevice(io, name, { whileMounted: true }).close();
}

function withReason<T>(name: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    const lines = openFailure(name, error);
    if (lines === undefined) throw error;
    throw new Failure(lines.join('\nsfdisk: '));
  }
}

/** These do not say that an MBR is too small for the disk. */
const LISTS: readonly CommandName[] = ['list', 'list-free', 'show-geometry', 'verify'];

/** What is said of a table when it is read. */
function sayWhatIsOdd({ talk, options }: Context, disk: Disk): void {
  if (disk.label?.kind === 'dos' && !LISTS.includes(options.command)) warnOfDosLabel(disk, talk);
  for (const { kind, text } of disk.messages) {
    if (kind === 'information') talk.info(text);
    else talk.warn(text);
  }
}

/** The MBR beside a GPT; the disk itself where it has none. */
export function hybridOf({ talk }: Context, disk: Disk): Disk {
  if (disk.gpt === undefined) return disk;
  const hybrid = disk.nestHybrid();
  warnOfDosLabel(hybrid, talk);
  return hybrid;
}

/** Refuses what has no GPT and no MBR, but a disklabel, which can only be looked at. */
export function refuseBsd(disk: Disk): void {
  if (disk.bsd !== undefined) throw new Failure(`${disk.name}: BSD disklabels can only be listed`);
}

/** The disk of a command, by its first operand. */
export function diskOperand(operands: readonly string[]): string {
  const [name] = operands;
  if (name === undefined) throw new Failure('no disk device specified');
  return name;
}

/** Writes the table, unless nothing is to be written, and says so. */
export function writeChanges(
  context: Context,
  disk: Disk,
  before: Parameters<Disk['write']>[0] = () => {},
): void {
  const { talk, options } = context;
  if (options.noAct) {
    talk.info('The partition table is unchanged (--no-act).');
    return;
  }
  if (disk.label === undefined || disk.gpt?.overlap() !== undefined) throw new Failure('');
  disk.write(before);
  talk.info('\nThe partition table has been altered.');
  if (!options.tellKernel) return;
  // The tool forgets it of a table within another one.
  if (disk.parent === undefined) tellKernel(context.io, disk.name, context.talk);
  talk.info('Syncing disks.');
}

/** What strerror(3) says of an error of ours; the error itself goes on where it is none of these. */
export function reasonOf(error: unknown): string {
  if (error instanceof FsError) return error.text;
  throw error;
}
