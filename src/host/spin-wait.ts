import os from 'node:os';
import type { Waiting } from './waiting.ts';

/** Longest that it is looked for the next request before the thread sleeps, milliseconds. */
const SPIN = 0.08;
/** A request that comes so soon after the thread went to sleep, the waking included, would nearly have been met awake. */
const SOON = 0.25;
/** Requests that must come so soon, one after the other, before the thread stays awake for the next. */
const FEW = 4;
const MANY = 1024;

/**
 * Whether a thread that has answered everything stays awake for a moment. A caller that does one thing after the other sends its next request some
 * microseconds after the reply; to wake a processor that has gone to sleep meanwhile takes longer than all the rest of a request, above all in
 * a virtual machine. The thread stays awake only while that pays: once in vain, and it sleeps until several requests have again come soon; the more often in vain,
 * the more of them. So nothing is lost where callers need the processor that would be kept busy.
 */
export class SpinWait implements Waiting {
  readonly restAfter = undefined;
  readonly #canSpin = os.availableParallelism() > 1;
  /** When there was nothing to do first; 0: there is. */
  #since = 0;
  #spinning = false;
  #soon = 0;
  #needed = FEW;

  missed(): boolean {
    if (!this.#canSpin) return false;
    const now = performance.now();
    if (this.#since === 0) this.#since = now;
    if (!this.#spinning) return false;
    if (now - this.#since < SPIN) return true;
    this.#spinning = false;
    this.#soon = 0;
    this.#needed = Math.min(MANY, this.#needed * 2);
    return false;
  }

  rest(): void {}

  met(): void {
    if (this.#since === 0) return;
    if (this.#spinning) {
      this.#since = 0;
      this.#needed = FEW;
      return;
    }
    const waited = performance.now() - this.#since;
    this.#since = 0;
    if (waited > SOON) this.#soon = 0;
    else if (++this.#soon >= this.#needed) this.#spinning = true;
  }
}
