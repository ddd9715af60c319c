import { Worker } from 'node:worker_threads';
import { nativeAffinity, setOfProcessor } from './affinity.ts';

/** What the two threads share. */
interface NeighbourShared {
  readonly words: Int32Array;
  /** How long it stays awake without a beat, milliseconds. */
  readonly patience: number;
  readonly layout: typeof NeighbourLayout;
}

const NeighbourLayout = {
  /** Changes with every beat. */
  beat: 0,
  awake: 1,
  /** The id of the thread, once it runs. */
  thread: 2,
  words: 3,
  /** What setpriority(2) has as the lowest. */
  lowestPriority: 19,
} as const;

/**
 * What the thread does. Its text is handed to the thread, which works the same from the sources, from the built library and from the
 * bundle; so it may use nothing from outside of itself.
 */
function keepBusy(): void {
  const fs = process.getBuiltinModule('node:fs');
  const os = process.getBuiltinModule('node:os');
  const { workerData } = process.getBuiltinModule('node:worker_threads');
  const { words, patience, layout } = workerData as NeighbourShared;
  // 0 is the calling thread; with threads of other processes that want to work it has 15 parts of 1024.
  os.setPriority(0, layout.lowestPriority);
  const [id, , thread] = fs.readlinkSync('/proc/thread-self').split('/');
  // A /proc of other numbers names other threads.
  if (Number(id) !== process.pid) return;
  Atomics.store(words, layout.thread, Number(thread));
  for (;;) {
    Atomics.wait(words, layout.awake, 0);
    let beat = Atomics.load(words, layout.beat);
    let since = performance.now();
    for (;;) {
      for (let look = 0; look < 50 && Atomics.load(words, layout.beat) === beat; look++);
      const heard = Atomics.load(words, layout.beat);
      const now = performance.now();
      if (heard !== beat) {
        beat = heard;
        since = now;
      } else if (now - since > patience) break;
    }
    Atomics.store(words, layout.awake, 0);
  }
}

/**
 * A thread of the lowest priority that keeps a processor busy with nothing for as long as it is told to, so that the kernel neither lets it sleep
 * nor takes it for a place where a thread that wakes up runs sooner. Whoever has work for that processor gets it.
 */
export class BusyNeighbour {
  readonly #words = new Int32Array(new SharedArrayBuffer(4 * NeighbourLayout.words));
  #beats = 0;

  /** `patience`: how long it stays awake without a beat, milliseconds. */
  constructor(patience: number) {
    const workerData: NeighbourShared = { words: this.#words, patience, layout: NeighbourLayout };
    const worker = new Worker(`(${keepBusy.toString()})()`, { eval: true, workerData });
    worker.unref();
    // One that cannot be started never runs.
    worker.once('error', () => Atomics.store(this.#words, NeighbourLayout.thread, 0));
  }

  get isRunning(): boolean {
    return Atomics.load(this.#words, NeighbourLayout.thread) !== 0;
  }

  get isAwake(): boolean {
    return Atomics.load(this.#words, NeighbourLayout.awake) === 1;
  }

  beat(): void {
    this.#beats = (this.#beats + 1) | 0;
    Atomics.store(this.#words, NeighbourLayout.beat, this.#beats);
  }

  wake(): void {
    Atomics.store(this.#words, NeighbourLayout.awake, 1);
    Atomics.notify(this.#words, NeighbourLayout.awake);
  }

  /** False: it is not to be moved. */
  moveTo(processor: number): boolean {
    const thread = Atomics.load(this.#words, NeighbourLayout.thread);
    return thread !== 0 && nativeAffinity()!.set(thread, setOfProcessor(processor));
  }
}
