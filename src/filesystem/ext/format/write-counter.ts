/**
 * Counts what the reference would have written by now: `s_kbytes_written` of a new ext4 holds it, as it depends on the
 * reference's cache of eight blocks. A block is counted when it is driven out, by least recent use.
 */
export class WriteCounter {
  /** Nothing is counted where nobody asks. */
  readonly enabled: boolean;
  readonly #blockSize: number;
  /** Least recently used first; the value tells whether the block was written. */
  readonly #cache = new Map<number, boolean>();
  #bytes: number;

  /** `bytes` written so far without the cache. */
  constructor(blockSize: number, bytes: number, enabled: boolean) {
    this.enabled = enabled;
    this.#blockSize = blockSize;
    this.#bytes = bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  read(block: number): void {
    this.#touch(block, this.#cache.get(block) ?? false);
  }

  write(block: number): void {
    this.#touch(block, true);
  }

  /** Around the cache, which is written out before. */
  writeDirectly(blockCount: number): void {
    for (const written of this.#cache.values()) if (written) this.#bytes += this.#blockSize;
    this.#cache.clear();
    this.#bytes += blockCount * this.#blockSize;
  }

  #touch(block: number, written: boolean): void {
    if (!this.enabled) return;
    this.#cache.delete(block);
    this.#cache.set(block, written);
    if (this.#cache.size <= CACHED_BLOCKS) return;
    for (const [oldest, wasWritten] of this.#cache) {
      this.#cache.delete(oldest);
      if (wasWritten) this.#bytes += this.#blockSize;
      return;
    }
  }
}

const CACHED_BLOCKS = 8;
