/**
 * Which blocks are taken, as runs: of a volume of many TiB all that is taken are some hundred runs, where a bitmap would
 * have half a GiB. With clusters (bigalloc) a block takes its whole cluster.
 */
export class BlockUsage {
  /** Runs of clusters, ascending, never touching each other; `#ends[i]` is the first cluster behind run `i`. */
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #first: number;
  readonly #blockCount: number;
  /** Blocks a cluster. */
  readonly #ratio: number;

  constructor(firstBlock: number, blockCount: number, clusterBlocks: number) {
    this.#first = firstBlock;
    this.#blockCount = blockCount;
    this.#ratio = clusterBlocks;
  }

  /** The same in clusters of `clusterBlocks` blocks: one that is taken in part is taken. */
  inClusters(clusterBlocks: number): BlockUsage {
    const result = new BlockUsage(this.#first, this.#blockCount, clusterBlocks);
    for (let run = 0; run < this.#starts.length; run++)
      result.mark(this.#starts[run]! * this.#ratio, (this.#ends[run]! - this.#starts[run]!) * this.#ratio);
    return result;
  }

  mark(block: number, count = 1): void {
    if (count <= 0) return;
    let start = Math.floor(block / this.#ratio);
    let end = Math.floor((block + count - 1) / this.#ratio) + 1;
    // All runs from `from` to before `to` touch the new one.
    const from = this.#runEndingAtOrAfter(start);
    let to = from;
    while (to < this.#starts.length && this.#starts[to]! <= end) to++;
    if (from < to) {
      start = Math.min(start, this.#starts[from]!);
      end = Math.max(end, this.#ends[to - 1]!);
      if (to - from === 1) {
        this.#starts[from] = start;
        this.#ends[from] = end;
        return;
      }
    }
    this.#starts.splice(from, to - from, start);
    this.#ends.splice(from, to - from, end);
  }

  isUsed(block: number): boolean {
    const cluster = Math.floor(block / this.#ratio);
    const run = this.#runEndingAtOrAfter(cluster + 1);
    return run < this.#starts.length && this.#starts[run]! <= cluster;
  }

  /** First free block at or after `block`, before `end`; undefined for none. */
  findFree(block: number, end: number): number | undefined {
    const cluster = Math.floor(block / this.#ratio);
    const run = this.#runEndingAtOrAfter(cluster + 1);
    const taken = run < this.#starts.length && this.#starts[run]! <= cluster;
    const found = taken ? this.#ends[run]! * this.#ratio : block;
    return found < end ? found : undefined;
  }

  /** First block that is taken at or after `block`; the end of the volume where there is none. */
  findUsed(block: number): number {
    const cluster = Math.floor(block / this.#ratio);
    const run = this.#runEndingAtOrAfter(cluster + 1);
    if (run === this.#starts.length) return this.#blockCount;
    return Math.max(block, this.#starts[run]! * this.#ratio);
  }

  /**
   * First block from `start` on, before `finish`, with `count` free blocks behind it, which may lie past `finish`. A
   * `finish` that is not behind `start` goes on from the start of the volume.
   */
  findRun(start: number, finish: number, count: number): number | undefined {
    const from = start === 0 ? this.#first : start;
    if (from < finish) return this.#findRunBetween(from, finish, count);
    return (
      this.#findRunBetween(from, this.#blockCount, count) ?? this.#findRunBetween(this.#first, finish, count)
    );
  }

  #findRunBetween(start: number, finish: number, count: number): number | undefined {
    let at: number | undefined = start;
    while ((at = this.findFree(at, finish)) !== undefined) {
      if (at + count > this.#blockCount) return undefined;
      const end = this.findUsed(at);
      if (end - at >= count) return at;
      at = end;
    }
    return undefined;
  }

  /** Clusters taken in a range of blocks that starts and ends with a cluster. */
  usedClusters(block: number, count: number): number {
    const start = Math.floor(block / this.#ratio);
    const end = Math.ceil((block + count) / this.#ratio);
    let used = 0;
    for (let run = this.#runEndingAtOrAfter(start + 1); run < this.#starts.length; run++) {
      if (this.#starts[run]! >= end) break;
      used += Math.min(this.#ends[run]!, end) - Math.max(this.#starts[run]!, start);
    }
    return used;
  }

  /** Sets the bits of the clusters that are taken in a group which starts with `block`; the rest stays as it is. */
  fillBitmap(bitmap: Uint8Array, block: number, count: number): void {
    const start = Math.floor(block / this.#ratio);
    const end = Math.ceil((block + count) / this.#ratio);
    for (let run = this.#runEndingAtOrAfter(start + 1); run < this.#starts.length; run++) {
      if (this.#starts[run]! >= end) break;
      const from = Math.max(this.#starts[run]!, start);
      setBits(bitmap, from - start, Math.min(this.#ends[run]!, end) - from);
    }
  }

  /** Index of the first run that ends at `cluster` or behind it. */
  #runEndingAtOrAfter(cluster: number): number {
    const ends = this.#ends;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle]! < cluster) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Sets `count` bits from bit `start`, least significant bit of a byte first. */
export function setBits(bitmap: Uint8Array, start: number, count: number): void {
  let bit = start;
  const end = start + count;
  for (; bit < end && (bit & 7) !== 0; bit++) bitmap[bit >> 3]! |= 1 << (bit & 7);
  if (bit >= end) return;
  bitmap.fill(0xff, bit >> 3, end >> 3);
  bit = Math.max(bit, end & ~7);
  for (; bit < end; bit++) bitmap[bit >> 3]! |= 1 << (bit & 7);
}
