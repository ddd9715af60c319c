import { viewOf } from '../../bytes/struct.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { CorruptImageError } from '../../errors.ts';
import { FAT_ENTRY_CODECS, type FatEntryCodec } from './fat-entry-codec.ts';
import type { FatGeometry } from './geometry.ts';

/** Bytes of a page. A FAT12 table fits into one, so that no entry straddles two. */
const PAGE_SIZE = 1 << 16;
/** Clean pages beyond this many are dropped: 8 MiB, while the FAT of a 1 TiB volume has 128 MiB. */
const MAX_CLEAN_PAGES = 128;
const DIRTY_STEP = 512;

interface Page {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Bytes that differ from the device, whole steps; empty when start is not below end. */
  dirtyStart: number;
  dirtyEnd: number;
}

/**
 * The file allocation table, read page by page when it is needed and written back to every copy by `writeDirty`.
 * Memory is bounded by MAX_CLEAN_PAGES and by how often the owner writes the dirty ones back.
 */
export class AllocationTable {
  readonly clusterCount: number;
  /** The highest cluster number. */
  readonly lastCluster: number;
  readonly codec: FatEntryCodec;
  dirtyPages = 0;
  readonly #device: BlockDevice;
  readonly #geometry: FatGeometry;
  readonly #entriesPerPage: number;
  readonly #pages = new Map<number, Page>();
  /** Free clusters by page; -1 where nobody has looked yet. */
  readonly #freeInPage: Int32Array;
  #currentIndex = -1;
  #current: Page | undefined;

  constructor(device: BlockDevice, geometry: FatGeometry) {
    this.#device = device;
    this.#geometry = geometry;
    this.codec = FAT_ENTRY_CODECS[geometry.type];
    this.clusterCount = geometry.clusterCount;
    this.lastCluster = geometry.clusterCount + 1;
    this.#entriesPerPage = (PAGE_SIZE * 8) / (this.codec.bits === 12 ? 16 : this.codec.bits);
    this.#freeInPage = new Int32Array(Math.floor(this.lastCluster / this.#entriesPerPage) + 1).fill(-1);
  }

  /** Forgets what was read; nothing may be dirty. */
  clear(): void {
    this.#pages.clear();
    this.#freeInPage.fill(-1);
    this.#currentIndex = -1;
    this.#current = undefined;
  }

  /** The entry as it stands: 0 free, a cluster, bad, or an end mark. */
  get(cluster: number): number {
    const index = Math.floor(cluster / this.#entriesPerPage);
    return this.codec.get(this.#page(index).view, cluster - index * this.#entriesPerPage);
  }

  /** The cluster after `cluster` in its chain, 0 at the end; CorruptImageError for whatever is neither. */
  next(cluster: number): number {
    const value = this.get(cluster);
    if (value >= 2 && value <= this.lastCluster) return value;
    if (value >= this.codec.endMinimum) return 0;
    throw new CorruptImageError({
      structure: 'FAT',
      field: `entry ${cluster}`,
      offset: this.#entryOffset(cluster),
      found: value === 0 ? '0 (free)' : value === this.codec.bad ? 'the bad mark' : `${value}`,
      expected: `a cluster from 2 to ${this.lastCluster} or an end mark, since it is part of a chain`,
    });
  }

  set(cluster: number, value: number): void {
    this.#setRange(cluster, 1, value, false);
  }

  /** Chains `length` neighbours from `start` on; the last one points to `next`, or ends the chain when that is 0. */
  link(start: number, length: number, next: number): void {
    this.#setRange(start, length, next === 0 ? this.codec.end : next, true);
  }

  free(start: number, length: number): void {
    this.#setRange(start, length, 0, false);
  }

  /** The first free cluster from `from` on, or 0. */
  nextFree(from: number): number {
    const { codec } = this;
    const perPage = this.#entriesPerPage;
    for (let cluster = from; cluster <= this.lastCluster;) {
      const index = Math.floor(cluster / perPage);
      const base = index * perPage;
      if (this.#freeInPage[index] !== 0) {
        const { view } = this.#page(index);
        const end = Math.min(this.lastCluster - base, perPage - 1);
        for (let i = cluster - base; i <= end; i++) {
          if (codec.get(view, i) === 0) return base + i;
        }
      }
      cluster = base + perPage;
    }
    return 0;
  }

  /** How many clusters from `start` on are free, at most `limit`. */
  freeRun(start: number, limit: number): number {
    let length = 0;
    const end = Math.min(limit, this.lastCluster + 1 - start);
    while (length < end && this.get(start + length) === 0) length++;
    return length;
  }

  /** Counts the free clusters, which reads the whole table unless that was done before. */
  countFree(): number {
    let total = 0;
    let scratch: Uint8Array | undefined;
    for (let index = 0; index < this.#freeInPage.length; index++) {
      let free = this.#freeInPage[index]!;
      if (free < 0) {
        // Not through the cache: it has better things to hold.
        const length = this.#pageLength(index);
        scratch ??= new Uint8Array(PAGE_SIZE);
        const bytes = scratch.subarray(0, length);
        this.#device.read(this.#activeOffset() + index * PAGE_SIZE, bytes);
        free = this.#countPage(index, viewOf(bytes));
        this.#freeInPage[index] = free;
      }
      total += free;
    }
    return total;
  }

  /** Writes what has changed to every FAT that is kept. */
  writeDirty(): void {
    if (this.dirtyPages === 0) return;
    const dirty = [...this.#pages].filter(([, page]) => page.dirtyStart < page.dirtyEnd);
    dirty.sort(([a], [b]) => a - b);
    const { fatCount, fatOffset, fatSize, mirrored, activeFat } = this.#geometry;
    for (let copy = 0; copy < fatCount; copy++) {
      if (!mirrored && copy !== activeFat) continue;
      for (const [index, { bytes, dirtyStart, dirtyEnd }] of dirty) {
        const offset = fatOffset + copy * fatSize + index * PAGE_SIZE + dirtyStart;
        this.#device.write(offset, bytes.subarray(dirtyStart, dirtyEnd));
      }
    }
    for (const [, page] of dirty) {
      page.dirtyStart = PAGE_SIZE;
      page.dirtyEnd = 0;
    }
    this.dirtyPages = 0;
  }

  /** Every entry becomes `value`; in a chain only the last one, and the others name their neighbour. */
  #setRange(start: number, length: number, value: number, isChain: boolean): void {
    const { codec } = this;
    const last = start + length - 1;
    const perPage = this.#entriesPerPage;
    for (let cluster = start; cluster < start + length;) {
      const index = Math.floor(cluster / perPage);
      const base = index * perPage;
      const page = this.#page(index);
      const end = Math.min(start + length, base + perPage);
      this.#markDirty(page, cluster - base, end - base);
      let freed = 0;
      for (; cluster < end; cluster++) {
        const entry = isChain && cluster !== last ? cluster + 1 : value;
        if (codec.get(page.view, cluster - base) === 0) freed--;
        if (entry === 0) freed++;
        codec.set(page.view, cluster - base, entry);
      }
      this.#freeInPage[index]! += freed;
    }
  }

  /** Entries `first` to `end - 1` of the page. */
  #markDirty(page: Page, first: number, end: number): void {
    if (page.dirtyStart >= page.dirtyEnd) this.dirtyPages++;
    const startByte = Math.floor((first * this.codec.bits) / 8);
    const endByte = Math.ceil((end * this.codec.bits) / 8);
    page.dirtyStart = Math.min(page.dirtyStart, Math.floor(startByte / DIRTY_STEP) * DIRTY_STEP);
    const stepEnd = Math.ceil(endByte / DIRTY_STEP) * DIRTY_STEP;
    page.dirtyEnd = Math.max(page.dirtyEnd, Math.min(stepEnd, page.bytes.length));
  }

  #page(index: number): Page {
    if (index === this.#currentIndex) return this.#current!;
    const page = this.#pages.get(index) ?? this.#load(index);
    this.#currentIndex = index;
    this.#current = page;
    return page;
  }

  #load(index: number): Page {
    const bytes = new Uint8Array(this.#pageLength(index));
    this.#device.read(this.#activeOffset() + index * PAGE_SIZE, bytes);
    const page: Page = { bytes, view: viewOf(bytes), dirtyStart: PAGE_SIZE, dirtyEnd: 0 };
    if (this.#freeInPage[index]! < 0) this.#freeInPage[index] = this.#countPage(index, page.view);
    if (this.#pages.size - this.dirtyPages >= MAX_CLEAN_PAGES) this.#dropOldestClean();
    this.#pages.set(index, page);
    return page;
  }

  #dropOldestClean(): void {
    for (const [index, page] of this.#pages) {
      if (page.dirtyStart < page.dirtyEnd) continue;
      this.#pages.delete(index);
      return;
    }
  }

  #countPage(index: number, view: DataView): number {
    const base = index * this.#entriesPerPage;
    const end = Math.min(this.lastCluster - base, this.#entriesPerPage - 1);
    let free = 0;
    for (let i = Math.max(2 - base, 0); i <= end; i++) {
      if (this.codec.get(view, i) === 0) free++;
    }
    return free;
  }

  #pageLength(index: number): number {
    return Math.min(PAGE_SIZE, this.#geometry.fatSize - index * PAGE_SIZE);
  }

  #activeOffset(): number {
    return this.#geometry.fatOffset + this.#geometry.activeFat * this.#geometry.fatSize;
  }

  #entryOffset(cluster: number): number {
    return this.#activeOffset() + Math.floor((cluster * this.codec.bits) / 8);
  }
}
