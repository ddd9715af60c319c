/** Bits a chunk: 4 KiB. */
const CHUNK_BITS = 1 << 15;
const CHUNK_BYTES = CHUNK_BITS >>> 3;

/** Numbers of blocks may need more than 32 bits; nearly none does. */
function chunkOf(index: number): number {
  return index < 0x8000_0000 ? index >>> 15 : Math.floor(index / CHUNK_BITS);
}

/** Bits in chunks that come into being when one of them is set: what a huge and empty volume needs is next to nothing. */
export class SparseBitmap {
  readonly #chunks: (Uint8Array | undefined)[] = [];

  get(index: number): boolean {
    const chunk = this.#chunks[chunkOf(index)];
    if (chunk === undefined) return false;
    const bit = index & (CHUNK_BITS - 1);
    return (chunk[bit >>> 3]! & (1 << (bit & 7))) !== 0;
  }

  /** Returns whether it was set before. */
  set(index: number): boolean {
    const chunk = this.#chunk(chunkOf(index));
    const bit = index & (CHUNK_BITS - 1);
    const mask = 1 << (bit & 7);
    const was = (chunk[bit >>> 3]! & mask) !== 0;
    chunk[bit >>> 3]! |= mask;
    return was;
  }

  clear(index: number): void {
    const chunk = this.#chunks[chunkOf(index)];
    if (chunk === undefined) return;
    const bit = index & (CHUNK_BITS - 1);
    chunk[bit >>> 3]! &= ~(1 << (bit & 7));
  }

  /** Sets a range; calls `onTwice` for each bit that was set before. */
  setRange(start: number, length: number, onTwice?: (index: number) => void): void {
    const end = start + length;
    for (let index = start; index < end;) {
      const number = chunkOf(index);
      const chunk = this.#chunk(number);
      const first = number * CHUNK_BITS;
      const stop = Math.min(end - first, CHUNK_BITS);
      for (let bit = index - first; bit < stop;) {
        const next = Math.min(stop, (bit | 7) + 1);
        const byte = bit >>> 3;
        const mask = (0xff << (bit & 7)) & (0xff >>> ((8 - (next & 7)) & 7));
        const was = chunk[byte]! & mask;
        chunk[byte]! |= mask;
        if (was !== 0 && onTwice !== undefined) {
          for (let twice = bit; twice < next; twice++)
            if ((was & (1 << (twice & 7))) !== 0) onTwice(first + twice);
        }
        bit = next;
      }
      index = first + stop;
    }
  }

  /** Calls `visit` for the runs of a range in which all bits are set, or none is, in order; a run may be told in parts. */
  eachRun(
    start: number,
    length: number,
    visit: (start: number, length: number, isSet: boolean) => void,
  ): void {
    const end = start + length;
    for (let index = start; index < end;) {
      const number = chunkOf(index);
      const chunk = this.#chunks[number];
      const first = number * CHUNK_BITS;
      const stop = Math.min(end - first, CHUNK_BITS);
      if (chunk === undefined) visit(index, first + stop - index, false);
      else {
        for (let bit = index - first; bit < stop;) {
          const isSet = (chunk[bit >>> 3]! & (1 << (bit & 7))) !== 0;
          const next = endOfRun(chunk, bit, stop, isSet);
          visit(first + bit, next - bit, isSet);
          bit = next;
        }
      }
      index = first + stop;
    }
  }

  /** Copies bits from `start` on, which is a multiple of 8, over all of `into`. */
  copy(start: number, into: Uint8Array): void {
    let from = Math.floor(start / 8);
    for (let done = 0; done < into.length;) {
      const within = from % CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - within, into.length - done);
      const chunk = this.#chunks[Math.floor(from / CHUNK_BYTES)];
      if (chunk === undefined) into.fill(0, done, done + length);
      else into.set(chunk.subarray(within, within + length), done);
      done += length;
      from += length;
    }
  }

  /** Calls `visit` for every bit that is set, in order. */
  each(visit: (index: number) => void): void {
    for (const [number, chunk] of this.#chunks.entries()) {
      if (chunk === undefined) continue;
      for (let byte = 0; byte < CHUNK_BYTES; byte++) {
        if (chunk[byte] === 0) continue;
        for (let bit = 0; bit < 8; bit++) {
          if ((chunk[byte]! & (1 << bit)) !== 0) visit(number * CHUNK_BITS + byte * 8 + bit);
        }
      }
    }
  }

  #chunk(index: number): Uint8Array {
    let chunk = this.#chunks[index];
    if (chunk === undefined) {
      chunk = new Uint8Array(CHUNK_BYTES);
      this.#chunks[index] = chunk;
    }
    return chunk;
  }
}

/** The first bit from `bit` to `stop` that is not as `isSet` says; else `stop`. */
function endOfRun(chunk: Uint8Array, bit: number, stop: number, isSet: boolean): number {
  const whole = isSet ? 0xff : 0;
  let at = bit + 1;
  while (at < stop) {
    if ((at & 7) === 0 && chunk[at >>> 3] === whole) at += 8;
    else if (((chunk[at >>> 3]! & (1 << (at & 7))) !== 0) === isSet) at++;
    else return at;
  }
  return stop;
}

const CHUNK_WORDS = 1 << 12;

/** A number a place, 0 until it is set. Places are below 2^32, as numbers of inodes are. */
export class SparseNumbers {
  readonly #chunks: (Uint32Array | undefined)[] = [];

  get(index: number): number {
    const chunk = this.#chunks[index >>> 12];
    return chunk === undefined ? 0 : chunk[index & (CHUNK_WORDS - 1)]!;
  }

  set(index: number, value: number): void {
    const at = index >>> 12;
    let chunk = this.#chunks[at];
    if (chunk === undefined) {
      chunk = new Uint32Array(CHUNK_WORDS);
      this.#chunks[at] = chunk;
    }
    chunk[index & (CHUNK_WORDS - 1)] = value;
  }

  /** Returns what it is then. */
  add(index: number, value: number): number {
    const sum = this.get(index) + value;
    this.set(index, sum);
    return sum;
  }
}

/** A list of numbers that grows, 8 bytes each. */
export class NumberList {
  length = 0;
  #values = new Float64Array(256);

  push(value: number): void {
    if (this.length === this.#values.length) {
      const values = new Float64Array(this.length * 2);
      values.set(this.#values);
      this.#values = values;
    }
    this.#values[this.length++] = value;
  }

  get(index: number): number {
    return this.#values[index]!;
  }

  set(index: number, value: number): void {
    this.#values[index] = value;
  }
}
