import fs from 'node:fs';
import { loadLibC } from './native-file.ts';
import { lastErrno, nativeError } from './native-error.ts';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const EINTR = 4;
const EWOULDBLOCK = 11;

/**
 * Takes the exclusive lock of flock(2), by which programs that work on a block device agree (systemd, "Locking Block Device Access"). It goes with
 * the descriptor. False when another open file has it and `wait` is not set; throws where there can be no lock, ENOSYS where libc cannot be called.
 */
export function lockFile(fd: number, { wait }: { readonly wait: boolean }): boolean {
  const flock = loadLibC()?.func('flock', 'int', ['int', 'int']);
  if (flock === undefined) throw nativeError('flock', { errno: 38 });
  for (;;) {
    if (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) === 0) return true;
    const errno = lastErrno();
    if (errno === EWOULDBLOCK) return false;
    if (errno !== EINTR) throw nativeError('flock', { errno });
  }
}

/**
 * Takes the shared lock of flock(2) on a folder for as long as this process lives: those who clear temporary folders of what is old leave it alone, with
 * everything in it (tmpfiles.d(5), "Age"). Nothing where there can be no lock.
 */
export function keepFromCleaners(folder: string): void {
  const flock = loadLibC()?.func('flock', 'int', ['int', 'int']);
  if (flock === undefined) return;
  const fd = fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  if (flock(fd, LOCK_SH | LOCK_NB) !== 0) fs.closeSync(fd);
}
