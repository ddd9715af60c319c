import fs from 'node:fs';
import { syncFileSystem } from './native-sync.ts';
import { GATE_BYTES, GATE_COUNT, GATES_OFFSET } from './share-layout.ts';

/**
 * Between the threads that serve a device's blocks and the one thread that serves a file system mounted from it.
 *
 * Before blocks of that range are read, `settle` has the file system write what it holds in memory. Before they are
 * written, `hold` has it do that, forget what it has read and wait; `resume` lets it go on and returns when the kernel, too,
 * has dropped what it had cached of the mount. One block thread at a time has the gate.
 *
 * What programs write through a memory map the kernel holds back, and so it does with all writes where it was told to. So `settle` and `hold` begin
 * with syncfs(2) of the mount, in the thread that asks, which is never the one that serves it.
 *
 * Fields, as Int32 words from the gate's start: see `Word`. Bytes 32 to 47: offset and length of the range as Float64; 48 to 55: st_dev of the
 * mount; from 64 on: its directory.
 */
const Word = {
  /** 0 free, 1 in use, 2 in use and somebody waits. */
  lock: 0,
  /** Odd: there is a file system behind this gate. Counts up whenever one comes or goes. */
  epoch: 1,
  /** What is asked of the file system's thread. */
  request: 2,
  /** Counts what it has done. */
  done: 3,
  /** An eventfd that wakes the file system's thread out of poll; 0 before the first. Never closed: a block thread may have read its number. */
  wakeFd: 4,
  /** Counts finished invalidations of the kernel's caches. */
  invalidated: 5,
  /** Bytes of the mount's directory; 0: it has none (any more). */
  pathLength: 6,
} as const;

const PATH = 64;

export const GateRequest = { none: 0, settle: 1, hold: 2, resume: 3 } as const;

/** How long to wait before looking whether the file system's thread is still there. */
const LOOK_MILLISECONDS = 100;
const EVENT = new Uint8Array(new BigUint64Array([1n]).buffer);

export class Gate {
  readonly words: Int32Array;
  /** Offset, length, st_dev. */
  readonly #range: Float64Array;
  readonly #path: Uint8Array;
  /** The epoch in which this thread has held it. */
  #held = 0;

  constructor(state: SharedArrayBuffer, index: number) {
    const at = GATES_OFFSET + index * GATE_BYTES;
    this.words = new Int32Array(state, at, 8);
    this.#range = new Float64Array(state, at + 32, 3);
    this.#path = new Uint8Array(state, at + PATH, GATE_BYTES - PATH);
  }

  guards(offset: number, length: number): boolean {
    if (!this.isActive) return false;
    return offset < this.#range[0]! + this.#range[1]! && offset + length > this.#range[0]!;
  }

  /** Bytes of the range. */
  get size(): number {
    return this.#range[1]!;
  }

  /** The view has become longer; the file system's thread takes as much of it as it is asked to. */
  lengthen(size: number): void {
    this.#range[1] = Math.max(this.#range[1]!, size);
  }

  get isActive(): boolean {
    return isOdd(this.#currentEpoch);
  }

  /** An eventfd that is to wake whatever file system is behind it, from the first one on; 0: none yet. */
  get wakeFd(): number {
    return this.words[Word.wakeFd]!;
  }

  get #currentEpoch(): number {
    return Atomics.load(this.words, Word.epoch);
  }

  /** By the main thread, before the file system's thread starts. */
  activate(offset: number, length: number, wakeFd: number): void {
    this.#range[0] = offset;
    this.#range[1] = length;
    this.words[Word.wakeFd] = wakeFd;
    this.words[Word.request] = GateRequest.none;
    this.words[Word.pathLength] = 0;
    Atomics.add(this.words, Word.epoch, 1);
  }

  /** Where it is mounted, and its st_dev; undefined: nowhere (any more), as before an unmount, which it would keep busy. */
  setMount(mount: { readonly directory: string; readonly device: number } | undefined): void {
    Atomics.store(this.words, Word.pathLength, 0);
    if (mount === undefined) return;
    const { written } = new TextEncoder().encodeInto(mount.directory, this.#path);
    this.#range[2] = mount.device;
    Atomics.store(this.words, Word.pathLength, written);
  }

  /** When the file system's thread has ended, however it did. */
  deactivate(): void {
    Atomics.add(this.words, Word.epoch, 1);
    Atomics.notify(this.words, Word.done);
    Atomics.notify(this.words, Word.invalidated);
  }

  // Block side

  settle(): void {
    const epoch = this.#acquire();
    try {
      this.#syncMount(epoch);
      this.#ask(GateRequest.settle, epoch);
    } finally {
      this.#release();
    }
  }

  /** True: the gate is held, and `resume` must follow. False: the file system is gone. */
  hold(): boolean {
    const epoch = this.#acquire();
    this.#held = epoch;
    let isHeld = false;
    try {
      this.#syncMount(epoch);
      isHeld = this.#ask(GateRequest.hold, epoch);
    } finally {
      if (!isHeld) this.#release();
    }
    return isHeld;
  }

  resume(): void {
    const epoch = this.#held;
    try {
      const before = Atomics.load(this.words, Word.invalidated);
      this.#ask(GateRequest.resume, epoch);
      while (this.#currentEpoch === epoch && Atomics.load(this.words, Word.invalidated) === before)
        Atomics.wait(this.words, Word.invalidated, before, LOOK_MILLISECONDS);
    } finally {
      this.#release();
    }
  }

  // The file system's side

  /** What is asked now; cheap enough for every turn of the loop. */
  get request(): number {
    return Atomics.load(this.words, Word.request);
  }

  /** Answers the request; after `hold` waits for what comes next, which is `resume`. */
  answer(): void {
    const asked = this.request;
    Atomics.store(this.words, Word.request, GateRequest.none);
    Atomics.add(this.words, Word.done, 1);
    Atomics.notify(this.words, Word.done);
    if (asked !== GateRequest.hold) return;
    while (Atomics.load(this.words, Word.request) === GateRequest.none) {
      // The thread that held the gate has gone without a word.
      if (Atomics.load(this.words, Word.lock) === 0) return;
      Atomics.wait(this.words, Word.request, GateRequest.none, LOOK_MILLISECONDS);
    }
  }

  /** By whoever has told the kernel to drop its caches of the mount, after each `resume`. */
  noteInvalidated(): void {
    Atomics.add(this.words, Word.invalidated, 1);
    Atomics.notify(this.words, Word.invalidated);
  }

  /** Has the kernel write what it holds back of the mount. */
  #syncMount(epoch: number): void {
    const length = Atomics.load(this.words, Word.pathLength);
    if (length === 0 || !isOdd(epoch)) return;
    // A copy: node decodes no shared memory.
    const directory = new TextDecoder().decode(this.#path.slice(0, length));
    syncFileSystem(directory, this.#range[2]!);
  }

  /** False: the file system of that epoch has gone. Another one that has come since may hear of it; it finds nothing to do. */
  #ask(request: number, epoch: number): boolean {
    const before = Atomics.load(this.words, Word.done);
    if (!isOdd(epoch) || this.#currentEpoch !== epoch) return false;
    Atomics.store(this.words, Word.request, request);
    Atomics.notify(this.words, Word.request);
    if (request !== GateRequest.resume) fs.writeSync(this.wakeFd, EVENT);
    while (Atomics.load(this.words, Word.done) === before) {
      if (this.#currentEpoch !== epoch) return false;
      Atomics.wait(this.words, Word.done, before, LOOK_MILLISECONDS);
    }
    return this.#currentEpoch === epoch;
  }

  /** Returns the epoch in which it has the gate. */
  #acquire(): number {
    if (Atomics.compareExchange(this.words, Word.lock, 0, 1) !== 0)
      while (Atomics.exchange(this.words, Word.lock, 2) !== 0) Atomics.wait(this.words, Word.lock, 2);
    return this.#currentEpoch;
  }

  #release(): void {
    if (Atomics.exchange(this.words, Word.lock, 0) === 2) Atomics.notify(this.words, Word.lock, 1);
  }
}

function isOdd(epoch: number): boolean {
  return (epoch & 1) === 1;
}

export function gatesOf(state: SharedArrayBuffer): Gate[] {
  return Array.from({ length: GATE_COUNT }, (_, index) => new Gate(state, index));
}
