import type { BlockDevice } from '../../../device/block-device.ts';
import { CorruptImageError } from '../../../errors.ts';
import type { MappedRun } from '../file-map.ts';

/** Blocks of the journal's file that lie side by side. */
interface AreaRun {
  /** In the journal. */
  readonly first: number;
  /** On the volume. */
  readonly start: number;
  readonly length: number;
}

/** Longest single read or write, bytes. */
const PIECE = 1 << 20;

/** The blocks of a journal by their number in it, wherever they lie on the volume. */
export class JournalArea {
  readonly device: BlockDevice;
  readonly blockSize: number;
  /** Blocks. */
  readonly length: number;
  readonly #runs: readonly AreaRun[];
  /** The run that was asked for last. */
  #last: AreaRun;

  private constructor(device: BlockDevice, blockSize: number, runs: readonly AreaRun[]) {
    this.device = device;
    this.blockSize = blockSize;
    this.#runs = runs;
    this.#last = runs[0]!;
    const last = runs.at(-1)!;
    this.length = last.first + last.length;
  }

  /** `map` fills a run with what lies at a block of the journal's file of `length` blocks. CorruptImageError when it has holes. */
  static open(
    device: BlockDevice,
    options: {
      readonly blockSize: number;
      readonly length: number;
      readonly map: (block: number, limit: number, run: MappedRun) => void;
    },
  ): JournalArea {
    const runs: AreaRun[] = [];
    const run: MappedRun = { start: 0, length: 0 };
    for (let first = 0; first < options.length; first += run.length) {
      options.map(first, options.length - first, run);
      if (run.start === 0 || run.length === 0) throw corrupt(`a hole at block ${first}`, 'no holes');
      const last = runs.at(-1);
      if (last !== undefined && last.start + last.length === run.start) {
        runs[runs.length - 1] = { ...last, length: last.length + run.length };
      } else runs.push({ first, start: run.start, length: run.length });
    }
    if (runs.length === 0) throw corrupt('0 blocks', 'at least 1');
    return new JournalArea(device, options.blockSize, runs);
  }

  /** The block of the volume. */
  blockOf(index: number): number {
    const run = this.#runAt(index);
    return run.start + index - run.first;
  }

  /** Fills `into`, whole blocks, from block `index` on. */
  read(index: number, into: Uint8Array): void {
    this.#pieces(index, into, (offset, part) => this.device.read(offset, part));
  }

  write(index: number, from: Uint8Array): void {
    this.#pieces(index, from, (offset, part) => this.device.write(offset, part));
  }

  #pieces(index: number, bytes: Uint8Array, go: (offset: number, part: Uint8Array) => void): void {
    for (let done = 0; done < bytes.length;) {
      const at = index + done / this.blockSize;
      const run = this.#runAt(at);
      const room = (run.first + run.length - at) * this.blockSize;
      const length = Math.min(room, bytes.length - done, PIECE);
      const part = length === bytes.length ? bytes : bytes.subarray(done, done + length);
      go((run.start + at - run.first) * this.blockSize, part);
      done += length;
    }
  }

  #runAt(index: number): AreaRun {
    const last = this.#last;
    if (index >= last.first && index < last.first + last.length) return last;
    let low = 0;
    let high = this.#runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#runs[middle]!.first > index) high = middle - 1;
      else low = middle;
    }
    const run = this.#runs[low]!;
    if (index < run.first || index >= run.first + run.length) {
      throw new RangeError(`There is no block ${index} in a journal of ${this.length} blocks`);
    }
    return (this.#last = run);
  }
}

function corrupt(found: string, expected: string): CorruptImageError {
  return new CorruptImageError({ structure: 'journal', field: 'i_block', found, expected });
}
