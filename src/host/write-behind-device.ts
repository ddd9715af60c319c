import { Worker } from 'node:worker_threads';
import {
  type BlockDevice,
  type Extent,
  checkRange,
  checkWritable,
  discardRange,
  extentsOf,
  zeroRange,
} from '../device/block-device.ts';
import { FsError, errnoCode } from '../errors.ts';

/** A device that is a plain range of an open file, so that a second thread can write it, too. */
export type FileBackedDevice = BlockDevice & Required<Pick<BlockDevice, 'fileRange'>>;

const SLOT_COUNT = 12;
const SLOT_SIZE = 1 << 20;
/** Below this many bytes written, a thread costs more than it brings. */
const THRESHOLD = 4 << 20;
/** Waking a thread takes longer than filling a slot, so the other one is woken when this many are full. */
const WAKE_STEP = 4;
/** As often, in bytes, what was written is started on its way to the disk, so that little is left for `flush`. */
const SYNC_STEP = 32 << 20;

/** Places in the shared control words. */
const Control = { queued: 0, written: 1, errno: 2, running: 3, lengths: 4 } as const;

/**
 * Lets a second thread write to the file, while this one goes on reading and computing: filling an image is half host
 * reads, half image writes, and either waits for the page cache. Writes are done in the order in which they were
 * given. When one fails, none after it is done, so the file is as after a power cut at that write; the error
 * comes with the next call. Reads wait for the writes that they overlap, everything else for all of them.
 *
 * The thread is started with the 4th MiB; until it runs every write is made at once.
 */
export class WriteBehindDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly #base: FileBackedDevice;
  #direct = 0;
  #queue: WriteQueue | undefined;

  constructor(base: FileBackedDevice) {
    this.#base = base;
    this.size = base.size;
    this.sectorSize = base.sectorSize;
    this.readOnly = base.readOnly;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    this.#queue?.waitFor(offset, into.length);
    this.#base.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    checkWritable(this, 'write');
    checkRange(this, 'write', offset, from.length);
    if (this.#queue?.isRunning !== true) {
      this.#base.write(offset, from);
      this.#direct += from.length;
      if (this.#direct >= THRESHOLD) this.#queue ??= new WriteQueue(this.#base);
      return;
    }
    for (let done = 0; done < from.length; done += SLOT_SIZE) {
      this.#queue.push(offset + done, from.subarray(done, Math.min(done + SLOT_SIZE, from.length)));
    }
  }

  zero(offset: number, length: number): void {
    this.#queue?.drain();
    zeroRange(this.#base, offset, length);
  }

  discard(offset: number, length: number): void {
    this.#queue?.drain();
    discardRange(this.#base, offset, length);
  }

  extents(offset: number, length: number): Iterable<Extent> {
    this.#queue?.drain();
    return extentsOf(this.#base, offset, length);
  }

  flush(): void {
    this.#queue?.drain();
    this.#base.flush();
  }

  close(): void {
    try {
      this.#queue?.end();
    } finally {
      this.#base.close();
    }
  }
}

/** A ring of slots between the two threads; whole numbers in `control`, byte offsets in `offsets`, data in `data`. */
class WriteQueue {
  readonly #control = new Int32Array(new SharedArrayBuffer(4 * (Control.lengths + SLOT_COUNT)));
  readonly #offsets = new Float64Array(new SharedArrayBuffer(8 * SLOT_COUNT));
  readonly #data = new Uint8Array(new SharedArrayBuffer(SLOT_COUNT * SLOT_SIZE));
  #queued = 0;

  constructor(base: FileBackedDevice) {
    const { fd, offset } = base.fileRange();
    const worker = new Worker(`(${writeQueued.toString()})()`, {
      eval: true,
      workerData: {
        fd,
        base: offset,
        control: this.#control,
        offsets: this.#offsets,
        data: this.#data,
        slotCount: SLOT_COUNT,
        slotSize: SLOT_SIZE,
        syncStep: SYNC_STEP,
        words: Control,
      },
    });
    worker.unref();
  }

  get isRunning(): boolean {
    return Atomics.load(this.#control, Control.running) === 1;
  }

  push(offset: number, from: Uint8Array): void {
    this.#waitUntil(this.#queued - SLOT_COUNT + 1);
    this.#raise();
    const slot = this.#queued % SLOT_COUNT;
    this.#data.set(from, slot * SLOT_SIZE);
    this.#offsets[slot] = offset;
    this.#control[Control.lengths + slot] = from.length;
    this.#announce();
  }

  /** Returns when nothing is pending that overlaps the range. */
  waitFor(offset: number, length: number): void {
    for (let index = this.#queued - 1; index >= Atomics.load(this.#control, Control.written); index--) {
      const slot = index % SLOT_COUNT;
      const start = this.#offsets[slot]!;
      if (start < offset + length && offset < start + this.#control[Control.lengths + slot]!) {
        this.#waitUntil(index + 1);
        break;
      }
    }
    this.#raise();
  }

  drain(): void {
    this.#waitUntil(this.#queued);
    this.#raise();
  }

  /** Lets the thread end, after all that was given to it; a length of 0 tells it to. */
  end(): void {
    // One that is still starting has nothing to do, and ends by itself as soon as it reads this.
    const { isRunning } = this;
    if (isRunning) this.#waitUntil(this.#queued);
    this.#control[Control.lengths + (this.#queued % SLOT_COUNT)] = 0;
    this.#announce();
    Atomics.notify(this.#control, Control.queued);
    if (isRunning) this.#raise();
  }

  #announce(): void {
    Atomics.store(this.#control, Control.queued, ++this.#queued);
    if (this.#queued % WAKE_STEP === 0) Atomics.notify(this.#control, Control.queued);
  }

  #waitUntil(count: number): void {
    for (;;) {
      const written = Atomics.load(this.#control, Control.written);
      if (written >= count) return;
      Atomics.notify(this.#control, Control.queued);
      Atomics.wait(this.#control, Control.written, written);
    }
  }

  #raise(): void {
    const errno = Atomics.load(this.#control, Control.errno);
    if (errno === 0) return;
    const code = errnoCode(errno);
    throw new FsError(code ?? 'EIO', {
      syscall: 'write',
      ...(code === undefined ? { detail: `errno ${errno}` } : {}),
    });
  }
}

interface QueueShared {
  readonly fd: number;
  readonly base: number;
  readonly control: Int32Array;
  readonly offsets: Float64Array;
  readonly data: Uint8Array;
  readonly slotCount: number;
  readonly slotSize: number;
  readonly syncStep: number;
  readonly words: typeof Control;
}

/**
 * What the second thread does. Its text is handed to the thread, which works the same from the sources, from the built
 * library and from the bundle; so it may use nothing from outside of itself.
 */
function writeQueued(): void {
  const fs = process.getBuiltinModule('node:fs');
  const { workerData } = process.getBuiltinModule('node:worker_threads');
  const { fd, base, control, offsets, data, slotCount, slotSize, syncStep, words } =
    workerData as QueueShared;
  Atomics.store(control, words.running, 1);
  let unsynced = 0;
  for (let index = 0; ; index++) {
    while (Atomics.load(control, words.queued) === index) Atomics.wait(control, words.queued, index);
    const slot = index % slotCount;
    const length = control[words.lengths + slot]!;
    const start = slot * slotSize;
    try {
      for (let done = 0; done < length && control[words.errno] === 0;) {
        done += fs.writeSync(fd, data, start + done, length - done, base + offsets[slot]! + done);
      }
    } catch (error) {
      const errno = error instanceof Error && 'errno' in error ? Number(error.errno) : -5;
      Atomics.store(control, words.errno, errno === 0 ? 5 : Math.abs(errno));
    }
    Atomics.store(control, words.written, index + 1);
    Atomics.notify(control, words.written);
    if (length === 0) return;
    unsynced += length;
    if (unsynced >= syncStep) {
      unsynced = 0;
      // On a thread of libuv's, while this one goes on writing. Its outcome does not matter here: `flush` syncs again.
      fs.fdatasync(fd, () => {});
    }
  }
}
