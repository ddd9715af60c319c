import { type BlockDevice, zeroRange } from '../../device/block-device.ts';

/** Bytes gathered before they go out. */
const CAPACITY = 1 << 20;
/** Longest piece worth copying: what is longer goes to the device as it is, which may do it meanwhile (host/lending-device.ts). */
const SMALL = (1 << 16) - 1;

/**
 * Gathers the content of small files, which the allocator places side by side, into long writes. Holds one contiguous
 * piece; whoever reads content from the device, or writes metadata, flushes it before.
 */
export class DataWriter {
  readonly #device: BlockDevice;
  #buffer: Uint8Array | undefined;
  /** Byte offset on the device. */
  #start = 0;
  #length = 0;

  constructor(device: BlockDevice) {
    this.#device = device;
  }

  isSmall(length: number): boolean {
    return length <= SMALL;
  }

  /** The place for a small piece that belongs at this byte of the device; the caller fills all of it at once. */
  place(offset: number, length: number): Uint8Array {
    const at = offset - this.#start;
    if (at < 0 || at > this.#length || at + length > CAPACITY || this.#length === 0) {
      this.flush();
      this.#start = offset;
      this.#length = length;
      this.#buffer ??= new Uint8Array(CAPACITY);
      return this.#buffer.subarray(0, length);
    }
    this.#length = Math.max(this.#length, at + length);
    return this.#buffer!.subarray(at, at + length);
  }

  /** Writes a piece that is not small. */
  write(offset: number, from: Uint8Array): void {
    this.settle(offset, from.length);
    this.#device.write(offset, from);
  }

  /** Writes zeros. */
  zero(offset: number, length: number): void {
    this.settle(offset, length);
    zeroRange(this.#device, offset, length);
  }

  /** Makes sure that the device holds what was written to this range. */
  settle(offset: number, length: number): void {
    if (offset < this.#start + this.#length && this.#start < offset + length) this.flush();
  }

  flush(): void {
    const length = this.#length;
    if (length === 0) return;
    this.#device.write(this.#start, this.#buffer!.subarray(0, length));
    this.#length = 0;
  }
}
