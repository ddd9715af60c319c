import type { BlockDevice } from '../device/block-device.ts';
import { UnsupportedError } from '../errors.ts';
import { extDriver } from './ext/driver.ts';
import { fatDriver } from './fat/driver.ts';
import type { FileSystem, FileSystemDriver, OpenOptions } from './file-system.ts';

/** Every driver, in the order in which they are asked. ext first: mke2fs leaves byte 510 of a former FAT volume alone. */
export const DRIVERS: readonly FileSystemDriver[] = [extDriver, fatDriver];

/** The driver that knows what is on the device, or undefined. */
export function probeFileSystem(device: BlockDevice): FileSystemDriver | undefined {
  return DRIVERS.find((driver) => driver.probe(device));
}

/** Opens whatever file system is on the device; UnsupportedError when there is none that we know. */
export function openFileSystem(device: BlockDevice, options: OpenOptions = {}): FileSystem {
  const driver = probeFileSystem(device);
  if (driver === undefined) {
    throw new UnsupportedError(
      'No file system that userloop knows (FAT12, FAT16, FAT32, ext2, ext3, ext4) is here',
    );
  }
  return driver.open(device, options);
}
