const NOTHING: readonly number[] = [];

/** The clusters of a file in order, as runs of neighbours: most files are one run. */
export class ClusterChain {
  /** First cluster of each run. */
  readonly #starts: number[] = [];
  /** Index within the file of each run's first cluster. */
  readonly #firsts: number[] = [];
  #count = 0;
  #last = 0;

  /** Clusters in all. */
  get count(): number {
    return this.#count;
  }

  get runCount(): number {
    return this.#starts.length;
  }

  /** 0 when there is none. */
  get firstCluster(): number {
    return this.#starts[0] ?? 0;
  }

  /** 0 when there is none. */
  get lastCluster(): number {
    const run = this.#starts.length - 1;
    return run < 0 ? 0 : this.#starts[run]! + (this.#count - this.#firsts[run]!) - 1;
  }

  append(start: number, length: number): void {
    if (this.#count === 0 || this.lastCluster + 1 !== start) {
      this.#starts.push(start);
      this.#firsts.push(this.#count);
    }
    this.#count += length;
  }

  /** Which run holds the cluster with this index within the file; `index` lies below `count`. */
  runAt(index: number): number {
    const firsts = this.#firsts;
    let low = this.#last;
    if (low < firsts.length && firsts[low]! <= index && index < this.runFirst(low) + this.runLength(low)) {
      return low;
    }
    low = 0;
    let high = firsts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (firsts[middle]! <= index) low = middle;
      else high = middle - 1;
    }
    this.#last = low;
    return low;
  }

  runStart(run: number): number {
    return this.#starts[run]!;
  }

  /** Index within the file of the run's first cluster. */
  runFirst(run: number): number {
    return this.#firsts[run]!;
  }

  runLength(run: number): number {
    return (this.#firsts[run + 1] ?? this.#count) - this.#firsts[run]!;
  }

  /** Keeps the first `count` clusters and returns the others as runs (start, length, …), the last run first. */
  cut(count: number): readonly number[] {
    if (this.#count <= count) return NOTHING;
    const removed: number[] = [];
    while (this.#count > count) {
      const run = this.#starts.length - 1;
      const first = this.#firsts[run]!;
      const keep = Math.max(0, count - first);
      removed.push(this.#starts[run]! + keep, this.#count - first - keep);
      if (keep === 0) {
        this.#starts.pop();
        this.#firsts.pop();
      }
      this.#count = first + keep;
    }
    this.#last = 0;
    return removed;
  }
}
