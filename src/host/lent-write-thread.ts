/** What the two threads of `LentWrites` share. */
export interface LentShared {
  readonly fd: number;
  /** Where the device starts in the file, bytes. */
  readonly base: number;
  /** What is lent lies in these. */
  readonly memories: readonly SharedArrayBuffer[];
  readonly control: Int32Array;
  /** `entryWords` a write. */
  readonly entries: Int32Array;
  /** Offset of each write on the device, bytes. */
  readonly offsets: Float64Array;
  readonly layout: typeof LentLayout;
}

/** Sizes and places of what is shared. */
export const LentLayout = {
  entryCount: 64,
  /** Longest time that the thread looks for work before it sleeps, milliseconds: being woken takes longer, above all in a virtual machine. */
  spin: 0.3,

  // Words of `control`.
  /** Writes given so far. */
  queued: 0,
  /** Writes done so far. */
  done: 1,
  /** Counts what the thread has to tell: that something is done, or has failed. */
  told: 2,
  /** Of the write after those done; 0: none has failed. The thread stands still until it is 0 again. */
  errno: 3,
  running: 4,
  sleeping: 5,
  /** 1: the other thread waits for what is told. */
  awaited: 6,
  /** 1: nothing more will come. */
  closing: 7,
  controlWords: 8,

  // Words of an entry: an index into `memories`, and bytes.
  memory: 0,
  start: 1,
  length: 2,
  entryWords: 3,
} as const;

/**
 * What the second thread does. Its text is handed to the thread, which works the same from the sources, from the built
 * library and from the bundle; so it may use nothing from outside of itself.
 */
export function writeLent(): void {
  const fs = process.getBuiltinModule('node:fs');
  const os = process.getBuiltinModule('node:os');
  const { workerData } = process.getBuiltinModule('node:worker_threads');
  const { fd, base, memories, control, entries, offsets, layout } = workerData as LentShared;
  const canSpin = os.availableParallelism() > 1;
  const bytes = memories.map((memory) => new Uint8Array(memory));

  /** 0, or the errno. */
  function write(index: number): number {
    const entry = (index % layout.entryCount) * layout.entryWords;
    const from = bytes[entries[entry + layout.memory]!]!;
    const start = entries[entry + layout.start]!;
    const length = entries[entry + layout.length]!;
    const position = base + offsets[index % layout.entryCount]!;
    try {
      for (let done = 0; done < length;) {
        done += fs.writeSync(fd, from, start + done, length - done, position + done);
      }
      return 0;
    } catch (error) {
      const errno = error instanceof Error && 'errno' in error ? Number(error.errno) : -5;
      return errno === 0 ? 5 : Math.abs(errno);
    }
  }

  function tell(): void {
    Atomics.add(control, layout.told, 1);
    if (Atomics.load(control, layout.awaited) === 1) Atomics.notify(control, layout.told);
  }

  /** Returns when there is something to do, or will never be. */
  function wait(index: number): void {
    const until = canSpin ? performance.now() + layout.spin : 0;
    while (canSpin && performance.now() < until) {
      for (let look = 0; look < 200; look++) {
        if (Atomics.load(control, layout.queued) !== index) return;
      }
    }
    Atomics.store(control, layout.sleeping, 1);
    while (Atomics.load(control, layout.queued) === index && Atomics.load(control, layout.closing) === 0) {
      Atomics.wait(control, layout.queued, index);
    }
    Atomics.store(control, layout.sleeping, 0);
  }

  Atomics.store(control, layout.running, 1);
  for (;;) {
    const index = Atomics.load(control, layout.done);
    if (Atomics.load(control, layout.queued) === index) {
      if (Atomics.load(control, layout.closing) === 1) return;
      wait(index);
      continue;
    }
    const errno = write(index);
    if (errno === 0) {
      Atomics.store(control, layout.done, index + 1);
      tell();
      continue;
    }
    Atomics.store(control, layout.errno, errno);
    tell();
    // The other thread takes over what is left, and lets this one go on when it has succeeded.
    while (Atomics.load(control, layout.errno) !== 0) {
      if (Atomics.load(control, layout.closing) === 1) return;
      Atomics.wait(control, layout.errno, errno);
    }
  }
}
