/** Bits a chunk: 4 KiB. */
const CHUNK_BITS = 1 << 15;
const CHUNK_BYTES = CHUNK_BITS >>> 3;

/** Bits in chunks that come into being when one of them is set: what a huge and empty volume needs is next to nothing. */
export class SparseBitmap {
  readonly #chunks: (Uint8Array | undefined)[] = [];

  get(index: number): boolean {
    const chunk = this.#chunks[Math.floor(index / CHUNK_BITS)];
    if (chunk === undefined) return false;
    const bit = index % CHUNK_BITS;
    return (chunk[bit >>> 3]! & (1 << (bit & 7))) !== 0;
  }

  /** Returns whether it was set before. */
  set(index: number): boolean {
    const chunk = this.#chunk(Math.floor(index / CHUNK_BITS));
    const bit = index % CHUNK_BITS;
    const mask = 1 << (bit & 7);
    const was = (chunk[bit >>> 3]! & mask) !== 0;
    chunk[bit >>> 3]! |= mask;
    return was;
  }

  clear(index: number): void {
    const chunk = this.#chunks[Math.floor(index / CHUNK_BITS)];
    if (chunk === undefined) return;
    const bit = index % CHUNK_BITS;
    chunk[bit >>> 3]! &= ~(1 << (bit & 7));
  }

  /** Sets a range; calls `onTwice` for each bit that was set before. */
  setRange(start: number, length: number, onTwice?: (index: number) => void): void {
    const end = start + length;
    for (let index = start; index < end;) {
      if (index % 8 === 0 && end - index >= 8) {
        const chunk = this.#chunk(Math.floor(index / CHUNK_BITS));
        const byte = (index % CHUNK_BITS) >>> 3;
        const limit = Math.min(CHUNK_BYTES, byte + Math.floor((end - index) / 8));
        let at = byte;
        while (at < limit && chunk[at] === 0) chunk[at++] = 0xff;
        index += (at - byte) * 8;
        if (at > byte) continue;
      }
      if (this.set(index)) onTwice?.(index);
      index++;
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

const CHUNK_WORDS = 1 << 12;

/** A number a place, 0 until it is set. */
export class SparseNumbers {
  readonly #chunks: (Uint32Array | undefined)[] = [];

  get(index: number): number {
    return this.#chunks[Math.floor(index / CHUNK_WORDS)]?.[index % CHUNK_WORDS] ?? 0;
  }

  set(index: number, value: number): void {
    const at = Math.floor(index / CHUNK_WORDS);
    let chunk = this.#chunks[at];
    if (chunk === undefined) {
      chunk = new Uint32Array(CHUNK_WORDS);
      this.#chunks[at] = chunk;
    }
    chunk[index % CHUNK_WORDS] = value;
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
}
