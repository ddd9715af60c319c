import type { BlockDevice } from '../../src/device/block-device.ts';

/** Counts what is read, so that a bound on work needs no clock. */
export class CountingDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  reads = 0;
  /** Bytes. */
  readBytes = 0;
  readonly #base: BlockDevice;

  constructor(base: BlockDevice) {
    this.#base = base;
    this.size = base.size;
    this.sectorSize = base.sectorSize;
    this.readOnly = base.readOnly;
  }

  read(offset: number, into: Uint8Array): void {
    this.reads++;
    this.readBytes += into.length;
    this.#base.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    this.#base.write(offset, from);
  }

  flush(): void {
    this.#base.flush();
  }

  close(): void {}
}
