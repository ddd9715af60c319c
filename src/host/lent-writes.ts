import { Worker } from 'node:worker_threads';
import type { BlockDevice } from '../device/block-device.ts';
import { LentLayout, type LentShared, writeLent } from './lent-write-thread.ts';

const { entryCount, entryWords } = LentLayout;

/** Where a device lies in a file, so that a second thread can write it, too. */
export interface FilePlace {
  readonly fd: number;
  /** Bytes into the file at which the device starts. */
  readonly position: number;
}

/**
 * Writes that a second thread does, in the order in which they were given, straight from the memory in which they lie: that is lent until it is done.
 *
 * When one fails, the thread stands still, and nothing is dropped: whoever waits next does all that is left by itself, and sees the error. What
 * could not be written stays, and is tried again at the next wait.
 */
export class LentWrites {
  readonly #device: BlockDevice;
  readonly #bytes: readonly Uint8Array[];
  readonly #control = new Int32Array(new SharedArrayBuffer(4 * LentLayout.controlWords));
  readonly #entries = new Int32Array(new SharedArrayBuffer(4 * entryWords * entryCount));
  readonly #offsets = new Float64Array(new SharedArrayBuffer(8 * entryCount));
  /** For each memory how many writes must be done until it is free. */
  readonly #uses: number[];
  #queued = 0;

  /** `device` writes what the thread could not. */
  constructor(device: BlockDevice, place: FilePlace, memories: readonly SharedArrayBuffer[]) {
    this.#device = device;
    this.#bytes = memories.map((memory) => new Uint8Array(memory));
    this.#uses = memories.map(() => 0);
    const workerData: LentShared = {
      fd: place.fd,
      base: place.position,
      memories,
      control: this.#control,
      entries: this.#entries,
      offsets: this.#offsets,
      layout: LentLayout,
    };
    const worker = new Worker(`(${writeLent.toString()})()`, { eval: true, workerData });
    worker.unref();
    // One that cannot be started never runs, and everything is written at once.
    worker.once('error', () => Atomics.store(this.#control, LentLayout.running, 0));
  }

  get isRunning(): boolean {
    return Atomics.load(this.#control, LentLayout.running) === 1;
  }

  /** `from` lies in the memory of that index, which nobody may change until it is free again. */
  lend(memory: number, offset: number, from: Uint8Array): void {
    this.#waitUntil(this.#queued - entryCount + 1);
    const entry = this.#queued % entryCount;
    const word = entry * entryWords;
    this.#entries[word + LentLayout.memory] = memory;
    this.#entries[word + LentLayout.start] = from.byteOffset;
    this.#entries[word + LentLayout.length] = from.length;
    this.#offsets[entry] = offset;
    this.#uses[memory] = ++this.#queued;
    Atomics.store(this.#control, LentLayout.queued, this.#queued);
    if (Atomics.load(this.#control, LentLayout.sleeping) === 1) {
      Atomics.notify(this.#control, LentLayout.queued);
    }
  }

  /** Returns when nothing in the memory of that index is to be written any more. */
  waitForMemory(memory: number): void {
    this.#waitUntil(this.#uses[memory]!);
  }

  /** Returns when nothing is pending that overlaps the range. */
  waitForRange(offset: number, length: number): void {
    const done = Atomics.load(this.#control, LentLayout.done);
    for (let index = this.#queued - 1; index >= done; index--) {
      const start = this.#offsets[index % entryCount]!;
      const end = start + this.#entries[(index % entryCount) * entryWords + LentLayout.length]!;
      if (start < offset + length && offset < end) {
        this.#waitUntil(index + 1);
        return;
      }
    }
  }

  drain(): void {
    this.#waitUntil(this.#queued);
  }

  /** Lets the thread end, after all that was given to it. */
  end(): void {
    try {
      this.drain();
    } finally {
      Atomics.store(this.#control, LentLayout.closing, 1);
      Atomics.notify(this.#control, LentLayout.queued);
      Atomics.notify(this.#control, LentLayout.errno);
    }
  }

  #waitUntil(count: number): void {
    const control = this.#control;
    if (Atomics.load(control, LentLayout.done) >= count) return;
    Atomics.store(control, LentLayout.awaited, 1);
    try {
      for (;;) {
        const told = Atomics.load(control, LentLayout.told);
        if (Atomics.load(control, LentLayout.done) >= count) return;
        if (Atomics.load(control, LentLayout.errno) !== 0) {
          this.#takeOver();
          return;
        }
        Atomics.wait(control, LentLayout.told, told);
      }
    } finally {
      Atomics.store(control, LentLayout.awaited, 0);
    }
  }

  /** The thread stands still: everything that is left is written here, or told why not. */
  #takeOver(): void {
    const control = this.#control;
    for (let index = Atomics.load(control, LentLayout.done); index < this.#queued; index++) {
      const entry = index % entryCount;
      const word = entry * entryWords;
      const start = this.#entries[word + LentLayout.start]!;
      const bytes = this.#bytes[this.#entries[word + LentLayout.memory]!]!;
      const from = bytes.subarray(start, start + this.#entries[word + LentLayout.length]!);
      this.#device.write(this.#offsets[entry]!, from);
      Atomics.store(control, LentLayout.done, index + 1);
    }
    Atomics.store(control, LentLayout.errno, 0);
    Atomics.notify(control, LentLayout.errno);
  }
}
