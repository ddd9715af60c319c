import { FsError } from '../errors.ts';
import type { ContentCopier } from './content-copier.ts';

/**
 * The seam under everything: a device of a fixed size, read and written at byte offsets.
 *
 * Every call is synchronous and exact: `read` fills `into` wholly or throws, `write` writes all or throws. Neither
 * allocates. Offsets and lengths are bytes and need not be aligned to sectors. Optional capabilities are optional
 * members; the free functions below supply the fallback, so call those.
 */
export interface BlockDevice {
  /** Bytes. */
  readonly size: number;
  /** Logical sector, bytes. */
  readonly sectorSize: number;
  readonly readOnly: boolean;
  read(offset: number, into: Uint8Array): void;
  write(offset: number, from: Uint8Array): void;
  /** Returns when what was written is durable. */
  flush(): void;
  close(): void;
  /** Makes the range read as zeros; a device that can leaves a hole. */
  zero?(offset: number, length: number): void;
  /** Says that the range is no longer needed; what it reads as afterwards is not defined. */
  discard?(offset: number, length: number): void;
  /** The range as a sequence of data and holes, in order and without gaps. */
  extents?(offset: number, length: number): Iterable<Extent>;
  /** Set when the device is a plain range of an open file: transports may sendfile and splice. */
  fileRange?(): FileRange;
  /**
   * Has the content of files elsewhere copied to the device; undefined as long as that would bring nothing. Asked for each file, or before, with the
   * number of files that will be.
   */
  copier?(files?: number): ContentCopier | undefined;
}

export interface Extent {
  readonly offset: number;
  readonly length: number;
  /** `hole`: not allocated and reads as zeros. `zero`: allocated, known to read as zeros. */
  readonly kind: 'data' | 'hole' | 'zero';
}

export interface FileRange {
  readonly fd: number;
  readonly offset: number;
}

/** Throws EIO with the numbers when the range does not lie on the device. */
export function checkRange(device: BlockDevice, syscall: string, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= device.size) return;
  throw new FsError('EIO', {
    syscall,
    detail: `cannot ${syscall} ${length} bytes at byte ${offset}: the device ends at byte ${device.size}`,
  });
}

/** Throws EROFS when the device cannot be written. */
export function checkWritable(device: BlockDevice, syscall: string): void {
  if (device.readOnly) throw new FsError('EROFS', { syscall, detail: 'the device is read-only' });
}

const ZEROS = new Uint8Array(1 << 18);

/** Makes the range read as zeros, leaving a hole where the device can. */
export function zeroRange(device: BlockDevice, offset: number, length: number): void {
  if (device.zero !== undefined) {
    device.zero(offset, length);
    return;
  }
  for (let done = 0; done < length; done += ZEROS.length) {
    device.write(offset + done, ZEROS.subarray(0, Math.min(ZEROS.length, length - done)));
  }
}

/** Tells the device that the range is free; does nothing where the device has no use for it. */
export function discardRange(device: BlockDevice, offset: number, length: number): void {
  device.discard?.(offset, length);
}

/** The range as data and holes; a device that does not know is all data. */
export function extentsOf(device: BlockDevice, offset: number, length: number): Iterable<Extent> {
  return device.extents?.(offset, length) ?? (length > 0 ? [{ offset, length, kind: 'data' }] : []);
}

/** A fresh array with the bytes of the range. */
export function readBytes(device: BlockDevice, offset: number, length: number): Uint8Array {
  checkRange(device, 'read', offset, length);
  const result = new Uint8Array(length);
  device.read(offset, result);
  return result;
}
