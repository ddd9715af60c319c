import type { BlockDevice } from '../../device/block-device.ts';

const BUFFER_SIZE = 1 << 20;
/** Writes from this size on go to the device as they are. */
const MIN_DIRECT = 1 << 16;
/** The slack after a file's end is filled up to this many bytes, so that the next file follows on: no more than a host's block. */
export const MAX_PADDING = 4096;

/**
 * Gathers the content of files that lie one after the other into large writes: filling a volume with many small
 * files costs one call for many of them. Holds at most BUFFER_SIZE bytes; `flush` comes before any other access to
 * content and before any metadata.
 */
export class ContentWriter {
  readonly #device: BlockDevice;
  #buffer: Uint8Array | undefined;
  /** Byte offset on the device of the first byte held. */
  #start = 0;
  #length = 0;

  constructor(device: BlockDevice) {
    this.#device = device;
  }

  write(offset: number, from: Uint8Array): void {
    if (from.length >= MIN_DIRECT) {
      this.flush();
      this.#device.write(offset, from);
      return;
    }
    if (
      this.#length > 0 &&
      (offset !== this.#start + this.#length || this.#length + from.length > BUFFER_SIZE)
    ) {
      this.flush();
    }
    this.#buffer ??= new Uint8Array(BUFFER_SIZE);
    if (this.#length === 0) this.#start = offset;
    this.#buffer.set(from, this.#length);
    this.#length += from.length;
  }

  /** What lies between the last byte written and `end`, at most a cluster, belongs to the file but is past its end. */
  pad(end: number): void {
    const missing = end - (this.#start + this.#length);
    if (this.#length === 0 || missing <= 0 || missing >= MAX_PADDING) return;
    if (this.#length + missing > BUFFER_SIZE) return;
    this.#buffer!.fill(0, this.#length, this.#length + missing);
    this.#length += missing;
  }

  flush(): void {
    if (this.#length === 0) return;
    this.#device.write(this.#start, this.#buffer!.subarray(0, this.#length));
    this.#length = 0;
  }
}
