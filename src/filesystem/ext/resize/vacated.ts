/** Ranges of blocks in which nothing may stay that is there now: ascending, apart from each other. */
export class VacatedRanges {
  readonly #ranges: { start: number; end: number }[] = [];

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  add(start: number, count: number): void {
    if (count <= 0) return;
    this.#ranges.push({ start, end: start + count });
    this.#ranges.sort((a, b) => a.start - b.start);
    for (let i = 1; i < this.#ranges.length;) {
      const before = this.#ranges[i - 1]!;
      const range = this.#ranges[i]!;
      if (range.start > before.end) {
        i++;
        continue;
      }
      before.end = Math.max(before.end, range.end);
      this.#ranges.splice(i, 1);
    }
  }

  has(block: number): boolean {
    const range = this.#ranges[this.#indexAfter(block)];
    return range !== undefined && range.start <= block;
  }

  overlaps(start: number, count: number): boolean {
    const range = this.#ranges[this.#indexAfter(start)];
    return range !== undefined && range.start < start + count;
  }

  /** Blocks of the run that lie in a range. */
  overlap(start: number, count: number): number {
    let total = 0;
    for (let i = this.#indexAfter(start); i < this.#ranges.length; i++) {
      const range = this.#ranges[i]!;
      if (range.start >= start + count) break;
      total += Math.min(range.end, start + count) - Math.max(range.start, start);
    }
    return total;
  }

  /** The first block behind `block` from which on it is the other way: in a range, or not. */
  boundary(block: number): number {
    const range = this.#ranges[this.#indexAfter(block)];
    if (range === undefined) return Number.POSITIVE_INFINITY;
    return range.start <= block ? range.end : range.start;
  }

  *[Symbol.iterator](): Generator<{ readonly start: number; readonly end: number }> {
    yield* this.#ranges;
  }

  /** Index of the first range that ends behind the block. */
  #indexAfter(block: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ranges[middle]!.end <= block) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
