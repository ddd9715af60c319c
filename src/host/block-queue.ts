import fs from 'node:fs';
import { hasCode } from '../errors.ts';

/** What sysfs tells of block devices (Documentation/ABI/stable/sysfs-block): it needs no native call. Everything is undefined where there is no sysfs. */

/** Sizes are told in these, whatever the sectors of the device are. Bytes. */
const SYSFS_SECTOR = 512;

/** Bytes of the device, or of the partition, of that st_rdev. */
export function sysfsDeviceSize(device: number): number | undefined {
  const sectors = attribute(device, 'size');
  return sectors === undefined ? undefined : sectors * SYSFS_SECTOR;
}

/** Logical sector, bytes, of the device of that st_rdev; that of a partition is the one of its disk. */
export function sysfsSectorSize(device: number): number | undefined {
  return attribute(device, 'queue/logical_block_size') ?? attribute(device, '../queue/logical_block_size');
}

/** Whether each write to the device of that st_rdev is refused: the kernel lets it be opened for writing all the same. */
export function isReadOnlyDevice(device: number): boolean {
  return attribute(device, 'ro') === 1;
}

/** A dev_t as glibc packs it (gnu_dev_major, gnu_dev_minor); what Linux has fits in 32 bits. */
export function formatDeviceNumber(device: number): string {
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return `${major}:${minor}`;
}

function attribute(device: number, name: string): number | undefined {
  try {
    const text = fs.readFileSync(`/sys/dev/block/${formatDeviceNumber(device)}/${name}`, 'latin1');
    const value = Number(text);
    return text !== '' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'ENODEV'].some((code) => hasCode(error, code))) return undefined;
    throw error;
  }
}
