import type { BlockDevice, Extent } from '../device/block-device.ts';
import { discardRange, extentsOf, zeroRange } from '../device/block-device.ts';

/** Notices whether anything was written. */
export class WatchedDevice implements BlockDevice {
  readonly #base: BlockDevice;
  #written = false;

  constructor(base: BlockDevice) {
    this.#base = base;
  }

  get size(): number {
    return this.#base.size;
  }

  get sectorSize(): number {
    return this.#base.sectorSize;
  }

  get readOnly(): boolean {
    return this.#base.readOnly;
  }

  /** Since the last call. */
  takeWritten(): boolean {
    const written = this.#written;
    this.#written = false;
    return written;
  }

  read(offset: number, into: Uint8Array): void {
    this.#base.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    this.#written = true;
    this.#base.write(offset, from);
  }

  zero(offset: number, length: number): void {
    this.#written = true;
    zeroRange(this.#base, offset, length);
  }

  discard(offset: number, length: number): void {
    this.#written = true;
    discardRange(this.#base, offset, length);
  }

  extents(offset: number, length: number): Iterable<Extent> {
    return extentsOf(this.#base, offset, length);
  }

  flush(): void {
    this.#base.flush();
  }

  close(): void {
    this.#base.close();
  }
}
