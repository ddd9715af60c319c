import fs from 'node:fs';
import {
  type BlockDevice,
  type Extent,
  type FileRange,
  checkRange,
  checkWritable,
} from '../device/block-device.ts';
import { isZero } from '../bytes/is-zero.ts';
import { FsError } from '../errors.ts';
import { nativeFileOperations } from './native-file.ts';

export interface FileDeviceOptions {
  readonly readOnly?: boolean;
  /** Logical sector, bytes. Default 512. */
  readonly sectorSize?: number;
}

const ZEROS = new Uint8Array(1 << 20);
const LOOK_LENGTH = 4 << 20;

/** A file, or a block special file, as a device. Its size is taken when it is opened. */
export class FileDevice implements BlockDevice {
  readonly path: string;
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly #fd: number;
  readonly #regular: boolean;
  #closed = false;

  private constructor(path: string, fd: number, size: number, regular: boolean, options: FileDeviceOptions) {
    this.path = path;
    this.#fd = fd;
    this.size = size;
    this.#regular = regular;
    this.sectorSize = options.sectorSize ?? 512;
    this.readOnly = options.readOnly ?? false;
  }

  /** Opens an existing file. Errors are node's own (ENOENT, EACCES, …); EISDIR and EINVAL for what cannot be a device. */
  static open(path: string, options: FileDeviceOptions = {}): FileDevice {
    const fd = fs.openSync(path, options.readOnly === true ? 'r' : 'r+');
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
      const size = stats.isFile() ? stats.size : blockDeviceSize(fd);
      return new FileDevice(path, fd, size, stats.isFile(), options);
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
    const fd = fs.openSync(path, options.overwrite === true ? 'w+' : 'wx+');
    try {
      fs.ftruncateSync(fd, size);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    return new FileDevice(path, fd, size, true, options);
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    for (let done = 0; done < into.length;) {
      const count = fs.readSync(this.#fd, into, done, into.length - done, offset + done);
      if (count === 0) {
        throw new FsError('EIO', {
          syscall: 'read',
          path: this.path,
          detail: `the file ends at byte ${offset + done}, it had ${this.size} bytes when it was opened`,
        });
      }
      done += count;
    }
  }

  write(offset: number, from: Uint8Array): void {
    checkWritable(this, 'write');
    checkRange(this, 'write', offset, from.length);
    for (let done = 0; done < from.length;) {
      done += fs.writeSync(this.#fd, from, done, from.length - done, offset + done);
    }
  }

  /** Punches a hole where the host can; elsewhere writes zeros, but only over what is not zero yet. */
  zero(offset: number, length: number): void {
    checkWritable(this, 'zero');
    checkRange(this, 'zero', offset, length);
    if (length === 0) return;
    // Most of what is zeroed is zero already: then nothing is to be done, and nothing is done. Where it is little,
    // looking at it costs less than loading the native calls that know the holes.
    if (length <= LOOK_LENGTH && this.#readsAsZero(offset, length)) return;
    for (const extent of this.extents(offset, length)) {
      if (extent.kind === 'data') this.#zeroData(extent.offset, extent.length);
    }
  }

  discard(offset: number, length: number): void {
    this.zero(offset, length);
  }

  *extents(offset: number, length: number): Iterable<Extent> {
    checkRange(this, 'extents', offset, length);
    if (length === 0) return;
    // A fresh sparse file is one hole: that needs no native call, and most formatting starts from one.
    if (this.#regular && fs.fstatSync(this.#fd).blocks === 0) {
      yield { offset, length, kind: 'hole' };
      return;
    }
    const native = this.#regular ? nativeFileOperations() : undefined;
    if (native === undefined) {
      yield { offset, length, kind: 'data' };
      return;
    }
    const end = offset + length;
    for (let at = offset; at < end;) {
      const data = Math.min(native.seekData(this.#fd, at) ?? end, end);
      if (data > at) yield { offset: at, length: data - at, kind: 'hole' };
      if (data >= end) return;
      const hole = Math.min(native.seekHole(this.#fd, data) ?? end, end);
      yield { offset: data, length: hole - data, kind: 'data' };
      at = hole;
    }
  }

  fileRange(): FileRange {
    return { fd: this.#fd, offset: 0 };
  }

  flush(): void {
    if (!this.readOnly) fs.fsyncSync(this.#fd);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    fs.closeSync(this.#fd);
  }

  #readsAsZero(offset: number, length: number): boolean {
    const scratch = new Uint8Array(Math.min(length, ZEROS.length));
    for (let done = 0; done < length; done += ZEROS.length) {
      const part = scratch.subarray(0, Math.min(ZEROS.length, length - done));
      this.read(offset + done, part);
      if (!isZero(part)) return false;
    }
    return true;
  }

  #zeroData(offset: number, length: number): void {
    if (
      this.#regular &&
      length >= 4096 &&
      nativeFileOperations()?.punchHole(this.#fd, offset, length) === true
    )
      return;
    const scratch = new Uint8Array(Math.min(length, ZEROS.length));
    for (let done = 0; done < length; done += ZEROS.length) {
      const part = scratch.subarray(0, Math.min(ZEROS.length, length - done));
      this.read(offset + done, part);
      if (!isZero(part)) this.write(offset + done, ZEROS.subarray(0, part.length));
    }
  }
}

/** Node has no BLKGETSIZE64; the end of the device is where reading one more byte gives none. */
function blockDeviceSize(fd: number): number {
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
