import { FsError } from '../../../errors.ts';
import type { Io } from '../../io.ts';
import { Disk } from '../fdisk/disk.ts';
import { warnOfDosLabel } from '../fdisk/new-label.ts';
import { openFailure } from '../fdisk/open-failure.ts';
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

/** Opens the disk that is named; Failure where it cannot be, or not for writing. */
export function openDisk(context: Context, name: string, { readOnly }: OpenOptions): Disk {
  const { io, options } = context;
  let disk: Disk;
  try {
    disk = Disk.open(io, name, {
      geometry: {},
      dosCompatible: false,
      cylinders: false,
      classic: false,
      keepBootCode: options.wipe !== 'always',
      readOnly,
      ...(options.sectorSize === undefined ? {} : { sectorSize: options.sectorSize }),
    });
  } catch (error) {
    const reason = openFailure(error);
    if (reason === undefined) throw error;
    throw new Failure(`cannot open ${name}: ${reason}`);
  }
  if (!readOnly && !options.noAct) {
    try {
      disk.checkWritable();
    } catch (error) {
      disk.close();
      const reason = openFailure(error);
      if (reason === undefined) throw error;
      throw new Failure(`cannot open ${name}: ${reason}`);
    }
  }
  if (options.command === 'show-size') return disk;
  sayWhatIsOdd(context, disk);
  return options.nested ? hybridOf(context, disk) : disk;
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
  if (options.tellKernel) talk.info('Syncing disks.');
}

/** What strerror(3) says of an error of ours; the error itself goes on where it is none of these. */
export function reasonOf(error: unknown): string {
  if (error instanceof FsError) return error.text;
  throw error;
}
