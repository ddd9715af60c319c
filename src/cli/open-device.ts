import path from 'node:path';
import type { BlockDevice } from '../device/block-device.ts';
import { FileDevice } from '../host/file-device.ts';
import { WriteBehindDevice } from '../host/write-behind-device.ts';
import type { Io } from './io.ts';

export interface OpenDeviceOptions {
  readonly readOnly?: boolean;
  /** Logical sector, bytes. */
  readonly sectorSize?: number;
  /** Let a second thread write, once much is written. */
  readonly writeBehind?: boolean;
}

/** The device behind a name on the command line. The one place where names become devices. */
export function openDevice(io: Io, name: string, options: OpenDeviceOptions = {}): BlockDevice {
  const device = FileDevice.open(path.resolve(io.cwd, name), options);
  return options.writeBehind === true ? new WriteBehindDevice(device) : device;
}
