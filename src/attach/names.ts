import fs from 'node:fs';
import type { DeviceFamily } from '../disk/device-views.ts';
import { FsError } from '../errors.ts';
import { readMountTable } from '../host/mount-table.ts';
import { deviceNames } from './device-names.ts';
import { forgetPreparedFolder, isOwned, type OwnerRecord, sweep, takeName } from './device-folder.ts';
import { cleanUpDevice } from './stale-device.ts';

/** As many loop devices are possible in Linux: 20 bits of minor numbers. */
const UNIT_COUNT = 1 << 20;

/**
 * Takes the name of that unit, or the first that is free; returns the unit. EBUSY when the wanted one is taken. As many
 * processes as want may do this at the same moment: each gets a name of its own. What dead processes left, of whatever name, is cleaned up.
 */
export function reserveName(
  runtime: string,
  family: DeviceFamily,
  wanted: number | undefined,
  owner: OwnerRecord,
): number {
  sweep(runtime);
  for (const name of deviceNames(runtime)) isTaken(runtime, name);
  if (wanted !== undefined) {
    const name = `${family}${wanted}`;
    // Over the kernel's own device of that name (a mount of what the kernel has no driver for) both names mean the same.
    const isFree = !usedByKernel(family, wanted) || owner.image === `/dev/${name}`;
    if (isFree && tryName(runtime, name, owner)) return wanted;
    forgetPreparedFolder(runtime, owner);
    throw new FsError('EBUSY', { detail: `${name} is in use`, path: name });
  }
  for (let unit = 0; unit < UNIT_COUNT; unit++) {
    if (!usedByKernel(family, unit) && tryName(runtime, `${family}${unit}`, owner)) return unit;
  }
  forgetPreparedFolder(runtime, owner);
  throw new FsError('ENODEV', { detail: `all ${UNIT_COUNT} names ${family}N are in use` });
}

/** The unit that the next device would get. */
export function firstFreeUnit(runtime: string, family: DeviceFamily): number {
  for (let unit = 0; unit < UNIT_COUNT; unit++) {
    if (!usedByKernel(family, unit) && !isTaken(runtime, `${family}${unit}`)) return unit;
  }
  throw new FsError('ENODEV', { detail: `all ${UNIT_COUNT} names ${family}N are in use` });
}

function tryName(runtime: string, name: string, owner: OwnerRecord): boolean {
  return !isTaken(runtime, name) && takeName(runtime, name, owner);
}

/** Cleans up on the way, so that what is not taken can be. */
function isTaken(runtime: string, name: string): boolean {
  const folder = `${runtime}/${name}`;
  if (!fs.existsSync(folder)) return false;
  if (!isOwned(folder)) cleanUpDevice(runtime, name);
  return fs.existsSync(folder);
}

/**
 * Whether the kernel's own loop device of that number is set up, and has that name here. In `userloop shell` it has not, unless it is mounted
 * where that could not be hidden: then many a program would take ours for mounted.
 */
function usedByKernel(family: DeviceFamily, unit: number): boolean {
  if (family !== 'loop' || !fs.existsSync(`/sys/block/loop${unit}/loop`)) return false;
  const device = `/dev/loop${unit}`;
  if (fs.lstatSync(device, { throwIfNoEntry: false })?.isBlockDevice() === true) return true;
  return readMountTable().some(({ source }) => source === device || source.startsWith(`${device}p`));
}
