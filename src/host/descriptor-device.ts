import type { BlockDevice } from '../device/block-device.ts';

export interface DescriptorDeviceOptions {
  /** For messages. */
  readonly path: string;
  /** Bytes into the file at which the device starts. */
  readonly offset: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  /** Asked each time: a device may grow. */
  size(): number;
}

/** A range of a file that is open already. Closing it leaves the descriptor open: that belongs to whoever gave it. */
export class DescriptorDevice implements BlockDevice {
  readonly size = 0;
  readonly sectorSize: number;
  readonly readOnly: boolean;

  constructor(_fd: number, options: DescriptorDeviceOptions) {
    this.sectorSize = options.sectorSize;
    this.readOnly = options.readOnly;
  }

  read(): void {
    throw new Error('not there yet');
  }

  write(): void {
    throw new Error('not there yet');
  }

  flush(): void {}

  close(): void {}
}
