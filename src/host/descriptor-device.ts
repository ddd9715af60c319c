import fs from 'node:fs';
import { isZero } from '../bytes/is-zero.ts';
import {
  type BlockDevice,
  type Extent,
  type FileRange,
  checkRange,
  checkWritable,
} from '../device/block-device.ts';
import { FsError } from '../errors.ts';
import { nativeFileOperations } from './native-file.ts';

export interface DescriptorDeviceOptions {
  /** For messages. */
  readonly path: string;
  /** Bytes into the file at which the device starts. */
  readonly offset: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  /** Asked each time: a device may grow. */
  readonly size: () => number;
}

const ZEROS = new Uint8Array(1 << 20);
/** Up to this length it is cheaper to look whether a range is zero already than to load what knows the holes. */
const LOOK_LENGTH = 4 << 20;
/** Below this a hole is not worth its call, bytes. Block devices punch in multiples of it. */
const PUNCH_UNIT = 4096;

/** A range of a file that is open already. Closing it leaves the descriptor open: that belongs to whoever gave it. */
export class DescriptorDevice implements BlockDevice {
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly #fd: number;
  readonly #path: string;
  readonly #start: number;
  readonly #size: () => number;
  /** A regular file may have holes. */
  readonly #regular: boolean;
  /** Ranges can be made zero without writing. */
  readonly #punches: boolean;

  constructor(fd: number, options: DescriptorDeviceOptions) {
    this.#fd = fd;
    this.#path = options.path;
    this.#start = options.offset;
    this.#size = options.size;
    this.sectorSize = options.sectorSize;
    this.readOnly = options.readOnly;
    const stats = fs.fstatSync(fd);
    this.#regular = stats.isFile();
    this.#punches = stats.isFile() || stats.isBlockDevice();
  }

  get size(): number {
    return this.#size();
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    const start = this.#start + offset;
    for (let done = 0; done < into.length;) {
      const count = fs.readSync(this.#fd, into, done, into.length - done, start + done);
      if (count === 0) {
        throw new FsError('EIO', {
          syscall: 'read',
          path: this.#path,
          detail: `the file ends at byte ${start + done}, the device needs it up to byte ${this.#start + this.size}`,
        });
      }
      done += count;
    }
  }

  write(offset: number, from: Uint8Array): void {
    checkWritable(this, 'write');
    checkRange(this, 'write', offset, from.length);
    const start = this.#start + offset;
    for (let done = 0; done < from.length;) {
      done += fs.writeSync(this.#fd, from, done, from.length - done, start + done);
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
    const start = this.#start;
    const end = offset + length;
    for (let at = offset; at < end;) {
      const data = Math.min((native.seekData(this.#fd, start + at) ?? Infinity) - start, end);
      if (data > at) yield { offset: at, length: data - at, kind: 'hole' };
      if (data >= end) return;
      const hole = Math.min((native.seekHole(this.#fd, start + data) ?? Infinity) - start, end);
      yield { offset: data, length: hole - data, kind: 'data' };
      at = hole;
    }
  }

  fileRange(): FileRange {
    return { fd: this.#fd, offset: this.#start };
  }

  flush(): void {
    if (!this.readOnly) fs.fsyncSync(this.#fd);
  }

  close(): void {}

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
    if (length < PUNCH_UNIT || !this.#punches) {
      this.#writeZeros(offset, length);
      return;
    }
    // A file takes any range; a block device only whole sectors, and no sector is larger than this.
    const shift = this.#regular ? 0 : this.#start % PUNCH_UNIT;
    const unit = this.#regular ? 1 : PUNCH_UNIT;
    const first = Math.ceil((offset + shift) / unit) * unit - shift;
    const end = Math.floor((offset + length + shift) / unit) * unit - shift;
    const native = end > first ? nativeFileOperations() : undefined;
    if (native?.punchHole(this.#fd, this.#start + first, end - first) !== true) {
      this.#writeZeros(offset, length);
      return;
    }
    this.#writeZeros(offset, first - offset);
    this.#writeZeros(end, offset + length - end);
  }

  /** Over what is not zero yet. */
  #writeZeros(offset: number, length: number): void {
    const scratch = new Uint8Array(Math.min(length, ZEROS.length));
    for (let done = 0; done < length; done += ZEROS.length) {
      const part = scratch.subarray(0, Math.min(ZEROS.length, length - done));
      this.read(offset + done, part);
      if (!isZero(part)) this.write(offset + done, ZEROS.subarray(0, part.length));
    }
  }
}
