import fs from 'node:fs';
import path from 'node:path';
import { FsError, hasCode } from '../../../errors.ts';
import { isReadOnlyDevice } from '../../../host/block-queue.ts';
import { isNbdUri } from '../../../host/nbd-uri.ts';
import type { Io } from '../../io.ts';
import { findAttached, openDevice } from '../../open-device.ts';

const READ_ONLY = ['EACCES', 'EPERM', 'EROFS'] as const;

/**
 * Throws what keeps a disk that can be read, and is not busy, from being written: EROFS where it is read-only, EACCES or EPERM where this user may
 * not write it, with how to look at it all the same. Asked before the first question, since nothing that is answered could be kept.
 */
export function requireWritable(io: Io, name: string): void {
  const code = whyReadOnly(io, name);
  if (code === undefined) return;
  throw new FsError(code, {
    syscall: 'open',
    path: name,
    detail: `it can only be read: "fdisk -l ${name}" shows its table`,
  });
}

function whyReadOnly(io: Io, name: string): (typeof READ_ONLY)[number] | undefined {
  const attached = findAttached(io, name);
  if (attached?.state.readOnly === true) return 'EROFS';
  const isNamed = attached !== undefined || isNbdUri(name);
  if (!isNamed && isReadOnlyBlockDevice(path.resolve(io.cwd, name))) return 'EROFS';
  try {
    const device = openDevice(io, name, { whileMounted: true });
    device.close();
    return device.readOnly ? 'EROFS' : undefined;
  } catch (error) {
    const code = READ_ONLY.find((candidate) => hasCode(error, candidate));
    // What cannot even be read is told as it is.
    if (code === undefined || !isReadable(io, name)) throw error;
    return code;
  }
}

function isReadOnlyBlockDevice(file: string): boolean {
  const stats = fs.statSync(file, { throwIfNoEntry: false });
  return stats?.isBlockDevice() === true && isReadOnlyDevice(stats.rdev);
}

function isReadable(io: Io, name: string): boolean {
  try {
    openDevice(io, name, { readOnly: true }).close();
    return true;
  } catch (error) {
    if (READ_ONLY.some((code) => hasCode(error, code))) return false;
    throw error;
  }
}
