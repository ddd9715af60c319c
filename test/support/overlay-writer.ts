import { workerData } from 'node:worker_threads';
import { DescriptorDevice } from '../../src/host/descriptor-device.ts';
import { OverlayDevice, type OverlayShare } from '../../src/host/overlay-device.ts';

/** A thread that fills every run of 100 bytes that is its own, counted round the threads, with its number. */
const { fd, path, share, thread, threads, size, barrier } = workerData as {
  fd: number;
  path: string;
  share: OverlayShare;
  thread: number;
  threads: number;
  size: number;
  barrier: Int32Array;
};
const below = new DescriptorDevice(fd, {
  path,
  offset: 0,
  sectorSize: 512,
  readOnly: true,
  size: () => size,
});
const device = new OverlayDevice(below, share, () => size);
// All at once.
Atomics.add(barrier, 0, 1);
Atomics.notify(barrier, 0);
for (let count = 0; (count = Atomics.load(barrier, 0)) < threads;) Atomics.wait(barrier, 0, count);
const run = new Uint8Array(100).fill(1 + thread);
for (let at = thread * 100; at < size; at += threads * 100)
  device.write(at, run.subarray(0, Math.min(100, size - at)));
