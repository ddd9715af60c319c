import { createRequire } from 'node:module';
import type * as CliProgress from 'cli-progress';
import { formatSize } from '../bytes/size.ts';
import type { Io } from './io.ts';

/** Work that ends sooner is not worth a bar. */
const DELAY_MILLISECONDS = 1000;

/** Bytes between two looks at the clock. */
const STEP = 1 << 20;

/**
 * A progress bar on standard error, if that is a terminal and the work takes longer than a second. The work is
 * synchronous, so the bar is drawn by `add` and not by a timer.
 */
export class Progress {
  readonly #total: number;
  readonly #start = performance.now();
  readonly #visible: boolean;
  #done = 0;
  #next = STEP;
  #bar: CliProgress.SingleBar | undefined;

  /** `total`: bytes. */
  constructor(io: Io, total: number) {
    this.#total = total;
    this.#visible = io.stderr.isTerminal && total > 0;
  }

  add(bytes: number): void {
    this.#done += bytes;
    if (!this.#visible || this.#done < this.#next) return;
    this.#next = this.#done + STEP;
    if (this.#bar === undefined) {
      if (performance.now() - this.#start < DELAY_MILLISECONDS) return;
      this.#bar = this.#draw();
    }
    this.#bar.update(Math.min(this.#done, this.#total), { done: formatSize(this.#done) });
  }

  /** Takes the bar off the screen, so that messages stand on lines of their own. */
  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  /** Loaded only now: a command that is done within a second does not pay for it. */
  #draw(): CliProgress.SingleBar {
    const { SingleBar, Presets } = createRequire(import.meta.url)('cli-progress') as typeof CliProgress;
    const bar = new SingleBar(
      {
        stream: process.stderr,
        clearOnComplete: true,
        hideCursor: true,
        format: ` {bar} {percentage}%  {done} of ${formatSize(this.#total)}  {eta_formatted} left`,
        fps: 10,
      },
      Presets.shades_classic,
    );
    bar.start(this.#total, this.#done, { done: formatSize(this.#done) });
    return bar;
  }
}
