import fs from 'node:fs';
import type { BlockDevice } from '../../src/device/block-device.ts';
import type { ContentCopier } from '../../src/device/content-copier.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import type { FileBackedDevice } from '../../src/host/write-queue.ts';

/** Every write to it fails with ENOSPC; absent outside of Linux. */
const FULL = '/dev/full';

export const hasFullDevice = fs.existsSync(FULL);

/** What copies files to a device that writes behind: once its thread is up, which takes a moment. */
export function copierOf(device: BlockDevice): ContentCopier {
  for (let i = 0; i < 10_000; i++) {
    const copier = device.copier!();
    if (copier !== undefined) return copier;
    if (i >= 64) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
  throw new Error('The thread does not come up');
}

/** A file that can be written by this thread, while the second one meets a full disk. `closeFull` is for afterwards. */
export function halfFullDevice(
  file: string,
  size: number,
): { readonly device: FileBackedDevice; readonly closeFull: () => void } {
  const base = FileDevice.create(file, size);
  const full = fs.openSync(FULL, 'r+');
  const device: FileBackedDevice = {
    size,
    sectorSize: 512,
    readOnly: false,
    read: (offset, into) => base.read(offset, into),
    write: (offset, from) => base.write(offset, from),
    flush: () => base.flush(),
    close: () => base.close(),
    fileRange: () => ({ fd: full, offset: 0 }),
  };
  return { device, closeFull: () => fs.closeSync(full) };
}
