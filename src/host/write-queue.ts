import { Worker } from 'node:worker_threads';
import { type BlockDevice, checkRange } from '../device/block-device.ts';
import {
  type ContentCopier,
  type CopiedPiece,
  MAX_OUTSIDE_PATH,
  type OutsideFile,
} from '../device/content-copier.ts';
import { FsError, errnoCode } from '../errors.ts';
import { QueueLayout, type QueueShared, writeQueued } from './write-thread.ts';

/** A device that is a plain range of an open file, so that a second thread can write it, too. */
export type FileBackedDevice = BlockDevice & Required<Pick<BlockDevice, 'fileRange'>>;

const { entryCount, entryNumbers, entryWords, pathSize, slotCount, slotSize } = QueueLayout;

/** So much work makes it worth waking the other thread: rarely, since it writes what it has before it sleeps. */
const WAKE_STEP = 128;
/** A slot is much work. */
const WAKE_SLOTS = 4;

/** Work for a thread that writes to a file: bytes, which are copied into slots, and pieces of other files. Done in the order in which it is given. */
export class WriteQueue implements ContentCopier {
  readonly #control = new Int32Array(new SharedArrayBuffer(4 * QueueLayout.controlWords));
  readonly #entries = new Int32Array(new SharedArrayBuffer(4 * entryWords * entryCount));
  readonly #numbers = new Float64Array(new SharedArrayBuffer(8 * entryNumbers * entryCount));
  readonly #paths = Buffer.from(new SharedArrayBuffer(pathSize * entryCount));
  readonly #data = new Uint8Array(new SharedArrayBuffer(slotCount * slotSize));
  /** The file of each entry that is a piece of one. */
  readonly #files: (OutsideFile | undefined)[] = Array.from({ length: entryCount }, () => undefined);
  /** The last entry that has something in each slot, plus 1. */
  readonly #slotUses = Array.from({ length: slotCount }, () => 0);
  #failed = new Set<OutsideFile>();
  #queued = 0;
  /** Slots that were begun. The last one is filled up to `#filled` bytes. */
  #slotsBegun = 0;
  #filled: number = slotSize;

  readonly #device: FileBackedDevice;

  constructor(device: FileBackedDevice) {
    this.#device = device;
    const { fd, offset } = device.fileRange();
    const workerData: QueueShared = {
      fd,
      base: offset,
      control: this.#control,
      entries: this.#entries,
      numbers: this.#numbers,
      paths: this.#paths,
      data: this.#data,
      layout: QueueLayout,
    };
    const worker = new Worker(`(${writeQueued.toString()})()`, { eval: true, workerData });
    worker.unref();
  }

  get isRunning(): boolean {
    return Atomics.load(this.#control, QueueLayout.running) === 1;
  }

  /** At most a slot. */
  push(offset: number, from: Uint8Array): void {
    const isNew = this.#filled + from.length > slotSize;
    if (isNew) {
      this.#waitUntil(this.#slotUses[this.#slotsBegun % slotCount]!);
      this.#slotsBegun++;
      this.#filled = 0;
    }
    this.#raise();
    const slot = (this.#slotsBegun - 1) % slotCount;
    const start = slot * slotSize + this.#filled;
    const entry = this.#take(QueueLayout.content);
    this.#entries[entry * entryWords + QueueLayout.start] = start;
    this.#data.set(from, start);
    this.#filled += from.length;
    this.#place(entry, offset, from.length);
    this.#slotUses[slot] = this.#queued + 1;
    this.#announce(isNew && this.#slotsBegun % WAKE_SLOTS === 0);
  }

  copy(file: OutsideFile, pieces: readonly CopiedPiece[]): void {
    this.#raise();
    for (const { deviceOffset, length, padding } of pieces) {
      checkRange(this.#device, 'write', deviceOffset, length + padding);
    }
    for (let index = 0; index < pieces.length; index++) {
      const { deviceOffset, length, fileOffset, padding } = pieces[index]!;
      const entry = this.#take(QueueLayout.piece);
      const word = entry * entryWords;
      this.#files[entry] = file;
      this.#entries[word + QueueLayout.pathLength] =
        index === 0 ? this.#paths.write(file.path, entry * pathSize, MAX_OUTSIDE_PATH, 'utf8') : 0;
      this.#entries[word + QueueLayout.isLast] = index === pieces.length - 1 ? 1 : 0;
      this.#place(entry, deviceOffset, length, fileOffset, padding);
      this.#announce(false);
    }
  }

  failed({ wait }: { readonly wait: boolean }): readonly OutsideFile[] {
    if (wait) {
      this.drain();
      for (let entry = 0; entry < entryCount; entry++) this.#forget(entry);
    }
    if (this.#failed.size === 0) return [];
    const failed = [...this.#failed];
    this.#failed = new Set();
    return failed;
  }

  /** Returns when nothing is pending that overlaps the range. */
  waitFor(offset: number, length: number): void {
    const written = Atomics.load(this.#control, QueueLayout.written);
    for (let index = this.#queued - 1; index >= written; index--) {
      const number = (index % entryCount) * entryNumbers;
      const start = this.#numbers[number + QueueLayout.offset]!;
      const end =
        start + this.#numbers[number + QueueLayout.length]! + this.#numbers[number + QueueLayout.padding]!;
      if (start < offset + length && offset < end) {
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

  /** Lets the thread end, after all that was given to it. */
  end(): void {
    // One that is still starting has nothing to do, and ends by itself as soon as it reads this.
    const { isRunning } = this;
    if (isRunning) this.#waitUntil(this.#queued);
    this.#place(this.#take(QueueLayout.end), 0, 0);
    this.#announce(true);
    if (isRunning) this.#raise();
  }

  /** An entry of the ring; waits until half of it is free when it is full. */
  #take(kind: number): number {
    if (this.#queued - Atomics.load(this.#control, QueueLayout.written) >= entryCount) {
      this.#waitUntil(this.#queued - entryCount / 2);
    }
    const entry = this.#queued % entryCount;
    this.#forget(entry);
    this.#entries[entry * entryWords + QueueLayout.kind] = kind;
    return entry;
  }

  /** What an entry was used for before is done: notes the file if that failed. */
  #forget(entry: number): void {
    const file = this.#files[entry];
    if (file === undefined) return;
    const word = entry * entryWords + QueueLayout.failed;
    if (this.#entries[word] === 1) this.#failed.add(file);
    this.#entries[word] = 0;
    this.#files[entry] = undefined;
  }

  #place(entry: number, offset: number, length: number, fileOffset = 0, padding = 0): void {
    const number = entry * entryNumbers;
    this.#numbers[number + QueueLayout.offset] = offset;
    this.#numbers[number + QueueLayout.length] = length;
    this.#numbers[number + QueueLayout.fileOffset] = fileOffset;
    this.#numbers[number + QueueLayout.padding] = padding;
  }

  #announce(isMuch: boolean): void {
    Atomics.store(this.#control, QueueLayout.queued, ++this.#queued);
    if (Atomics.load(this.#control, QueueLayout.sleeping) === 0) return;
    const waiting = this.#queued - Atomics.load(this.#control, QueueLayout.written);
    if (isMuch || waiting >= WAKE_STEP) Atomics.notify(this.#control, QueueLayout.queued);
  }

  #waitUntil(count: number): void {
    const control = this.#control;
    while (Atomics.load(control, QueueLayout.written) < count) {
      Atomics.store(control, QueueLayout.wanted, count);
      const written = Atomics.load(control, QueueLayout.written);
      if (written >= count) break;
      Atomics.notify(control, QueueLayout.queued);
      Atomics.wait(control, QueueLayout.written, written);
    }
  }

  #raise(): void {
    const errno = Atomics.load(this.#control, QueueLayout.errno);
    if (errno === 0) return;
    const code = errnoCode(errno);
    throw new FsError(code ?? 'EIO', {
      syscall: 'write',
      ...(code === undefined ? { detail: `errno ${errno}` } : {}),
    });
  }
}
