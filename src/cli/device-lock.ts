import fs from 'node:fs';
import path from 'node:path';
import { viewPath } from '../attach/registry.ts';
import { FsError } from '../errors.ts';
import { lockFile } from '../host/file-lock.ts';
import { isNbdUri } from '../host/nbd-uri.ts';
import type { Io } from './io.ts';
import { findAttached } from './open-device.ts';

/** A device that is ours alone among the programs that ask for its lock, until it is closed. */
export interface DeviceLock {
  close(): void;
}

export interface LockOptions {
  /** The program that waits or is refused, for what is said of it. */
  readonly program: string;
  /** `--lock`: `yes` (which waits), `no` or `nonblock`; undefined: what LOCK_BLOCK_DEVICE says. */
  readonly mode: string | undefined;
}

/**
 * Takes the lock that util-linux' tools take on `--lock` or LOCK_BLOCK_DEVICE: flock(2) on the device, or on the file. `none` where none is asked for;
 * undefined where it is refused, which has been said then.
 */
export function lockDevice(
  io: Io,
  name: string,
  { program, mode }: LockOptions,
): DeviceLock | 'none' | undefined {
  const asked = mode ?? io.env['LOCK_BLOCK_DEVICE'] ?? 'no';
  if (asked === 'no' || asked === '0') return 'none';
  if (asked !== 'yes' && asked !== '1' && asked !== 'nonblock') {
    io.stderr.write(`${program}: unsupported lock mode: ${asked}\n`);
    return undefined;
  }
  let fd: number | undefined;
  try {
    fd = fs.openSync(lockedPath(io, name), 'r');
    if (lockFile(fd, { wait: false })) return holding(fd);
    if (asked === 'nonblock') {
      io.stderr.write(`${program}: ${name}: device already locked\n`);
    } else {
      io.stderr.write(`${program}: ${name}: device already locked, waiting to get lock ... `);
      lockFile(fd, { wait: true });
      io.stderr.write('OK\n');
      return holding(fd);
    }
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    io.stderr.write(`${program}: ${name}: failed to get lock: ${error.text}\n`);
  }
  if (fd !== undefined) fs.closeSync(fd);
  return undefined;
}

function holding(fd: number): DeviceLock {
  let open = true;
  return {
    close() {
      if (open) fs.closeSync(fd);
      open = false;
    },
  };
}

/** An attached device is locked by its file; where it has none, by the image behind it. */
function lockedPath(io: Io, name: string): string {
  if (isNbdUri(name)) throw new FsError('EOPNOTSUPP', { syscall: 'flock', path: name });
  const attached = findAttached(io, name);
  if (attached === undefined) return path.resolve(io.cwd, name);
  const { state, view } = attached;
  if (state.folder !== undefined) return viewPath(state, view.name);
  if (state.image === '' || isNbdUri(state.image))
    throw new FsError('EOPNOTSUPP', { syscall: 'flock', path: name });
  return state.image;
}
