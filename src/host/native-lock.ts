import { loadLibC } from './native-file.ts';

/**
 * Locks on ranges of a file that belong to the open file, not to the process ("open file description locks", fcntl(2)). Other
 * programs see them where they ask, as QEMU does. Undefined where libc cannot be called.
 */
export interface NativeLocks {
  /** False when another open file has a lock that conflicts. `length` 0: to the end, wherever that comes to be. */
  tryLock(fd: number, kind: 'shared' | 'exclusive', start: number, length: number): boolean;
  /** Whether another open file has any lock in the range. */
  isLocked(fd: number, start: number, length: number): boolean;
}

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** struct flock with 64-bit offsets: l_type and l_whence at 0 and 2, l_start at 8, l_len at 16, l_pid at 24. */
const FLOCK_SIZE = 32;

let locks: NativeLocks | null | undefined;

export function nativeLocks(): NativeLocks | undefined {
  if (locks === undefined) locks = bind() ?? null;
  return locks ?? undefined;
}

function bind(): NativeLocks | undefined {
  // Elsewhere the structure is another one, or fcntl takes one with 32-bit offsets.
  if (!['x64', 'arm64', 'riscv64', 'loong64'].includes(process.arch)) return undefined;
  const fcntl = loadLibC()?.func('fcntl', 'int', ['int', 'int', 'void *']);
  if (fcntl === undefined) return undefined;
  const call = (
    fd: number,
    command: number,
    type: number,
    start: number,
    length: number,
  ): DataView | undefined => {
    const flock = new DataView(new ArrayBuffer(FLOCK_SIZE));
    flock.setInt16(0, type, true);
    flock.setBigInt64(8, BigInt(start), true);
    flock.setBigInt64(16, BigInt(length), true);
    return fcntl(fd, command, Buffer.from(flock.buffer)) === 0 ? flock : undefined;
  };
  return {
    tryLock: (fd, kind, start, length) =>
      call(fd, F_OFD_SETLK, kind === 'shared' ? F_RDLCK : F_WRLCK, start, length) !== undefined,
    isLocked(fd, start, length) {
      const found = call(fd, F_OFD_GETLK, F_WRLCK, start, length);
      return found !== undefined && found.getInt16(0, true) !== F_UNLCK;
    },
  };
}
