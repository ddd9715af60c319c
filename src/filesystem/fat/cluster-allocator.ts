import type { AllocationTable } from './allocation-table.ts';

/** After enough clusters are found in pieces, this many more free runs are looked at for one that holds all. */
const MAX_EXTRA_RUNS = 256;
/** And at most this many clusters further on. */
const MAX_EXTRA_DISTANCE = 1 << 20;

/** Chooses clusters for what grows; changes nothing but its own place in the search. */
export class ClusterAllocator {
  /** Where the next search begins: FSI_Nxt_Free's meaning. */
  cursor: number;
  readonly #table: AllocationTable;

  constructor(table: AllocationTable, cursor = 2) {
    this.#table = table;
    this.cursor = cursor;
  }

  /**
   * Runs (start, length, …) with `count` clusters in all, or undefined when there are not as many. Continues at
   * `preferred` (0: nowhere) if that is free; otherwise looks for one run of `wish` clusters, or of `count`, and
   * takes pieces when there is none near.
   */
  find(count: number, preferred: number, wish: number = count): number[] | undefined {
    const table = this.#table;
    const found: number[] = [];
    let missing = count;
    if (preferred >= 2 && preferred <= table.lastCluster) {
      const length = table.freeRun(preferred, count);
      if (length > 0) found.push(preferred, length);
      missing -= length;
      if (missing === 0) return this.#take(found);
    }
    const own = found.length === 0 ? 0 : found[0]!;
    const rest = this.#search(missing, Math.max(wish - (count - missing), missing), own, count - missing);
    if (rest === undefined) return undefined;
    return this.#take(found.length === 0 ? rest : [...found, ...rest]);
  }

  /** Clusters have come free: what lies low is used again first, so that images stay small. */
  freed(start: number): void {
    if (start < this.cursor) this.cursor = start;
  }

  /** The run at `ownStart` is taken already, though the table does not say so yet. */
  #search(count: number, wish: number, ownStart: number, ownLength: number): number[] | undefined {
    const table = this.#table;
    const begin = this.cursor > table.lastCluster ? 2 : this.cursor;
    const pieces: number[] = [];
    let have = 0;
    let enoughAt = 0;
    let extraRuns = 0;
    let whole = 0;
    let at = begin;
    for (let wrapped = false; ;) {
      const start = table.nextFree(at);
      if (start === 0 || (wrapped && start >= begin)) {
        if (wrapped) break;
        wrapped = true;
        at = 2;
        continue;
      }
      if (ownLength > 0 && start >= ownStart && start < ownStart + ownLength) {
        at = ownStart + ownLength;
        continue;
      }
      let limit = wish;
      if (wrapped) limit = Math.min(limit, begin - start);
      if (ownLength > 0 && start < ownStart) limit = Math.min(limit, ownStart - start);
      const length = table.freeRun(start, limit);
      if (length >= wish) return [start, count];
      if (length >= count && whole === 0) whole = start;
      if (have < count) {
        const part = Math.min(length, count - have);
        pieces.push(start, part);
        have += part;
        if (have === count) enoughAt = start;
      } else if (++extraRuns > MAX_EXTRA_RUNS || start - enoughAt > MAX_EXTRA_DISTANCE) break;
      at = start + length;
    }
    if (whole !== 0) return [whole, count];
    return have === count ? pieces : undefined;
  }

  #take(runs: number[]): number[] {
    const last = runs.length - 2;
    this.cursor = runs[last]! + runs[last + 1]!;
    return runs;
  }
}
