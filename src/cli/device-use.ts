import fs from 'node:fs';
import path from 'node:path';
import { listKernelLoops } from '../attach/kernel-loop-state.ts';
import { FsError, hasCode } from '../errors.ts';
import { formatDeviceNumber } from '../host/block-queue.ts';
import { readMountTable } from '../host/mount-table.ts';
import { nativeLocks } from '../host/native-lock.ts';
import { openFileHolders } from '../host/open-file-holders.ts';
import type { Io } from './io.ts';
import { refuseAttached } from './open-device.ts';

/**
 * Throws EBUSY with the holder's name when the kernel has the image in a loop device, or somebody has locked it; when a file system of the block
 * device is mounted, or something else holds it.
 */
export function refuseInUse(io: Io, name: string): void {
  const file = path.resolve(io.cwd, name);
  const stats = fs.statSync(file, { throwIfNoEntry: false });
  if (stats?.isFile() === true) {
    const loop = listKernelLoops().find(
      ({ imageDevice, imageInode }) => imageDevice === `${stats.dev}` && imageInode === `${stats.ino}`,
    );
    if (loop !== undefined) {
      const detail = `"${name}" is attached as /dev/${loop.name}: name that device instead, or detach it first`;
      throw new FsError('EBUSY', { detail });
    }
    refuseAttached(io, name);
    refuseLocked(name, file);
    return;
  }
  if (stats?.isBlockDevice() !== true) return;
  const numbers = deviceNumbers(formatDeviceNumber(stats.rdev));
  const detail = mountOf(numbers) ?? swapOn(numbers) ?? holderOf(numbers);
  if (detail !== undefined) throw new FsError('EBUSY', { detail });
  refuseClaimed(name, file);
}

/** Locks of programs that have the image open (QEMU sets some). Nothing is known of them where libc cannot be called. */
function refuseLocked(name: string, file: string): void {
  const locks = nativeLocks();
  if (locks === undefined) return;
  const fd = openOrNothing(file, fs.constants.O_RDONLY);
  if (fd === undefined) return;
  try {
    if (!locks.isLocked(fd, 0, 0)) return;
  } finally {
    fs.closeSync(fd);
  }
  const programs = openFileHolders([fs.realpathSync(file)]).map(
    ({ command, pid }) => `${command} (process ${pid})`,
  );
  const detail = `"${name}" is locked by ${programs.join(', ') || 'another program'}; a writer needs it alone`;
  throw new FsError('EBUSY', { detail });
}

/** The kernel lets nobody claim a device that is mounted, swapped on or held: also where another namespace has done that, and it cannot be seen here. */
function refuseClaimed(name: string, file: string): void {
  try {
    const fd = openOrNothing(file, fs.constants.O_RDONLY | fs.constants.O_EXCL);
    if (fd !== undefined) fs.closeSync(fd);
  } catch (error) {
    if (!hasCode(error, 'EBUSY')) throw error;
    const detail = `"${name}" is mounted in another namespace, or another program has it for itself`;
    throw new FsError('EBUSY', { detail, cause: error });
  }
}

/** Undefined where the file is not for this user to read. */
function openOrNothing(file: string, flags: number): number | undefined {
  try {
    return fs.openSync(file, flags);
  } catch (error) {
    if (['EACCES', 'EPERM', 'ENOENT', 'ENXIO', 'ENOMEDIUM'].some((code) => hasCode(error, code))) {
      return undefined;
    }
    throw error;
  }
}

/** Of what others have named: it may be gone, or lie where this user, even root, may not look (what another user has mounted by FUSE). */
export function statusIfAny(file: string): fs.Stats | undefined {
  try {
    return fs.statSync(file);
  } catch {
    return undefined;
  }
}

function mountOf(numbers: readonly string[]): string | undefined {
  const mount = readMountTable().find(({ device }) => numbers.includes(device));
  return mount && `${mount.source} is mounted on ${mount.directory}; unmount it first`;
}

function swapOn(numbers: readonly string[]): string | undefined {
  for (const line of readLines('/proc/swaps').slice(1)) {
    const [file = ''] = line.split(/\s/);
    const stats = statusIfAny(file);
    if (stats?.isBlockDevice() === true && numbers.includes(formatDeviceNumber(stats.rdev))) {
      return `${file} is used for swapping; swapoff it first`;
    }
  }
  return undefined;
}

/** A mapping, an array and the like that lies on it. */
function holderOf(numbers: readonly string[]): string | undefined {
  for (const number of numbers) {
    const folder = `/sys/dev/block/${number}`;
    const [holder] = fs.existsSync(`${folder}/holders`) ? fs.readdirSync(`${folder}/holders`) : [];
    if (holder === undefined) continue;
    const [name] = readLines(`${folder}/holders/${holder}/dm/name`);
    const called = name === undefined ? '' : ` (${name})`;
    return `${path.basename(fs.realpathSync(folder))} is part of ${holder}${called}; remove that first`;
  }
  return undefined;
}

function readLines(file: string): string[] {
  try {
    return fs
      .readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** The numbers of a block device and of its partitions. */
function deviceNumbers(numbers: string): string[] {
  const folder = `/sys/dev/block/${numbers}`;
  try {
    const partitions = fs.readdirSync(folder).flatMap((entry) => {
      const file = path.join(folder, entry, 'dev');
      return fs.existsSync(path.join(folder, entry, 'partition')) && fs.existsSync(file)
        ? fs.readFileSync(file, 'latin1').trim()
        : [];
    });
    return [numbers, ...partitions];
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [numbers];
    throw error;
  }
}
