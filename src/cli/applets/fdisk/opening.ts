import fs from 'node:fs';
import path from 'node:path';
import { listDevices, viewPath } from '../../../attach/registry.ts';
import { FsError, hasCode } from '../../../errors.ts';
import { formatDeviceNumber } from '../../../host/block-queue.ts';
import { isNbdUri } from '../../../host/nbd-uri.ts';
import { MAX_MBR_SECTORS } from '../../../partition/mbr-type.ts';
import type { Io } from '../../io.ts';
import { findAttached, mountsOf, openDevice, refuseAttached } from '../../open-device.ts';
import { refuseInKernelUse } from '../../device-use.ts';
import { Disk, type DiskOptions } from './disk.ts';
import { usedPartitions } from './listing.ts';

const REASONS = [
  'EACCES',
  'EBUSY',
  'EINVAL',
  'EIO',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
  'ENXIO',
  'EPERM',
  'ENOSPC',
  'EROFS',
] as const;

/** Opens a disk to look at it; undefined after it was said why not. */
export function openForReading(io: Io, name: string, options: DiskOptions): Disk | undefined {
  return saying(io, name, () => Disk.open(io, name, options));
}

export interface OpenedDisk {
  readonly disk: Disk;
  readonly readOnly: boolean;
  /** What is said before the first question. */
  readonly warnings: readonly string[];
}

/**
 * Opens a disk to edit it; undefined after it was said why not: an image that is attached or locked can be written by that alone, and one that can
 * never be written is not worth a question. One that this user may not write is shown, as the tool shows it.
 */
export function openForEditing(io: Io, name: string, options: DiskOptions): OpenedDisk | undefined {
  return saying(io, name, () => {
    const attached = findAttached(io, name);
    const inUse = attached === undefined ? isUsedByKernel(io, name) : mountsOf(attached).length > 0;
    const readOnly = attached?.state.readOnly ?? !isWritable(io, name);
    const disk = Disk.open(io, name, { ...options, readOnly });
    const shrunk = explainShrunk(disk);
    return {
      disk,
      readOnly,
      warnings: [...(inUse && !readOnly ? [IN_USE] : []), ...(shrunk === undefined ? [] : [shrunk])],
    };
  });
}

/** EBUSY for a file that is behind a loop device; a device with something mounted is only warned of, as the tool does. */
export function isUsedByKernel(io: Io, name: string): boolean {
  if (isNbdUri(name)) return false;
  try {
    refuseInKernelUse(io, name);
    return false;
  } catch (error) {
    const isDevice = fs.statSync(path.resolve(io.cwd, name), { throwIfNoEntry: false })?.isBlockDevice();
    if (isDevice === true && hasCode(error, 'EBUSY')) return true;
    throw error;
  }
}

const IN_USE =
  'This disk is currently in use - repartitioning is probably a bad idea.\n' +
  "It's recommended to umount all file systems, and swapoff all swap\npartitions on this disk.\n";

/** strerror(3)'s text of what kept a disk from being opened or written; undefined for another error. */
export function failureText(error: unknown): string | undefined {
  if (error instanceof FsError) return error.text;
  const code = REASONS.find((candidate) => hasCode(error, candidate));
  return code === undefined ? undefined : new FsError(code).text;
}

function saying<T>(io: Io, name: string, open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    const code = REASONS.find((candidate) => hasCode(error, candidate));
    if (code === undefined) throw error;
    io.stderr.write(`fdisk: cannot open ${name}: ${new FsError(code).text}\n`);
    if (code === 'EBUSY' && error instanceof FsError && error.detail !== undefined) {
      io.stderr.write(`fdisk: ${error.detail}\n`);
    }
    return undefined;
  }
}

/** Can it be written? EBUSY where somebody else has it, EPERM and EROFS where nobody can write it: those are no answer. */
function isWritable(io: Io, name: string): boolean {
  const file = path.resolve(io.cwd, name);
  if (isNbdUri(name) || !fs.existsSync(file)) return true;
  try {
    if (isReadOnlyDevice(file)) return false;
    refuseAttached(io, name);
    openDevice(io, name, { whileMounted: true }).close();
    return true;
  } catch (error) {
    if (hasCode(error, 'EACCES')) return false;
    throw error;
  }
}

/** The kernel lets a device that is read-only be opened for writing, and refuses each write. */
function isReadOnlyDevice(file: string): boolean {
  const stats = fs.statSync(file);
  if (!stats.isBlockDevice()) return false;
  const attribute = `/sys/dev/block/${formatDeviceNumber(stats.rdev)}/ro`;
  return fs.existsSync(attribute) && fs.readFileSync(attribute, 'latin1').trim() === '1';
}

/** A table that names sectors which the image has not: it was longer once. util-linux says nothing of that. */
export function explainShrunk(disk: Disk): string | undefined {
  const { sectorCount } = disk.layout;
  const ends = usedPartitions(disk)
    .filter((partition) => partition.sectorCount > 0)
    // Of a protective entry for a disk that is too large for it nothing can be told.
    .filter((partition) => !('entry' in partition && partition.sectorCount === MAX_MBR_SECTORS))
    .map(({ endSector }) => endSector);
  const last = Math.max(-1, ...ends);
  if (last < sectorCount || disk.bsd !== undefined) return undefined;
  return `fdisk: ${disk.name}: the table names sectors up to ${last}, the disk ends with sector ${sectorCount - 1}: it was longer when it was partitioned`;
}

/** What `-l` shows without a name: the disks of the kernel that can be opened, and those that are attached. */
export function allDisks(io: Io): string[] {
  const names: string[] = [];
  try {
    for (const line of fs.readFileSync('/proc/partitions', 'utf8').split('\n')) {
      const name = /^\s*\d+\s+\d+\s+\d+\s+(\S+)$/.exec(line)?.[1];
      const isWhole = name !== undefined && fs.existsSync(`/sys/block/${name.replaceAll('/', '!')}`);
      if (isWhole && !name.startsWith('ram') && isReadable(`/dev/${name}`)) names.push(`/dev/${name}`);
    }
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  return [...names, ...listDevices(io.env).map((state) => viewPath(state))];
}

function isReadable(file: string): boolean {
  try {
    fs.closeSync(fs.openSync(file, 'r'));
    return true;
  } catch (error) {
    if (REASONS.some((code) => hasCode(error, code))) return false;
    throw error;
  }
}
