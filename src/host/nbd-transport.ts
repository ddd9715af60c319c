import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import type * as Koffi from 'koffi';
import { hasCode } from '../errors.ts';
import type { ServerSession } from '../nbd/server-session.ts';
import type { SessionTransport, Shortcuts } from '../nbd/session-transport.ts';
import type { SharedDevice } from './device-share.ts';
import { nativeError } from './native-error.ts';
import { loadLibC } from './native-file.ts';
import { addressOf, fixedMemory } from './native-memory.ts';

/** A blocking connection to one client, and the memory in which a session works on it. */
export interface NbdTransport extends SessionTransport {
  /** Waits for at least one byte, and puts what has come at `input[at …)`; 0 at the end of the connection. */
  receive(at: number): number;
  close(): void;
}

/** Where an export lies: bytes of the device. */
export interface ExportRange {
  readonly offset: number;
  readonly size: number;
}

/** The client is gone, or does not want to hear us any more. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError';
}

const INPUT_SIZE = 1 << 20;
const OUTPUT_SIZE = 1 << 20;
/**
 * Without foreign calls a long read is copied through this memory, a part after the other: so much stays in the second-level cache between
 * the file and the socket, and about as much does the socket take without waiting for the client.
 */
const COPIED_OUTPUT_SIZE = 192 << 10;

/** Answers the client until it goes. `received` bytes of its requests are in `initial` already. */
export function serveSession(session: ServerSession, transport: NbdTransport, initial: Uint8Array): void {
  try {
    transport.input.set(initial, session.inputEnd);
    session.process(initial.length);
    while (!session.isEnded) {
      const { wanted } = session;
      let count = 0;
      while (count < wanted) {
        const received = transport.receive(session.inputEnd + count);
        if (received === 0) return;
        count += received;
      }
      session.process(count);
    }
  } catch (error) {
    if (!(error instanceof ClientGoneError)) throw error;
  }
}

/** The fastest transport that is to be had for a connected, blocking socket. The descriptor stays the caller's. */
export function openNbdTransport(fd: number, device: SharedDevice, range: ExportRange): NbdTransport {
  const calls = nativeCalls();
  return calls === undefined
    ? new PlainTransport(fd, device, range)
    : new NativeTransport(calls, fd, device, range);
}

/** The memory of a session is kept for the next one of the thread. */
let memory: { readonly input: Uint8Array; readonly output: Uint8Array } | undefined;

function sessionMemory(native: boolean): { readonly input: Uint8Array; readonly output: Uint8Array } {
  memory ??= native
    ? { input: fixedMemory(INPUT_SIZE, 4096), output: fixedMemory(OUTPUT_SIZE, 4096) }
    : { input: new Uint8Array(INPUT_SIZE), output: new Uint8Array(COPIED_OUTPUT_SIZE) };
  return memory;
}

/** With node's own calls alone: read(2) and write(2) on the socket, pread(2) and pwrite(2) on the file. */
class PlainTransport implements NbdTransport {
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  readonly filePhase: number;
  readonly shortcuts: Shortcuts;
  readonly #fd: number;

  constructor(fd: number, device: SharedDevice, range: ExportRange) {
    ({ input: this.input, output: this.output } = sessionMemory(false));
    this.#fd = fd;
    const base = device.share.offset + range.offset;
    const file = device.share.fd;
    const { input, output } = this;
    this.filePhase = base % 4096;
    this.shortcuts = {
      get isOpen() {
        return device.isPlainFile;
      },
      read: (offset, at, length) => fs.readSync(file, output, at, length, base + offset) === length,
      write(offset, at, length) {
        const ok = fs.writeSync(file, input, at, length, base + offset) === length;
        device.noteWrite(range.offset + offset, length);
        return ok;
      },
      flush() {
        fs.fdatasyncSync(file);
        return true;
      },
    };
  }

  receive(at: number): number {
    for (;;) {
      try {
        return fs.readSync(this.#fd, this.input, at, this.input.length - at, null);
      } catch (error) {
        if (!hasCode(error, 'EINTR'))
          throw new ClientGoneError('The connection cannot be read', { cause: error });
      }
    }
  }

  send(start: number, end: number): void {
    for (let at = start; at < end;) {
      try {
        at += fs.writeSync(this.#fd, this.output, at, end - at, null);
      } catch (error) {
        if (!hasCode(error, 'EINTR'))
          throw new ClientGoneError('The connection cannot be written', { cause: error });
      }
    }
  }

  close(): void {}
}

interface NativeCalls {
  recv(fd: number, address: number, length: number, flags: number): number;
  send(fd: number, address: number, length: number, flags: number): number;
  pread(fd: number, address: number, length: number, offset: number): number;
  pwrite(fd: number, address: number, length: number, offset: number): number;
  sendfile(out: number, file: number, offset: unknown, length: number): number;
  splice(
    from: number,
    fromOffset: unknown,
    to: number,
    toOffset: unknown,
    length: number,
    flags: number,
  ): number;
  pipe2(ends: Int32Array, flags: number): number;
  setsockopt(fd: number, level: number, name: number, value: Int32Array, length: number): number;
  fcntl(fd: number, command: number, value: number): number;
  readahead(fd: number, offset: number, length: number): number;
  errno(): number;
}

let native: NativeCalls | undefined;

function nativeCalls(): NativeCalls | undefined {
  if (native !== undefined) return native;
  const library = loadLibC();
  if (library === undefined) return undefined;
  const wide = hasWideNames(library) ? '64' : '';
  native = {
    recv: library.func('recv', 'intptr_t', ['int', 'uintptr_t', 'size_t', 'int']),
    send: library.func('send', 'intptr_t', ['int', 'uintptr_t', 'size_t', 'int']),
    pread: library.func(`pread${wide}`, 'intptr_t', ['int', 'uintptr_t', 'size_t', 'int64_t']),
    pwrite: library.func(`pwrite${wide}`, 'intptr_t', ['int', 'uintptr_t', 'size_t', 'int64_t']),
    sendfile: library.func(`sendfile${wide}`, 'intptr_t', ['int', 'int', 'void *', 'size_t']),
    splice: library.func('splice', 'intptr_t', ['int', 'void *', 'int', 'void *', 'size_t', 'unsigned int']),
    pipe2: library.func('pipe2', 'int', ['void *', 'int']),
    setsockopt: library.func('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint32_t']),
    fcntl: library.func('fcntl', 'int', ['int', 'int', 'long']),
    readahead: library.func('readahead', 'intptr_t', ['int', 'int64_t', 'size_t']),
    errno: (createRequire(import.meta.url)('koffi') as typeof Koffi).errno as () => number,
  } as NativeCalls;
  return native;
}

/** glibc has 64-bit offsets under names of their own on every architecture; musl has one kind under the plain ones. */
function hasWideNames(library: Koffi.LibraryHandle): boolean {
  try {
    library.func('pread64', 'intptr_t', ['int', 'uintptr_t', 'size_t', 'int64_t']);
    return true;
  } catch {
    return false;
  }
}

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const EINTR = 4;
const EAGAIN = 11;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;
const SPLICE_F_MOVE = 1;
const SPLICE_F_MORE = 4;
/** Bytes of unsent replies that the kernel may hold. It doubles the number; more than the second-level cache has is slower. */
const SEND_BUFFER = 1 << 20;
/** What a pipe may hold for everybody: /proc/sys/fs/pipe-max-size is not below it by default. */
const PIPE_SIZE = 1 << 20;
/** Looks for the next request before the thread goes to sleep: about 35 microseconds, which a client that waits for each answer does not need. */
const SPINS = 100;
/** Clients that take longer than that, as often in a row, are looked for once, but at each 16th request. */
const MOST_MISSES = 4;
const PROBE_STEP = 16;
/** As often is looked whether the machine has a processor to spare: one that is busy for others must not be spun on. */
const LOOK_STEP = 512;

/** Not more threads that want to run than processors, this one and its client among them. */
function hasFreeProcessor(): boolean {
  const [, running] = /^\S+ \S+ \S+ (\d+)\//.exec(fs.readFileSync('/proc/loadavg', 'latin1')) ?? [];
  return Number(running) <= os.availableParallelism();
}

/** With libc: no copies of large transfers through this process, and fewer sleeps. */
class NativeTransport implements NbdTransport {
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  readonly filePhase: number;
  readonly shortcuts: Shortcuts;
  readonly #calls: NativeCalls;
  readonly #fd: number;
  readonly #inputAddress: number;
  readonly #outputAddress: number;
  #pipe: SplicePipe | undefined;
  #waits = 0;
  #maySpin = false;
  /** How often in a row the looking was in vain. */
  #misses = 0;

  constructor(calls: NativeCalls, fd: number, device: SharedDevice, range: ExportRange) {
    ({ input: this.input, output: this.output } = sessionMemory(true));
    this.#calls = calls;
    this.#fd = fd;
    const inputAddress = Number(addressOf(this.input));
    const outputAddress = Number(addressOf(this.output));
    this.#inputAddress = inputAddress;
    this.#outputAddress = outputAddress;
    calls.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, Int32Array.of(SEND_BUFFER), 4);
    const base = device.share.offset + range.offset;
    const file = device.share.fd;
    this.filePhase = base % 4096;
    this.shortcuts = {
      get isOpen() {
        return device.isPlainFile;
      },
      read: (offset, at, length) => calls.pread(file, outputAddress + at, length, base + offset) === length,
      write(offset, at, length) {
        const ok = calls.pwrite(file, inputAddress + at, length, base + offset) === length;
        device.noteWrite(range.offset + offset, length);
        return ok;
      },
      flush() {
        fs.fdatasyncSync(file);
        return true;
      },
      sendFile: (offset, length) => this.#sendFile(file, base + offset, length),
      receiveToFile: (offset, length) => {
        const result = this.#receiveToFile(file, base + offset, length);
        device.noteWrite(range.offset + offset, result.taken);
        return result;
      },
      prefetch(offset, length) {
        calls.readahead(file, base + offset, length);
      },
    };
  }

  receive(at: number): number {
    const calls = this.#calls;
    const length = this.input.length - at;
    if (this.#waits++ % LOOK_STEP === 0) this.#maySpin = hasFreeProcessor();
    const isPromising = this.#misses < MOST_MISSES || this.#misses % PROBE_STEP === 0;
    const spins = this.#maySpin && isPromising ? SPINS : 1;
    for (let tries = 0; ;) {
      const flags = tries < spins ? MSG_DONTWAIT : 0;
      const count = calls.recv(this.#fd, this.#inputAddress + at, length, flags);
      if (count >= 0) {
        if (tries >= spins) this.#misses++;
        else if (tries > 0) this.#misses = 0;
        return count;
      }
      const errno = calls.errno();
      if (errno === EAGAIN) tries++;
      else if (errno !== EINTR) throw new ClientGoneError(`The connection cannot be read: errno ${errno}`);
    }
  }

  send(start: number, end: number): void {
    const calls = this.#calls;
    for (let at = start; at < end;) {
      const count = calls.send(this.#fd, this.#outputAddress + at, end - at, MSG_NOSIGNAL);
      if (count >= 0) at += count;
      else this.#checkSent();
    }
  }

  close(): void {
    this.#pipe?.close();
    this.#pipe = undefined;
  }

  /** After a failed call that sends: throws unless it is to be tried again. */
  #checkSent(): void {
    const errno = this.#calls.errno();
    if (errno !== EINTR) throw new ClientGoneError(`The connection cannot be written: errno ${errno}`);
  }

  #sendFile(file: number, offset: number, length: number): number {
    const calls = this.#calls;
    FILE_OFFSET[0] = BigInt(offset);
    for (let done = 0; done < length;) {
      const count = calls.sendfile(this.#fd, file, FILE_OFFSET, length - done);
      if (count > 0) done += count;
      // The file is shorter than the device.
      else if (count === 0) return done;
      else {
        const errno = calls.errno();
        if (errno === EINTR) continue;
        if (errno === EPIPE || errno === ECONNRESET)
          throw new ClientGoneError('The connection cannot be written');
        return done;
      }
    }
    return length;
  }

  /** Socket to pipe, pipe to file: the pages move, nothing is copied to this process. */
  #receiveToFile(file: number, offset: number, length: number): { taken: number; ok: boolean } {
    const calls = this.#calls;
    const pipe = (this.#pipe ??= SplicePipe.open(calls));
    if (pipe === undefined) return { taken: 0, ok: true };
    FILE_OFFSET[0] = BigInt(offset);
    let taken = 0;
    while (taken < length) {
      const count = calls.splice(
        this.#fd,
        null,
        pipe.input,
        null,
        Math.min(PIPE_SIZE, length - taken),
        SPLICE_F_MOVE,
      );
      if (count === 0) throw new ClientGoneError('The client has gone in the middle of a write');
      if (count < 0) {
        const errno = calls.errno();
        if (errno === EINTR) continue;
        if (errno === EINVAL && taken === 0) return { taken: 0, ok: true };
        throw new ClientGoneError(`The connection cannot be read: errno ${errno}`);
      }
      taken += count;
      for (let moved = 0; moved < count;) {
        const stored = calls.splice(
          pipe.output,
          null,
          file,
          FILE_OFFSET,
          count - moved,
          SPLICE_F_MOVE | SPLICE_F_MORE,
        );
        if (stored > 0) moved += stored;
        else if (stored === 0 || calls.errno() !== EINTR) {
          // What is left in the pipe goes with it.
          this.close();
          return { taken, ok: false };
        }
      }
    }
    return { taken, ok: true };
  }
}

const EPIPE = 32;
const ECONNRESET = 104;
const EINVAL = 22;
/** The off_t that sendfile and splice read and advance. */
const FILE_OFFSET = new BigInt64Array(new ArrayBuffer(64), 0, 1);

class SplicePipe {
  readonly output: number;
  readonly input: number;

  private constructor(output: number, input: number) {
    this.output = output;
    this.input = input;
  }

  static open(calls: NativeCalls): SplicePipe | undefined {
    const ends = new Int32Array(2);
    if (calls.pipe2(ends, O_CLOEXEC) !== 0) throw nativeError('pipe2');
    // A smaller pipe does as well, with more calls.
    calls.fcntl(ends[1]!, F_SETPIPE_SZ, PIPE_SIZE);
    return new SplicePipe(ends[0]!, ends[1]!);
  }

  close(): void {
    fs.closeSync(this.output);
    fs.closeSync(this.input);
  }
}
