import {
  type BlockDevice,
  type Extent,
  checkRange,
  discardRange,
  extentsOf,
  zeroRange,
} from './block-device.ts';

export interface CacheDeviceOptions {
  /** Bytes a page; reads that miss fetch one page. Default 64 KiB. */
  readonly pageSize?: number;
  /** How many pages are kept. Default 64. */
  readonly pageCount?: number;
}

/**
 * A write-through cache of whole pages, least recently used out first: for formats whose reader makes many small
 * reads near each other. Requests of a page or more pass through, so that bulk data neither fills the cache nor is copied.
 */
export class CacheDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly: boolean;
  readonly #base: BlockDevice;
  readonly #pageSize: number;
  readonly #pageCount: number;
  /** Page index to its bytes; a Map keeps insertion order, so the first key is the least recently used. */
  readonly #pages = new Map<number, Uint8Array>();

  constructor(base: BlockDevice, options: CacheDeviceOptions = {}) {
    this.#base = base;
    this.size = base.size;
    this.sectorSize = base.sectorSize;
    this.readOnly = base.readOnly;
    this.#pageSize = options.pageSize ?? 1 << 16;
    this.#pageCount = options.pageCount ?? 64;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    if (into.length >= this.#pageSize) {
      this.#base.read(offset, into);
      return;
    }
    for (let done = 0; done < into.length;) {
      const index = Math.floor((offset + done) / this.#pageSize);
      const within = (offset + done) % this.#pageSize;
      const page = this.#page(index);
      const length = Math.min(page.length - within, into.length - done);
      into.set(page.subarray(within, within + length), done);
      done += length;
    }
  }

  write(offset: number, from: Uint8Array): void {
    checkRange(this, 'write', offset, from.length);
    try {
      this.#base.write(offset, from);
    } catch (error) {
      // How much of it arrived is unknown.
      this.#forget(offset, from.length);
      throw error;
    }
    for (let done = 0; done < from.length;) {
      const index = Math.floor((offset + done) / this.#pageSize);
      const within = (offset + done) % this.#pageSize;
      const length = Math.min(this.#pageSize - within, from.length - done);
      this.#pages.get(index)?.set(from.subarray(done, done + length), within);
      done += length;
    }
  }

  zero(offset: number, length: number): void {
    this.#forget(offset, length);
    zeroRange(this.#base, offset, length);
  }

  discard(offset: number, length: number): void {
    this.#forget(offset, length);
    discardRange(this.#base, offset, length);
  }

  extents(offset: number, length: number): Iterable<Extent> {
    return extentsOf(this.#base, offset, length);
  }

  flush(): void {
    this.#base.flush();
  }

  close(): void {
    this.#pages.clear();
    this.#base.close();
  }

  #page(index: number): Uint8Array {
    let page = this.#pages.get(index);
    if (page !== undefined) {
      this.#pages.delete(index);
      this.#pages.set(index, page);
      return page;
    }
    const offset = index * this.#pageSize;
    const length = Math.min(this.#pageSize, this.size - offset);
    if (this.#pages.size >= this.#pageCount) {
      const oldest = this.#pages.keys().next().value!;
      const recycled = this.#pages.get(oldest)!;
      this.#pages.delete(oldest);
      if (recycled.length === length) page = recycled;
    }
    page ??= new Uint8Array(length);
    this.#base.read(offset, page);
    this.#pages.set(index, page);
    return page;
  }

  #forget(offset: number, length: number): void {
    const first = Math.floor(offset / this.#pageSize);
    const last = Math.floor((offset + length - 1) / this.#pageSize);
    for (const index of this.#pages.keys()) {
      if (index >= first && index <= last) this.#pages.delete(index);
    }
  }
}
