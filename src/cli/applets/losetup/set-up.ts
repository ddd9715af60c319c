import fs from 'node:fs';
import path from 'node:path';
import type { AttachRequest, DeviceState } from '../../../attach/device-state.ts';
import { viewPath } from '../../../attach/view-path.ts';
import { FsError, UsageError, hasCode } from '../../../errors.ts';
import { hostText } from '../../../host/host-text.ts';
import type { Io } from '../../io.ts';
import { print } from '../../verbs/print.ts';
import type { SetUp } from './command-line.ts';
import type { NamedDevice } from './devices.ts';
import { failureOf } from './failure.ts';

/** What of LoopDevices this needs. */
export interface SetUpDevices {
  /** Asked for --nooverlap only. */
  list(): DeviceState[];
  attach(request: AttachRequest): Promise<DeviceState>;
}

/** `losetup -f FILE`, `losetup LOOPDEV FILE`. */
export async function setUp(
  io: Io,
  devices: SetUpDevices,
  named: NamedDevice | undefined,
  command: SetUp,
): Promise<void> {
  const file = path.resolve(io.cwd, command.file);
  const state = reusable(devices, file, command) ?? (await attach(devices, named, file, command));
  const note = sizeNote(file, command);
  if (state.filesProblem !== undefined) {
    io.stderr.write(
      `losetup: ${command.file}: Warning: no device files (${state.filesProblem}): only userloop's own commands find ${state.name}\n`,
    );
  }
  if (note !== undefined) io.stderr.write(`losetup: ${command.file}: Warning: ${note}\n`);
  if (command.show) print(io, `${viewPath(state)}\n`);
  else if (named !== undefined) tellPath(io, named, state);
}

async function attach(
  devices: SetUpDevices,
  named: NamedDevice | undefined,
  file: string,
  command: SetUp,
): Promise<DeviceState> {
  try {
    const stats = fs.statSync(hostText(file));
    if (stats.isDirectory()) throw new FsError('EISDIR', { syscall: 'open', path: file });
    const { offset, sizeLimit, sectorSize, readOnly, partitionScan, directIo } = command;
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(sizeLimit)) throw new FsError('EOVERFLOW');
    if (named?.state !== undefined) throw new FsError('EBUSY');
    return await devices.attach({
      family: 'loop',
      ...(named === undefined ? {} : { unit: named.unit }),
      source: 'vnode',
      image: fs.realpathSync(file),
      offset,
      sizeLimit,
      sectorSize: sectorSize === 0 ? 512 : sectorSize,
      readOnly,
      autoclear: false,
      partitionScan,
      directIo,
      files: true,
    });
  } catch (error) {
    // Where the device itself cannot be opened, it is the device that is named.
    const own = named !== undefined && hasPath(error, `/dev/loop${named.unit}`);
    throw failureOf(error, `${own ? named.path : command.file}: failed to set up loop device`);
  }
}

function hasPath(error: unknown, file: string): boolean {
  return error instanceof Error && 'path' in error && error.path === file;
}

/**
 * With --nooverlap: the device that has just this part of the file. Refuses a part that another device has, as two that do not
 * know of each other spoil it.
 */
function reusable(devices: SetUpDevices, file: string, command: SetUp): DeviceState | undefined {
  if (!command.noOverlap) return undefined;
  const end = endOf(command);
  const others = devicesOf(devices, file).filter(
    (state) => state.offset < end && command.offset < endOf(state),
  );
  for (const state of others) {
    const same = state.offset === command.offset && state.sizeLimit === command.sizeLimit;
    if (!same || command.name !== undefined) {
      throw new UsageError(`${command.file}: overlapping loop device exists`, 1);
    }
    if (state.readOnly && !command.readOnly) {
      throw new UsageError(`${command.file}: overlapping read-only loop device exists`, 1);
    }
  }
  return others[0];
}

function endOf({ offset, sizeLimit }: { readonly offset: number; readonly sizeLimit: number }): number {
  return sizeLimit === 0 ? Infinity : offset + sizeLimit;
}

/** The devices whose image is that file; none when there is no such file. */
export function devicesOf(devices: Pick<SetUpDevices, 'list'>, file: string): DeviceState[] {
  try {
    const { dev, ino } = fs.statSync(hostText(file), { bigint: true });
    return devices
      .list()
      .filter(({ imageDevice, imageInode }) => imageDevice === `${dev}` && imageInode === `${ino}`);
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR') || hasCode(error, 'EACCES')) return [];
    throw error;
  }
}

/** What is odd about the part of the file that was asked for. Counted as losetup does, in 64 bits without a sign. */
function sizeNote(file: string, { offset, sizeLimit }: SetUp): string | undefined {
  const stats = fs.statSync(hostText(file), { throwIfNoEntry: false });
  if (stats?.isFile() !== true) return undefined;
  let size = BigInt.asUintN(64, BigInt(stats.size) - BigInt(offset));
  if (sizeLimit > 0 && size > BigInt(sizeLimit)) size = BigInt(sizeLimit);
  if (size < 512n) {
    return 'file is smaller than 512 bytes; the loop device may be useless or invisible for system tools.';
  }
  if (size % 512n !== 0n) {
    return 'file does not fit into a 512-byte sector; the end of the file will be ignored.';
  }
  return undefined;
}

/** A person who named a device of /dev has to know where it is really; a script that does asks with --show. */
function tellPath(io: Io, named: NamedDevice, state: DeviceState): void {
  const real = viewPath(state);
  if (!io.stderr.isTerminal || (real === named.path && state.folder !== undefined)) return;
  if (state.folder !== undefined) io.stderr.write(`losetup: other programs find ${named.path} as ${real}\n`);
  else if (state.nbdSocket !== undefined) {
    io.stderr.write(`losetup: other programs find ${named.path} as nbd+unix:///?socket=${state.nbdSocket}\n`);
  }
}
