import fs from 'node:fs';
import { nativeAffinity, processorsOf, setOfProcessor } from './affinity.ts';
import { BusyNeighbour } from './busy-neighbour.ts';
import { SpinWait } from './spin-wait.ts';
import type { Waiting } from './waiting.ts';

/** A request that comes so soon, the waking of processors included, is of a caller who does one thing after the other. Milliseconds. */
const SOON = 0.25;
/** Such requests in a row before the thread moves to the caller. */
const FEW = 4;
const MANY = 1024;
/** How long the neighbour stays awake after a request, milliseconds. */
const PATIENCE = 0.5;
/** Requests at least between two in vain, else the thread moves back. */
const WORTH = 32;
/** Requests before the first look where the caller is; while he stays there, twice as many before each next one. */
const FIRST_LOOK = 256;
const LOOK_EVERY = 4096;
/** Callers who take turns after fewer requests than this work at the same time. */
const TURN = 16;
/** The thread moves back when nothing has come for so long, milliseconds. */
const REST = 50;

/**
 * Serves a caller who does one thing after the other on the processor on which he is, where there are two. He and the server work in turns: on
 * two processors each turn wakes one that has gone to sleep, which takes 10 to 40 us in a virtual machine, on one it is a change of threads, of 2 us.
 * The kernel would give whoever wakes up the processor that is idle; so the other one is kept busy meanwhile, by a thread that gives way to all others.
 *
 * While several callers work at the same time, or move much with each request, or come late, the thread is where the kernel puts it, and
 * waits as a SpinWait does.
 */
export class CallerProcessor implements Waiting {
  readonly #spin = new SpinWait();
  /** Where the thread may be. */
  readonly #all: Uint8Array;
  readonly #processors: readonly number[];
  #neighbour: BusyNeighbour | undefined;
  /** Where the thread is kept; -1: nowhere. */
  #at = -1;
  /** Since when there has been nothing to do, while the thread is not kept anywhere; 0: there is. */
  #since = 0;
  #soon = 0;
  #needed = FEW;
  #caller = 0;
  /** Requests of the caller so far, since another one's. */
  #turn = 0;
  /** At which of them it is looked next where he is. */
  #lookAt = FIRST_LOOK;
  #lookEvery = FIRST_LOOK;
  /** Requests since the neighbour was awoken. */
  #worth = 0;

  /** Undefined where the thread may not run on just two processors, or where that cannot be said. */
  static ofThisThread(): CallerProcessor | undefined {
    const all = nativeAffinity()?.get();
    if (all === undefined) return undefined;
    const processors = processorsOf(all);
    return processors.length === 2 ? new CallerProcessor(all, processors) : undefined;
  }

  private constructor(all: Uint8Array, processors: readonly number[]) {
    this.#all = all;
    this.#processors = processors;
  }

  get restAfter(): number | undefined {
    return this.#at < 0 ? undefined : REST;
  }

  rest(): void {
    this.#leave();
  }

  missed(): boolean {
    if (this.#at >= 0) {
      this.#neighbour!.beat();
      return false;
    }
    if (this.#since === 0) this.#since = performance.now();
    return this.#spin.missed();
  }

  met(caller: number, isLong: boolean): void {
    if (this.#at < 0) {
      this.#spin.met();
      if (this.#since > 0) {
        this.#soon = performance.now() - this.#since > SOON ? 0 : this.#soon + 1;
        this.#since = 0;
      }
    }
    // Two processors move more than one.
    if (isLong) this.#leave();
    else this.#attend(caller);
  }

  #attend(caller: number): void {
    this.#turn++;
    if (caller !== this.#caller && caller !== 0) this.#changeCaller(caller);
    if (this.#at < 0) {
      if (this.#soon >= this.#needed) this.#follow();
      return;
    }
    if (this.#turn >= this.#lookAt) this.#follow();
    const neighbour = this.#neighbour!;
    neighbour.beat();
    this.#worth++;
    if (neighbour.isAwake) return;
    // Kept awake in vain after the request before.
    if (this.#worth < WORTH) {
      this.#needed = Math.min(MANY, this.#needed * 2);
      this.#leave();
      return;
    }
    this.#needed = FEW;
    this.#worth = 0;
    neighbour.wake();
  }

  #changeCaller(caller: number): void {
    const together = this.#turn < TURN;
    this.#caller = caller;
    this.#turn = 0;
    this.#lookAt = FIRST_LOOK;
    if (together) this.#leave();
    else if (this.#at >= 0) this.#follow();
  }

  /** Moves to where the caller is. */
  #follow(): void {
    const neighbour = (this.#neighbour ??= new BusyNeighbour(PATIENCE));
    if (!neighbour.isRunning) return;
    const at = processorOf(this.#caller);
    this.#lookEvery = at === this.#at ? Math.min(LOOK_EVERY, this.#lookEvery * 2) : FIRST_LOOK;
    this.#lookAt = this.#turn + this.#lookEvery;
    if (at === this.#at) return;
    const other = this.#processors.find((processor) => processor !== at)!;
    const affinity = nativeAffinity()!;
    if (this.#processors.includes(at) && neighbour.moveTo(other) && affinity.set(0, setOfProcessor(at))) {
      if (this.#at < 0) {
        this.#worth = 0;
        neighbour.wake();
      }
      this.#at = at;
    } else {
      this.#needed = MANY;
      this.#leave();
    }
  }

  /** Lets the kernel decide where the thread is. */
  #leave(): void {
    this.#soon = 0;
    if (this.#at < 0) return;
    this.#at = -1;
    nativeAffinity()!.set(0, this.#all);
  }
}

/** Where a thread is or was last (proc(5), field 39 of stat); -1 when it cannot be seen. */
function processorOf(thread: number): number {
  let stat: string;
  try {
    stat = fs.readFileSync(`/proc/${thread}/stat`, 'latin1');
  } catch {
    return -1;
  }
  // The second field is the name, in parentheses, and may hold anything; the third comes after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[39 - 3]);
}
