import fs from 'node:fs';
import type { BlockDevice, Extent, FileRange } from '../device/block-device.ts';
import { FsError } from '../errors.ts';
import { sysfsDeviceSize, sysfsSectorSize } from './block-queue.ts';
import { DescriptorDevice } from './descriptor-device.ts';
import { requireUtf8Path } from './host-text.ts';
import { nativeFileOperations } from './native-file.ts';

export interface FileDeviceOptions {
  readonly readOnly?: boolean;
  /** Logical sector, bytes. Default: what a block device tells of itself, 512 for a file. */
  readonly sectorSize?: number;
}

/** A file, or a block special file, as a device. Its size is taken when it is opened. */
export class FileDevice implements BlockDevice {
  readonly path: string;
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly #fd: number;
  readonly #content: DescriptorDevice;
  #closed = false;

  private constructor(path: string, fd: number, size: number, options: FileDeviceOptions) {
    this.path = path;
    this.#fd = fd;
    this.size = size;
    this.sectorSize = options.sectorSize ?? 512;
    this.readOnly = options.readOnly ?? false;
    const { sectorSize, readOnly } = this;
    this.#content = new DescriptorDevice(fd, { path, offset: 0, sectorSize, readOnly, size: () => size });
  }

  /** Opens an existing file. Errors are node's own (ENOENT, EACCES, …); EISDIR and EINVAL for what cannot be a device. */
  static open(path: string, options: FileDeviceOptions = {}): FileDevice {
    requireUtf8Path(path);
    const { O_NONBLOCK, O_RDONLY, O_RDWR } = fs.constants;
    // Not waiting: to open a FIFO for reading takes until somebody writes to it. Files and block devices know no difference.
    const fd = fs.openSync(path, options.readOnly === true ? O_RDONLY | O_NONBLOCK : O_RDWR);
    try {
      const stats = fs.fstatSync(fd);
      if (stats.isDirectory()) throw new FsError('EISDIR', { syscall: 'open', path });
      if (!stats.isFile() && !stats.isBlockDevice()) {
        throw new FsError('EINVAL', {
          syscall: 'open',
          path,
          detail: 'neither a regular file nor a block device',
        });
      }
      if (stats.isFile()) return new FileDevice(path, fd, stats.size, options);
      const sectorSize = options.sectorSize ?? sysfsSectorSize(stats.rdev) ?? 512;
      return new FileDevice(path, fd, blockDeviceSize(fd), { ...options, sectorSize });
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  }

  /** Makes a new sparse file of `size` bytes; EEXIST when it is there and `overwrite` is not set. */
  static create(
    path: string,
    size: number,
    options: FileDeviceOptions & { overwrite?: boolean } = {},
  ): FileDevice {
    requireUtf8Path(path);
    const fd = fs.openSync(path, options.overwrite === true ? 'w+' : 'wx+');
    try {
      fs.ftruncateSync(fd, size);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    return new FileDevice(path, fd, size, options);
  }

  read(offset: number, into: Uint8Array): void {
    this.#content.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    this.#content.write(offset, from);
  }

  /** Punches a hole where the host can; elsewhere writes zeros, but only over what is not zero yet. */
  zero(offset: number, length: number): void {
    this.#content.zero(offset, length);
  }

  discard(offset: number, length: number): void {
    this.#content.zero(offset, length);
  }

  extents(offset: number, length: number): Iterable<Extent> {
    return this.#content.extents(offset, length);
  }

  fileRange(): FileRange {
    return this.#content.fileRange();
  }

  flush(): void {
    this.#content.flush();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    fs.closeSync(this.#fd);
  }
}

/** Node has no BLKGETSIZE64. Where sysfs does not tell: the end of the device is where reading one more byte gives none. */
export function blockDeviceSize(fd: number): number {
  const told = sysfsDeviceSize(fs.fstatSync(fd).rdev);
  if (told !== undefined) return told;
  const native = nativeFileOperations();
  const end = native?.seekEnd(fd);
  if (end !== undefined) return end;
  const probe = new Uint8Array(1);
  let low = 0;
  let high = 512;
  while (fs.readSync(fd, probe, 0, 1, high - 1) === 1) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const middle = low + Math.floor((high - low) / 2);
    if (fs.readSync(fd, probe, 0, 1, middle - 1) === 1) low = middle;
    else high = middle;
  }
  return low;
}
