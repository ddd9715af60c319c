import { parentPort, workerData } from 'node:worker_threads';
import { type DeviceShare, openShare } from '../../src/host/device-share.ts';

/** A thread that reads and writes the blocks of a shared device, as the servers of a device's process do. */
const device = openShare(workerData as DeviceShare);

interface BlockRequest {
  readonly offset: number;
  readonly length: number;
  /** Undefined: read. */
  readonly data?: Uint8Array;
}

parentPort!.on('message', ({ offset, length, data }: BlockRequest) => {
  const bytes = data ?? new Uint8Array(length);
  if (data === undefined) device.read(offset, bytes);
  else device.write(offset, data);
  parentPort!.postMessage(bytes);
});
