import fs from 'node:fs';
import path from 'node:path';
import { listDevices, viewPath } from '../../../attach/registry.ts';
import { type FsError, hasCode } from '../../../errors.ts';
import { isNbdUri } from '../../../host/nbd-uri.ts';
import { PRIMARY_LBA, isFault, readHeader } from '../../../partition/gpt-header.ts';
import { GPT_PROTECTIVE_TYPE, MAX_MBR_SECTORS } from '../../../partition/mbr-type.ts';
import { type DeviceLock, lockDevice } from '../../device-lock.ts';
import type { Io } from '../../io.ts';
import { findAttached, mountsOf } from '../../open-device.ts';
import { refuseInUse } from '../../device-use.ts';
import { Disk, type DiskOptions } from './disk.ts';
import { usedPartitions } from './listing.ts';
import { failureText, openFailure } from './open-failure.ts';
import { requireWritable } from './writability.ts';

/** Opens a disk to look at it; undefined after it was said why not. */
export function openForReading(io: Io, name: string, options: DiskOptions): Disk | undefined {
  return saying(io, name, () => Disk.open(io, name, { ...options, readOnly: true }));
}

export interface OpenedDisk {
  readonly disk: Disk;
  /** What is said before the first question. */
  readonly warnings: readonly string[];
}

/**
 * Opens a disk to edit it; undefined after it was said why not: one that is busy or cannot be written is not worth a question. The tool shows the
 * latter and refuses to write in the end.
 */
export function openForEditing(
  io: Io,
  name: string,
  options: DiskOptions,
  lockMode?: string,
): OpenedDisk | undefined {
  return saying(io, name, () => {
    const use = deviceUse(io, name);
    requireWritable(io, name);
    // Before the table is read: it may be another one by the time the lock is had.
    const lock = lockDevice(io, name, { program: 'fdisk', mode: lockMode });
    if (lock === undefined) return undefined;
    const disk = openLocked(io, name, options, lock);
    // Not a part of the conversation, which goes as the tool's does.
    const shrunk = explainShrunk(disk);
    if (shrunk !== undefined) io.stderr.write(`${shrunk}\n`);
    return { disk, warnings: use === undefined ? [] : [IN_USE] };
  });
}

function openLocked(io: Io, name: string, options: DiskOptions, lock: DeviceLock | 'none'): Disk {
  if (lock === 'none') return Disk.open(io, name, options);
  try {
    return Disk.open(io, name, { ...options, lock });
  } catch (error) {
    lock.close();
    throw error;
  }
}

/**
 * Why the device is in use; undefined where it is not. EBUSY for a file that is behind a loop device or locked: of a device with something mounted the
 * tool only warns.
 */
export function deviceUse(io: Io, name: string): string | undefined {
  const attached = findAttached(io, name);
  if (attached !== undefined) {
    const [mount] = mountsOf(attached);
    return mount && `${mount.source} is mounted on ${mount.directory}; unmount it first`;
  }
  if (isNbdUri(name)) return undefined;
  try {
    refuseInUse(io, name);
    return undefined;
  } catch (error) {
    const isDevice = fs.statSync(path.resolve(io.cwd, name), { throwIfNoEntry: false })?.isBlockDevice();
    if (isDevice === true && hasCode(error, 'EBUSY')) return (error as FsError).detail;
    throw error;
  }
}

const IN_USE =
  'This disk is currently in use - repartitioning is probably a bad idea.\n' +
  "It's recommended to umount all file systems, and swapoff all swap\npartitions on this disk.\n";

function saying<T>(io: Io, name: string, open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    const lines = openFailure(name, error);
    if (lines === undefined) throw error;
    for (const line of lines) io.stderr.write(`fdisk: ${line}\n`);
    return undefined;
  }
}

/** A table that names sectors which the image has not: it was longer once. util-linux says nothing of that. */
export function explainShrunk(disk: Disk): string | undefined {
  const { sectorCount } = disk.layout;
  const unreadable = lastSectorOfGpt(disk);
  const last = Math.max(lastSector(disk), unreadable ?? -1);
  if (last < sectorCount) return undefined;
  const advice =
    unreadable === undefined
      ? ''
      : `; its GPT cannot be used as it is, see "userloop inspect --repair ${disk.name}"`;
  return `fdisk: ${disk.name}: the table names sectors up to ${last}, the disk ends with sector ${sectorCount - 1}: it was longer when it was partitioned${advice}`;
}

/** The last sector that a partition has; -1 where there is none. */
function lastSector(disk: Disk): number {
  const ends = usedPartitions(disk)
    .filter((partition) => partition.sectorCount > 0)
    // Of a protective entry for a disk that is too large for it nothing can be told.
    .filter((partition) => !('entry' in partition && partition.sectorCount === MAX_MBR_SECTORS))
    // The one that stands for the whole disk is rounded up to whole cylinders.
    .filter(({ index }) => disk.bsd === undefined || !RAW_PARTITIONS.includes(index));
  const last = Math.max(-1, ...ends.map(({ endSector }) => endSector));
  // In a partition that was copied out of its disk the label still counts from the start of that disk; c stands for the partition.
  const slice = disk.bsd?.partitions.find(({ index }) => index === RAW_PARTITIONS[0]);
  return last - (slice?.startSector ?? 0);
}

/** c and d of a BSD disklabel: the partition that it is in, and the disk. */
const RAW_PARTITIONS: readonly number[] = [2, 3];

/** The last usable sector of a GPT that is whole but for that the disk ends before it; such a disk is taken for one with an MBR. */
function lastSectorOfGpt(disk: Disk): number | undefined {
  if (disk.editor?.partitions.some(({ entry }) => entry.type === GPT_PROTECTIVE_TYPE) !== true)
    return undefined;
  const { sectorSize, sectorCount } = disk.layout;
  if (sectorCount < 3) return undefined;
  const header = readHeader(disk.device, PRIMARY_LBA, sectorSize);
  if (!isFault(header) || header.field !== 'LastUsableLBA') return undefined;
  const last = Number(header.found);
  return last >= sectorCount ? last : undefined;
}

/** What `-l` shows without a name: the disks of the kernel that can be opened, and those that are attached. */
export function allDisks(io: Io): string[] {
  return [...kernelDisks().filter(isReadable), ...listDevices(io.env).map((state) => viewPath(state))];
}

/** The disks of the kernel in its own order, without RAM disks; none where there is no /proc. */
export function kernelDisks(): string[] {
  const names: string[] = [];
  try {
    for (const line of fs.readFileSync('/proc/partitions', 'utf8').split('\n')) {
      const name = /^\s*\d+\s+\d+\s+\d+\s+(\S+)$/.exec(line)?.[1];
      const isWhole = name !== undefined && fs.existsSync(`/sys/block/${name.replaceAll('/', '!')}`);
      if (isWhole && !name.startsWith('ram')) names.push(`/dev/${name}`);
    }
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  return names;
}

function isReadable(file: string): boolean {
  try {
    fs.closeSync(fs.openSync(file, 'r'));
    return true;
  } catch (error) {
    if (failureText(error) !== undefined) return false;
    throw error;
  }
}
