import fs from 'node:fs';
import path from 'node:path';
import { FsError } from '../errors.ts';
import { nativeLoopOperations } from '../host/native-loop.ts';
import { isNbdUri } from '../host/nbd-uri.ts';
import type { Io } from './io.ts';
import { findAttached } from './open-device.ts';

/** Whether the kernel has a table of partitions of its own for what has that name: files and devices of ours have none. */
export function isKernelDevice(io: Io, name: string): boolean {
  if (isNbdUri(name) || findAttached(io, name) !== undefined) return false;
  return fs.statSync(path.resolve(io.cwd, name), { throwIfNoEntry: false })?.isBlockDevice() === true;
}

/** Has the kernel read the table of one of its devices again. EBUSY where a partition is in use, ENOSYS where libc cannot be called. */
export function rereadPartitions(io: Io, name: string): void {
  const loops = nativeLoopOperations();
  if (loops === undefined) throw new FsError('ENOSYS', { syscall: 'ioctl', path: name });
  const fd = fs.openSync(path.resolve(io.cwd, name), 'r');
  try {
    loops.rereadPartitions(fd);
  } finally {
    fs.closeSync(fd);
  }
}
