import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { encodeUtf8 } from '../bytes/utf8.ts';
import { randomUuid } from '../bytes/uuid.ts';
import type { BlockDevice } from '../device/block-device.ts';
import { formatExt } from '../filesystem/ext/format/format.ts';
import { formatFat } from '../filesystem/fat/format.ts';
import { FileDevice } from './file-device.ts';
import { systemClock, systemRandom, systemUtcOffsetMinutes } from './system.ts';

/** The file systems that can be made. */
export type Format = 'ext2' | 'ext3' | 'ext4' | 'fat12' | 'fat16' | 'fat32';

export interface FormatDeviceOptions {
  readonly label?: string;
}

export interface CreateImageOptions extends FormatDeviceOptions {
  /** Makes this file system over the whole image. Default: nothing is in it but zeros. */
  readonly format?: Format;
  /** Replace a file that is there. Default false: EEXIST. */
  readonly overwrite?: boolean;
}

/**
 * Makes a sparse image file of `size` bytes, on request with a file system over all of it.
 *
 * @example
 * ```ts
 * import { createImage, openImage } from 'userloop';
 *
 * createImage('disk.img', 64 * 1024 * 1024, { format: 'ext2', label: 'root' });
 * using image = openImage('disk.img');
 * console.log(image.fileSystem().usage().freeBlocks);
 * ```
 */
export function createImage(file: string | URL, size: number, options: CreateImageOptions = {}): void {
  const path = typeof file === 'string' ? file : fileURLToPath(file);
  const wasThere = fs.existsSync(path);
  const device = FileDevice.create(path, size, { overwrite: options.overwrite ?? false });
  try {
    if (options.format !== undefined) formatDevice(device, options.format, options);
  } catch (error) {
    // A file that is no image yet is of no use to anybody.
    if (!wasThere) fs.unlinkSync(path);
    throw error;
  } finally {
    device.close();
  }
}

/**
 * Makes an empty file system on a device, as the classic tool does by default, with a random UUID or serial number and
 * the machine's time. `formatFat` and `formatExt` take every parameter, and give the same bytes for the same parameters.
 *
 * @example
 * ```ts
 * import { formatDevice, MemoryDevice, openFileSystem } from 'userloop';
 *
 * const device = new MemoryDevice(1440 * 1024);
 * formatDevice(device, 'fat12', { label: 'FLOPPY' });
 * console.log(openFileSystem(device).label); // FLOPPY
 * ```
 */
export function formatDevice(device: BlockDevice, format: Format, options: FormatDeviceOptions = {}): void {
  const label = options.label;
  if (format === 'ext2' || format === 'ext3' || format === 'ext4') {
    formatExt(device, {
      type: format,
      uuid: randomUuid(systemRandom),
      hashSeed: randomUuid(systemRandom),
      now: systemClock(),
      ...(label === undefined ? {} : { label: encodeUtf8(label) }),
    });
    return;
  }
  const serial = new Uint32Array(1);
  systemRandom(new Uint8Array(serial.buffer));
  formatFat(device, {
    fatBits: format === 'fat12' ? 12 : format === 'fat16' ? 16 : 32,
    volumeId: serial[0]!,
    created: systemClock(),
    utcOffsetMinutes: systemUtcOffsetMinutes(),
    ...(label === undefined ? {} : { label }),
  });
}
