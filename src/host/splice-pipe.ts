import fs from 'node:fs';
import { loadLibC } from './native-file.ts';
import { fixedMemory } from './native-memory.ts';

/**
 * Moves bytes of a file to another descriptor behind a header, as one message, without copying them through this process: splice(2) over a
 * pipe. For replies to large READs of /dev/fuse. Linux with koffi only.
 */
export class SplicePipe {
  readonly #calls: SpliceCalls;
  /** A `loff_t`, as two words. */
  readonly #offset = new Int32Array(fixedMemory(8).buffer, 0, 2);
  #readEnd = -1;
  #writeEnd = -1;
  /** Bytes that surely fit: a page of the pipe may hold few of them at both ends. */
  #room = 0;

  private constructor(calls: SpliceCalls) {
    this.#calls = calls;
  }

  /** Undefined where that is not to be had, or the pipe cannot hold `room` bytes with a header. */
  static open(room: number): SplicePipe | undefined {
    const calls = spliceCalls();
    if (calls === undefined) return undefined;
    const pipe = new SplicePipe(calls);
    pipe.#reopen(room);
    if (pipe.#room >= room) return pipe;
    pipe.close();
    return undefined;
  }

  /**
   * Sends `headerLength` bytes of `header` and `length` bytes of the file. False: nothing was sent, as the file ends sooner, or cannot be
   * spliced, or nobody wants the message any more; then send it the other way, which tells them apart.
   */
  send(
    target: number,
    header: Uint8Array,
    headerLength: number,
    file: number,
    offset: number,
    length: number,
  ): boolean {
    if (length > this.#room) return false;
    const { write, splice } = this.#calls;
    this.#offset[0] = offset | 0;
    this.#offset[1] = Math.floor(offset / 0x1_0000_0000);
    let sound = write(this.#writeEnd, header, headerLength) === headerLength;
    for (let done = 0; sound && done < length;) {
      const moved = splice(file, this.#offset, this.#writeEnd, null, length - done, SPLICE_F_NONBLOCK);
      if (moved <= 0) sound = false;
      else done += moved;
    }
    const total = headerLength + length;
    if (sound && splice(this.#readEnd, null, target, null, total, 0) === total) return true;
    // Whatever is left in it must not get in front of the next message.
    this.#reopen(this.#room);
    return false;
  }

  close(): void {
    if (this.#readEnd < 0) return;
    fs.closeSync(this.#readEnd);
    fs.closeSync(this.#writeEnd);
    this.#readEnd = -1;
    this.#writeEnd = -1;
    this.#room = 0;
  }

  #reopen(room: number): void {
    this.close();
    const ends = new Int32Array(fixedMemory(8).buffer, 0, 2);
    if (this.#calls.pipe2(ends, O_CLOEXEC | O_NONBLOCK) !== 0) return;
    this.#readEnd = ends[0]!;
    this.#writeEnd = ends[1]!;
    const pages = 2 ** Math.ceil(Math.log2(room / PAGE + SPARE_PAGES));
    const size = this.#calls.fcntl(this.#writeEnd, F_SETPIPE_SZ, pages * PAGE);
    this.#room = Math.max(0, size - SPARE_PAGES * PAGE);
  }
}

interface SpliceCalls {
  readonly pipe2: (ends: Int32Array, flags: number) => number;
  readonly fcntl: (fd: number, command: number, argument: number) => number;
  readonly write: (fd: number, from: Uint8Array, length: number) => number;
  readonly splice: (
    from: number,
    fromOffset: Int32Array | null,
    to: number,
    toOffset: Int32Array | null,
    length: number,
    flags: number,
  ) => number;
}

const PAGE = 4096;
/** Of the header, and of both ends of a range that is not aligned. */
const SPARE_PAGES = 3;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;
const SPLICE_F_NONBLOCK = 2;

let calls: SpliceCalls | undefined;

function spliceCalls(): SpliceCalls | undefined {
  if (calls !== undefined) return calls;
  const library = loadLibC();
  if (library === undefined) return undefined;
  calls = {
    pipe2: library.func('int pipe2(void *, int)') as SpliceCalls['pipe2'],
    fcntl: library.func('int fcntl(int, int, long)') as SpliceCalls['fcntl'],
    write: library.func('intptr_t write(int, const void *, size_t)') as SpliceCalls['write'],
    splice: library.func(
      'intptr_t splice(int, void *, int, void *, size_t, unsigned int)',
    ) as SpliceCalls['splice'],
  };
  return calls;
}
