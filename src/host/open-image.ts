import { fileURLToPath } from 'node:url';
import type { Clock } from '../bytes/time.ts';
import type { BlockDevice } from '../device/block-device.ts';
import { DiskImage } from '../disk/disk-image.ts';
import { FileDevice } from './file-device.ts';
import { systemClock, systemUtcOffsetMinutes } from './system.ts';

export interface OpenImageOptions {
  /** Write nothing. Default false for files, as the device says for devices. */
  readonly readOnly?: boolean;
  /** Logical sector of a file, bytes. Default 512. */
  readonly sectorSize?: number;
  /** Tells the time of changes. Default: the machine's clock. */
  readonly clock?: Clock;
  /** Minutes east of UTC of the local time in which FAT keeps its times. Default: the machine's time zone. */
  readonly utcOffsetMinutes?: number;
}

/**
 * Opens a disk image: its partitions and the file systems on it.
 *
 * A file is closed with the image; a device stays open, since it belongs to the caller. Whoever writes must close the image, or let
 * `using` do it: only then everything is in the file.
 *
 * @example
 * ```ts
 * import { createImage, nodeFs, openImage } from 'userloop';
 *
 * createImage('floppy.img', 1440 * 1024, { format: 'fat12', label: 'BOOT' });
 * {
 *   using image = openImage('floppy.img');
 *   nodeFs(image.fileSystem()).writeFileSync('/hello.txt', 'Hello from inside\n');
 * }
 * using image = openImage('floppy.img', { readOnly: true });
 * const fileSystem = image.fileSystem();
 * console.log(fileSystem.type, fileSystem.label); // fat12 BOOT
 * console.log(nodeFs(fileSystem).readFileSync('/hello.txt', 'utf8'));
 * ```
 */
export function openImage(image: string | URL | BlockDevice, options: OpenImageOptions = {}): DiskImage {
  const isFile = typeof image === 'string' || image instanceof URL;
  const device = isFile ? openFile(image, options) : image;
  try {
    return DiskImage.open(device, {
      ...(options.readOnly === undefined ? {} : { readOnly: options.readOnly }),
      clock: options.clock ?? systemClock,
      utcOffsetMinutes: options.utcOffsetMinutes ?? systemUtcOffsetMinutes(),
      closeDevice: isFile,
    });
  } catch (error) {
    if (isFile) device.close();
    throw error;
  }
}

function openFile(file: string | URL, { readOnly, sectorSize }: OpenImageOptions): FileDevice {
  return FileDevice.open(typeof file === 'string' ? file : fileURLToPath(file), {
    ...(readOnly === undefined ? {} : { readOnly }),
    ...(sectorSize === undefined ? {} : { sectorSize }),
  });
}
