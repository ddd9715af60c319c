import fs from 'node:fs';
import { readVolume } from './tagged-source.ts';
import type { MountContext } from './context.ts';
import type { DriverFamily } from './file-system-options.ts';
import { matchesTypeList } from './type-list.ts';

/** Names under which people ask for FAT: Linux has msdos and vfat, FreeBSD msdosfs, OpenBSD msdos. */
const FAT_NAMES = ['vfat', 'msdos', 'fat', 'msdosfs', 'fat12', 'fat16', 'fat32'];
const EXT_NAMES = ['ext2', 'ext3', 'ext4'];

/** The driver of ours for a type as it is asked for by `-t`; undefined when there is none. */
export function driverOf(type: string): DriverFamily | undefined {
  if (FAT_NAMES.includes(type)) return 'fat';
  return EXT_NAMES.includes(type) || type === 'ext' ? 'ext' : undefined;
}

/** Every name by which a file system that a driver of ours has found may be asked for. */
export function namesOfVolume(type: string): readonly string[] {
  return type.startsWith('fat') ? FAT_NAMES : [type];
}

/** The type, when it is one and not a list or `auto`. */
export function singleType(types: string | undefined): string | undefined {
  return types === 'auto' || types?.includes(',') === true || types?.startsWith('no') === true
    ? undefined
    : types;
}

/** The types that the kernel can mount from a block device, those in modules not counted. */
export function kernelBlockTypes(): string[] {
  return kernelTypes()
    .filter(([flag]) => flag !== 'nodev')
    .map(([, name]) => name)
    .filter((name) => name !== 'fuseblk');
}

/** Types without a device: tmpfs, proc and so on. */
export function isDevicelessType(type: string): boolean {
  return kernelTypes().some(([flag, name]) => flag === 'nodev' && name === type);
}

function kernelTypes(): (readonly [flag: string, name: string])[] {
  const file = '/proc/filesystems';
  if (!fs.existsSync(file)) return [];
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'))
    .map(([flag = '', name = '']) => [flag, name] as const);
}

/**
 * The types to try on a device, best first: what `-t` says, narrowed by what is there. Types of ours are named as the kernel names
 * them.
 */
export function typesToTry(context: MountContext, device: string, types: string | undefined): string[] {
  const single = singleType(types);
  if (single !== undefined) return [driverOf(single) === 'fat' && single !== 'msdos' ? 'vfat' : single];
  const list = types === 'auto' ? undefined : types;
  const volume = readVolume(context, device);
  if (volume !== undefined) {
    const names = namesOfVolume(volume.type);
    const fits = list === undefined || names.some((name) => matchesTypeList(name, list));
    if (fits) return [volume.type.startsWith('fat') ? 'vfat' : volume.type];
    if (list !== undefined && !list.startsWith('no'))
      return list.split(',').filter((name) => name !== 'auto');
    return [];
  }
  return kernelBlockTypes().filter((name) => list === undefined || matchesTypeList(name, list));
}
