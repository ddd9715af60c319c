import fs from 'node:fs';
import { decodeUtf8 } from '../bytes/utf8.ts';
import { hasCode } from '../errors.ts';
import { formatDeviceNumber } from '../host/block-queue.ts';
import { hostText } from '../host/host-text.ts';
import { type MountTableEntry, readMountTable } from '../host/mount-table.ts';
import { nativeLoopOperations } from '../host/native-loop.ts';
import type { DeviceState, MountState, ViewState } from './device-state.ts';

/** Where the kernel tells of its block devices (sysfs(5), Documentation/ABI/stable/sysfs-block). */
const BLOCK = '/sys/block';
/** Linux tells sizes in these whatever the sectors of the device are, bytes. */
const SYSFS_SECTOR = 512;

/** The kernel's loop devices that are attached, by unit. Needs neither root nor native calls; empty where there is no sysfs. */
export function listKernelLoops(): DeviceState[] {
  const mounts = readMountTable();
  return loopUnits()
    .map((unit) => kernelLoopState(unit, mounts))
    .filter((state) => state !== undefined);
}

/** All units that the kernel has, attached or not, in order. */
export function loopUnits(): number[] {
  return entries(BLOCK)
    .map((name) => /^loop(\d+)$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** The unit of a path that is, or in /dev would be, one of the kernel's loop devices as a whole. */
export function kernelUnitOf(path: string): number | undefined {
  const stats = fs.statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    const digits = /^\/dev\/loop(0|[1-9]\d{0,6})$/.exec(path)?.[1];
    return digits === undefined ? undefined : Number(digits);
  }
  if (!stats.isBlockDevice()) return undefined;
  const numbers = formatDeviceNumber(stats.rdev);
  const name = /^\/dev\/(loop\d+)$/.exec(path)?.[1] ?? nameOf(numbers);
  const unit = /^loop(\d+)$/.exec(name ?? '')?.[1];
  return unit !== undefined && attribute(`${BLOCK}/${name}/dev`) === numbers ? Number(unit) : undefined;
}

/** The kernel's name of the block device of that number. */
function nameOf(numbers: string): string | undefined {
  try {
    return fs.readlinkSync(`/sys/dev/block/${numbers}`).split('/').at(-1);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** What the kernel tells of a loop device to which nothing is attached. */
export function freeKernelLoop(unit: number): {
  readonly readOnly: boolean;
  /** Bytes. */
  readonly sectorSize: number;
  readonly takesPartitions: boolean;
} {
  const folder = `${BLOCK}/loop${unit}`;
  return {
    readOnly: number(`${folder}/ro`) !== 0,
    sectorSize: number(`${folder}/queue/logical_block_size`) || 512,
    takesPartitions: number(`${folder}/ext_range`) > 1,
  };
}

/** One device; undefined when nothing is attached to it. */
export function kernelLoopState(
  unit: number,
  mounts: readonly MountTableEntry[] = readMountTable(),
): DeviceState | undefined {
  const name = `loop${unit}`;
  const folder = `${BLOCK}/${name}`;
  const image = attribute(`${folder}/loop/backing_file`);
  if (image === undefined) return undefined;
  const size = number(`${folder}/size`) * SYSFS_SECTOR;
  const { device: imageDevice, inode: imageInode } = imageIdentity(unit, image);
  const partitions = entries(folder)
    .filter((entry) => entry.startsWith(`${name}p`))
    .map((entry) => partitionView(folder, entry))
    .sort((a, b) => (a.partition ?? 0) - (b.partition ?? 0));
  const views = [{ name, offset: 0, size }, ...partitions];
  return {
    name,
    family: 'loop',
    unit,
    backend: 'kernel',
    pid: 0,
    startTime: '',
    image,
    imageDevice,
    imageInode,
    source: 'vnode',
    offset: number(`${folder}/loop/offset`),
    sizeLimit: number(`${folder}/loop/sizelimit`),
    size,
    sectorSize: number(`${folder}/queue/logical_block_size`) || 512,
    readOnly: number(`${folder}/ro`) !== 0,
    autoclear: number(`${folder}/loop/autoclear`) !== 0,
    partitionScan: number(`${folder}/loop/partscan`) !== 0,
    directIo: number(`${folder}/loop/dio`) !== 0,
    views,
    folder: '/dev',
    mounts: mountsOf(folder, views, mounts),
    // The driver clears a device with this flag when the last who has it open closes it; whoever asked for that, it looks the same.
    detaching: false,
  };
}

function partitionView(folder: string, name: string): ViewState {
  return {
    name,
    partition: number(`${folder}/${name}/partition`),
    offset: number(`${folder}/${name}/start`) * SYSFS_SECTOR,
    size: number(`${folder}/${name}/size`) * SYSFS_SECTOR,
  };
}

/** The kernel's own mounts show the device's number, those of a process of ours its path. */
function mountsOf(
  folder: string,
  views: readonly ViewState[],
  mounts: readonly MountTableEntry[],
): MountState[] {
  const found: MountState[] = [];
  if (mounts.length === 0) return found;
  for (const view of views) {
    const path = `/dev/${view.name}`;
    const number = attribute(view.partition === undefined ? `${folder}/dev` : `${folder}/${view.name}/dev`);
    for (const entry of mounts) {
      if (entry.device !== number && entry.source !== path) continue;
      const options = entry.options.split(',');
      found.push({
        directory: entry.directory,
        source: entry.source,
        type: entry.type.replace(/^fuse\./, ''),
        view: view.name,
        readOnly: options.includes('ro'),
        options: entry.options,
        uid: 0,
      });
    }
  }
  return found;
}

/** By the path where it leads to the file still, else by asking the driver, which only root may. */
function imageIdentity(unit: number, image: string): { readonly device: string; readonly inode: string } {
  const stats = statusOf(image);
  if (stats !== undefined) return { device: `${stats.dev}`, inode: `${stats.ino}` };
  const unknown = { device: '', inode: '' };
  if (process.geteuid?.() !== 0) return unknown;
  try {
    const fd = fs.openSync(`/dev/loop${unit}`, 'r');
    try {
      const status = nativeLoopOperations()?.status(fd);
      return status === undefined
        ? unknown
        : { device: `${status.imageDevice}`, inode: `${status.imageInode}` };
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    // It may have been detached in between; then there is nothing to tell.
    if (error instanceof Error && 'syscall' in error) return unknown;
    throw error;
  }
}

/** Undefined when it is not there any more, or lies where we may not look. */
function statusOf(file: string): fs.BigIntStats | undefined {
  try {
    return fs.statSync(hostText(file), { bigint: true });
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) return undefined;
    throw error;
  }
}

/** The text without its newline; undefined when there is none, or none any more. */
function attribute(path: string): string | undefined {
  try {
    const bytes = fs.readFileSync(path);
    return decodeUtf8(bytes, 0, bytes.at(-1) === 0x0a ? bytes.length - 1 : bytes.length);
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENODEV') || hasCode(error, 'ENXIO')) return undefined;
    throw error;
  }
}

function number(path: string): number {
  return Number(attribute(path) ?? 0);
}

function entries(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'EACCES')) return [];
    throw error;
  }
}
