/** Bits a chunk. */
const CHUNK_BITS = 1 << 15;

/**
 * Which inode was the first to claim each bit. It is kept in runs, so that what it takes grows with the extents that an image holds, not with the blocks that
 * they say to be theirs: a few bytes can claim millions.
 */
export class OwnerMap {
  /** In each the beginnings of its runs, counted from its own, and behind each the owner of the run; 0: nobody. */
  readonly #chunks = new Map<number, number[]>();

  /** 0: nobody. */
  get(bit: number): number {
    const chunk = this.#chunks.get(Math.floor(bit / CHUNK_BITS));
    return chunk === undefined ? 0 : chunk[runAt(chunk, bit % CHUNK_BITS) + 1]!;
  }

  /** Gives to `owner` what is nobody's of a range; calls `onOwned` for each run of it that is somebody's, `owner` included. */
  claim(start: number, length: number, owner: number, onOwned: (owner: number) => void): void {
    const end = start + length;
    for (let bit = start; bit < end;) {
      const number = Math.floor(bit / CHUNK_BITS);
      const first = number * CHUNK_BITS;
      let chunk = this.#chunks.get(number);
      if (chunk === undefined) this.#chunks.set(number, (chunk = [0, 0]));
      const stop = Math.min(end - first, CHUNK_BITS);
      claimIn(chunk, bit - first, stop, owner, onOwned);
      bit = first + stop;
    }
  }
}

/** Where the run begins, in the list, that a bit is in. */
function runAt(chunk: readonly number[], bit: number): number {
  let low = 0;
  let high = chunk.length / 2 - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (chunk[2 * middle]! <= bit) low = middle;
    else high = middle - 1;
  }
  return 2 * low;
}

function claimIn(
  chunk: number[],
  from: number,
  to: number,
  owner: number,
  onOwned: (owner: number) => void,
): void {
  let at = runAt(chunk, from);
  for (let bit = from; bit < to;) {
    const end = chunk[at + 2] ?? CHUNK_BITS;
    const stop = Math.min(end, to);
    if (chunk[at + 1] !== 0) onOwned(chunk[at + 1]!);
    else {
      const before = bit > chunk[at]! ? [chunk[at]!, 0] : [];
      const after = stop < end ? [stop, 0] : [];
      chunk.splice(at, 2, ...before, bit, owner, ...after);
      at += before.length;
    }
    at += 2;
    bit = stop;
  }
}
