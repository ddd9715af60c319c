import { type BlockDevice, discardRange, type Extent, extentsOf, zeroRange } from './block-device.ts';

/** Counts the bytes that are read from a device and written to it. */
export class TalliedDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  bytesRead = 0;
  bytesWritten = 0;
  readonly #base: BlockDevice;

  constructor(base: BlockDevice) {
    this.#base = base;
    this.size = base.size;
    this.sectorSize = base.sectorSize;
    this.readOnly = base.readOnly;
  }

  read(offset: number, into: Uint8Array): void {
    this.bytesRead += into.length;
    this.#base.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    this.bytesWritten += from.length;
    this.#base.write(offset, from);
  }

  zero(offset: number, length: number): void {
    zeroRange(this.#base, offset, length);
  }

  discard(offset: number, length: number): void {
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
