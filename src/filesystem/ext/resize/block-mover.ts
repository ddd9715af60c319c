import type { BlockUse } from './block-use.ts';
import type { VacatedRanges } from './vacated.ts';
import type { WriteStage } from './write-plan.ts';

/** Finds new places for blocks and notes what is to be copied there. */
export class BlockMover {
  /** Blocks that left a vacated range. */
  moved = 0;
  readonly vacated: VacatedRanges;
  readonly use: BlockUse;
  readonly #stage: WriteStage;

  /** Copies go into `stage`. */
  constructor(use: BlockUse, vacated: VacatedRanges, stage: WriteStage) {
    this.use = use;
    this.vacated = vacated;
    this.#stage = stage;
  }

  /** A free block. */
  take(): number {
    return this.use.take(1).start;
  }

  /** Copies the run to another place; told piece by piece where. Blocks that were never written are not copied. */
  move(
    start: number,
    count: number,
    isWritten: boolean,
    visit: (start: number, count: number) => void,
  ): void {
    for (let done = 0; done < count;) {
      const run = this.use.take(count - done);
      if (isWritten) this.#copy(start + done, run.start, run.count);
      visit(run.start, run.count);
      done += run.count;
    }
    this.giveUp(start, count);
  }

  /** A block whose content at its new place is `bytes`. */
  put(bytes: Uint8Array, block = this.take()): number {
    this.#stage.blocks.set(block, bytes);
    return block;
  }

  /** Not used any more in the end. */
  giveUp(start: number, count: number): void {
    this.moved += this.vacated.overlap(start, count);
    this.use.free(start, count);
  }

  #copy(from: number, to: number, count: number): void {
    const last = this.#stage.copies.at(-1);
    if (last !== undefined && last.from + last.count === from && last.to + last.count === to) {
      last.count += count;
    } else this.#stage.copies.push({ from, to, count });
  }
}
