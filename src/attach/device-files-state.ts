/**
 * What the threads that serve a device's files have in common besides the device: open handles, who is at work, and what tells whether the
 * kernel's cache of a file may be kept when it is opened again.
 */

/** Int32 words. */
const Word = {
  /** Of /dev/fuse; 0: not known yet, -1: there will be none. Notified. */
  fd: 0,
  stop: 1,
  openCount: 2,
  /** Somebody wants to be told when nothing is open any more. */
  idleWanted: 3,
  /** Writes through the files that have begun and have not been counted everywhere yet. */
  writing: 4,
} as const;

/** Most threads that serve one directory. */
export const MAX_WORKERS = 4;
const HANDLE_COUNT = 4096;
/** Ids of views are below this. */
const VIEW_COUNT = 1024;

const WORKERS = 16;
const WORKER_WORDS = 4;
const HANDLES = WORKERS + MAX_WORKERS * WORKER_WORDS;
const HANDLE_WORDS = 4;
const OWN_WRITES = HANDLES + HANDLE_COUNT * HANDLE_WORDS;
const FOREIGN_WRITES = OWN_WRITES + VIEW_COUNT;
const LENGTH = FOREIGN_WRITES + VIEW_COUNT;

const FREE = 0;
const TAKEN = 1;
const OPEN = 2;
const OPEN_CACHED = 3;

export interface OpenHandle {
  readonly viewId: number;
  /** The thread that opened it; 0 when it is outside of our PID namespace. */
  readonly thread: number;
}

export function createFilesState(): SharedArrayBuffer {
  return new SharedArrayBuffer(LENGTH * 4);
}

export class FilesState {
  readonly words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
  }

  // The descriptor

  setDescriptor(fd: number): void {
    Atomics.store(this.words, Word.fd, fd);
    Atomics.notify(this.words, Word.fd);
  }

  /** Waits for it; -1 when there is none to come. */
  awaitDescriptor(): number {
    Atomics.wait(this.words, Word.fd, 0);
    return Atomics.load(this.words, Word.fd);
  }

  get isStopping(): boolean {
    return Atomics.load(this.words, Word.stop) !== 0;
  }

  stop(): void {
    Atomics.store(this.words, Word.stop, 1);
  }

  // Requests at work

  /** The request that a worker answers now, by its `unique`; zeros: none. */
  setCurrent(worker: number, low: number, high: number): void {
    const at = WORKERS + worker * WORKER_WORDS;
    this.words[at] = low;
    this.words[at + 1] = high;
  }

  current(worker: number): { readonly low: number; readonly high: number } {
    const at = WORKERS + worker * WORKER_WORDS;
    return { low: this.words[at]! >>> 0, high: this.words[at + 1]! >>> 0 };
  }

  /** The eventfd that wakes a worker; 0 before it has made one. */
  wakeDescriptor(worker: number): number {
    return Atomics.load(this.words, WORKERS + worker * WORKER_WORDS + 2);
  }

  setWakeDescriptor(worker: number, fd: number): void {
    Atomics.store(this.words, WORKERS + worker * WORKER_WORDS + 2, fd);
  }

  // Handles

  /** The number of a new open handle, 1 and up; 0 when there is no more room. */
  openHandle(viewId: number, thread: number, cached: boolean): number {
    const { words } = this;
    for (let index = 0; index < HANDLE_COUNT; index++) {
      const at = HANDLES + index * HANDLE_WORDS;
      if (Atomics.compareExchange(words, at, FREE, TAKEN) !== FREE) continue;
      words[at + 1] = viewId;
      words[at + 2] = thread;
      Atomics.store(words, at, cached ? OPEN_CACHED : OPEN);
      Atomics.add(words, Word.openCount, 1);
      return index + 1;
    }
    return 0;
  }

  /** True when it was a handle whose pages the kernel caches. */
  closeHandle(handle: number): boolean {
    const at = HANDLES + (handle - 1) * HANDLE_WORDS;
    const before = Atomics.exchange(this.words, at, FREE);
    Atomics.sub(this.words, Word.openCount, 1);
    Atomics.notify(this.words, Word.openCount);
    return before === OPEN_CACHED;
  }

  handles(): OpenHandle[] {
    const { words } = this;
    const handles: OpenHandle[] = [];
    if (this.openCount === 0) return handles;
    for (let at = HANDLES; at < OWN_WRITES; at += HANDLE_WORDS) {
      if (Atomics.load(words, at) < OPEN) continue;
      handles.push({ viewId: words[at + 1]!, thread: words[at + 2]! });
    }
    return handles;
  }

  get openCount(): number {
    return Atomics.load(this.words, Word.openCount);
  }

  /** Waits until the number of open handles is another than `count`. */
  awaitOpenCount(count: number, milliseconds: number): void {
    Atomics.wait(this.words, Word.openCount, count, milliseconds);
  }

  /** Somebody asked to be told. Asking again sets it again. */
  takeIdleWanted(): boolean {
    return Atomics.exchange(this.words, Word.idleWanted, 0) !== 0;
  }

  wantIdle(): void {
    Atomics.store(this.words, Word.idleWanted, 1);
  }

  // Caches

  /** Around each write through a file. */
  beginWrite(viewId: number): void {
    Atomics.add(this.words, Word.writing, 1);
    Atomics.add(this.words, OWN_WRITES + viewId, 1);
  }

  endWrite(): void {
    Atomics.sub(this.words, Word.writing, 1);
  }

  /**
   * On opening a file: may the kernel keep what it has cached of it? Only when all writes to the device (`writes`: their count) since it was
   * last opened went through that file: the kernel keeps a cache for each file, and puts what is written through one in that one alone.
   */
  mayKeepCache(viewId: number, writes: number): boolean {
    // A write under way is counted in one place and not in the other: then nothing can be told.
    const isBusy = Atomics.load(this.words, Word.writing) !== 0;
    const foreign = (writes - Atomics.load(this.words, OWN_WRITES + viewId)) | 0;
    const mark = isBusy ? UNKNOWN : foreign ^ MARK;
    return Atomics.exchange(this.words, FOREIGN_WRITES + viewId, mark) === mark && mark !== UNKNOWN;
  }

  /** The next time that a file is opened its cache is dropped. */
  distrustCaches(): void {
    for (let index = 0; index < VIEW_COUNT; index++)
      Atomics.store(this.words, FOREIGN_WRITES + index, UNKNOWN);
  }
}

const UNKNOWN = 0;
/** Makes UNKNOWN stand for a count that is not reached. */
const MARK = -0x8000_0000;
