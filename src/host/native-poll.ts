import fs from 'node:fs';
import { lastErrno, nativeError } from './native-error.ts';
import { loadLibC } from './native-file.ts';

/** Waiting for descriptors in a thread that does nothing else. Linux with koffi only. */
export interface NativePoll {
  /** A new eventfd(2), not blocking, closed on exec: 8 bytes written to it make it readable until it is drained. */
  eventfd(): number;
  /** Makes reads of the open file description behind `fd` fail with EAGAIN instead of waiting. */
  setNonBlocking(fd: number): void;
  /**
   * Waits until one of the descriptors can be read or has failed. `set`: one word pair each, `pollfd` as poll(2) has it; see `pollSet`.
   * `milliseconds` below 0: without end. Returns how many are ready; 0 after a signal, too.
   */
  poll(set: Int32Array, milliseconds: number): number;
  /** read(2) into the start of `into`: bytes read, or a negative errno. Never throws. */
  read(fd: number, into: Uint8Array, length: number): number;
  /** write(2): bytes written, or a negative errno. Never throws. */
  write(fd: number, from: Uint8Array, length: number): number;
}

const POLLIN = 1;
const POLLRDHUP = 0x2000;
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
const EINTR = 4;
const EVENT = new Uint8Array(new BigUint64Array([1n]).buffer);

let calls: NativePoll | undefined;

export function nativePoll(): NativePoll | undefined {
  if (calls !== undefined) return calls;
  const library = loadLibC();
  if (library === undefined) return undefined;
  const eventfd = library.func('int eventfd(unsigned int, int)');
  const fcntl = library.func('int fcntl(int, int, long)');
  const poll = library.func('int poll(void *, unsigned long, int)');
  const read = library.func('intptr_t read(int, void *, size_t)');
  const write = library.func('intptr_t write(int, const void *, size_t)');
  calls = {
    eventfd() {
      const fd = eventfd(0, O_NONBLOCK | EFD_CLOEXEC) as number;
      if (fd < 0) throw nativeError('eventfd');
      return fd;
    },
    setNonBlocking(fd) {
      const flags = fcntl(fd, F_GETFL, 0) as number;
      if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) !== 0) throw nativeError('fcntl');
    },
    poll(set, milliseconds) {
      const ready = poll(set, set.length / 2, milliseconds) as number;
      if (ready >= 0) return ready;
      if (lastErrno() === EINTR) return 0;
      throw nativeError('poll');
    },
    read(fd, into, length) {
      const result = read(fd, into, length) as number;
      return result < 0 ? -lastErrno() : result;
    },
    write(fd, from, length) {
      const result = write(fd, from, length) as number;
      return result < 0 ? -lastErrno() : result;
    },
  };
  return calls;
}

/** What `poll` takes: each of the descriptors, watched for input. One that is below 0 is left out. */
export function pollSet(...fds: number[]): Int32Array {
  // On little-endian machines: `events` is the lower half of the second word, `revents` the upper.
  return Int32Array.from(fds.flatMap((fd) => [fd, POLLIN]));
}

/** After `poll`: is there input, an error or an end at the descriptor of that index? */
export function isReady(set: Int32Array, index: number): boolean {
  return set[2 * index + 1]! >>> 16 !== 0;
}

/** Has the other end of the connection closed it? What it has sent before may still be there to be read. False where libc cannot be called. */
export function hasHungUp(fd: number): boolean {
  return (nativePoll()?.poll(Int32Array.of(fd, POLLRDHUP), 0) ?? 0) > 0;
}

/** Wakes whoever polls the eventfd. */
export function wake(eventfd: number): void {
  fs.writeSync(eventfd, EVENT);
}

/** Makes the eventfd unreadable again. */
export function drain(eventfd: number): void {
  try {
    fs.readSync(eventfd, new Uint8Array(8));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
}
