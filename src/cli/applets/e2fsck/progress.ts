import fs from 'node:fs';
import { hasCode } from '../../../errors.ts';
import { isInheritedDescriptor } from '../../../host/inherited-descriptor.ts';
import type { Io } from '../../io.ts';

/** How far the whole check is when passes 0 to 5 have ended, in percent: as the tool weighs them. */
const WEIGHTS = [0, 70, 90, 92, 95, 100] as const;
const SPINNER = '\\|/-';
/** The bar is drawn anew this often a second at most. */
const TICKS = 8;
const CLEARED = 79;
/** What is drawn over itself stands between these where nobody is at a terminal. */
const MARKS = ['\u0001', '\u0002'] as const;

/** Where the progress of the check is told. */
export interface ProgressTeller {
  step(pass: number, done: number, total: number): void;
  /** A directory is laid out anew, the last of so many. */
  directory(number: number, done: number, total: number): void;
  /** What is said next begins on an empty line. */
  clear(): void;
}

/** `descriptor` 0 is the bar on the standard output, any other gets lines for programs. */
export function tellerFor(io: Io, descriptor: number, label: string): ProgressTeller {
  return descriptor === 0 ? new ProgressBar(io, label) : new ProgressLines(io, descriptor, label);
}

/** Can `-C` write there? Looked at before anything else is opened, which could get this number. */
export function isProgressDescriptor(descriptor: number): boolean {
  return isInheritedDescriptor(descriptor);
}

/** `x.img: |=====     /  9.3%   `, over itself. */
class ProgressBar implements ProgressTeller {
  readonly #io: Io;
  readonly #label: string;
  readonly #marks: readonly [string, string];
  #tenths = 0;
  #tick = -1;
  #turn = 0;
  #isShown = false;

  constructor(io: Io, label: string) {
    this.#io = io;
    this.#label = label;
    this.#marks = io.stdin.isTerminal && io.stdout.isTerminal ? ['', ''] : MARKS;
  }

  step(pass: number, done: number, total: number): void {
    this.#show(this.#label, percentOf(pass, done, total));
  }

  directory(number: number, done: number, total: number): void {
    this.#show('Rebuilding directory', (100 * done) / total, number);
  }

  #show(label: string, percent: number, number = 0): void {
    const tenths = Math.floor(10 * percent + 0.5);
    if (tenths === this.#tenths) return;
    this.#tenths = tenths;
    const tick = Math.floor((performance.now() * TICKS) / 1000);
    if (tick === this.#tick && tenths !== 0 && tenths !== 1000) return;
    this.#tick = tick;
    this.#turn = (this.#turn + 1) % SPINNER.length;
    this.#isShown = true;
    // Multiples of eight columns, as many as are left of 66; a long name leaves none.
    const width = Math.max(0, 8 * Math.trunc((66 - label.length) / 8) - (number === 0 ? 0 : 8));
    const filled = Math.floor((percent * width + 50) / 100);
    const end = tenths === 1000 ? '|' : SPINNER[this.#turn]!;
    const bar = '='.repeat(filled) + ' '.repeat(width - filled);
    const after = number === 0 ? ' ' : `${number}`;
    this.#draw(`${label}: |${bar}${end} ${percent.toFixed(1).padStart(4)}%  ${after}`);
    if (tenths === 1000) this.clear();
  }

  clear(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    this.#draw(' '.repeat(CLEARED));
  }

  #draw(line: string): void {
    this.#io.stdout.write(`${this.#marks[0]}${line}\r${this.#marks[1]}`);
  }
}

/** Lines of pass, parts done, parts in all, device. */
class ProgressLines implements ProgressTeller {
  readonly #io: Io;
  readonly #descriptor: number;
  readonly #label: string;
  #isOver = false;

  constructor(io: Io, descriptor: number, label: string) {
    this.#io = io;
    this.#descriptor = descriptor;
    this.#label = label;
  }

  step(pass: number, done: number, total: number): void {
    const line = `${pass} ${done} ${total} ${this.#label}\n`;
    if (this.#descriptor === 1) this.#io.stdout.write(line);
    else if (this.#descriptor === 2) this.#io.stderr.write(line);
    else if (!this.#isOver) this.#write(Buffer.from(line));
  }

  directory(): void {}

  clear(): void {}

  /** Nobody listens to it any more: no reason to stop the check. */
  #write(line: Uint8Array): void {
    for (let done = 0; done < line.length;) {
      try {
        done += fs.writeSync(this.#descriptor, line, done);
      } catch (error) {
        if (hasCode(error, 'EAGAIN')) continue;
        if (!(error instanceof Error && 'syscall' in error)) throw error;
        this.#isOver = true;
        return;
      }
    }
  }
}

function percentOf(pass: number, done: number, total: number): number {
  const from = WEIGHTS[pass - 1]!;
  const to = WEIGHTS[pass]!;
  return total === 0 ? to : from + (done * (to - from)) / total;
}
