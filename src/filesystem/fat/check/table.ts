import { viewOf } from '../../../bytes/struct.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import { FAT_ENTRY_CODECS, type FatEntryCodec } from '../fat-entry-codec.ts';
import type { FatGeometry } from '../geometry.ts';

/** Holds a whole number of entries of each width: 12 bits, 16 and 32. */
const PAGE_ENTRIES = 8192;
const MAX_PAGES = 1024;

/** The FAT under check: one is read, all are written. At most 32 MiB of it are in memory. */
export class CheckedTable {
  readonly codec: FatEntryCodec;
  /** The last cluster number. */
  readonly lastCluster: number;
  readonly #device: BlockDevice;
  readonly #geometry: FatGeometry;
  readonly #pages = new Map<number, DataView>();
  readonly #pageBytes: number;
  #source: number;
  #nextFree = 2;

  constructor(device: BlockDevice, geometry: FatGeometry, source: number) {
    this.#device = device;
    this.#geometry = geometry;
    this.#source = source;
    this.codec = FAT_ENTRY_CODECS[geometry.type];
    this.lastCluster = geometry.clusterCount + 1;
    this.#pageBytes = (PAGE_ENTRIES * this.codec.bits) / 8;
  }

  /** Which FAT is read from now on. */
  set source(index: number) {
    this.#source = index;
    this.#pages.clear();
  }

  get(cluster: number): number {
    const index = Math.floor(cluster / PAGE_ENTRIES);
    return this.codec.get(this.#pages.get(index) ?? this.#load(index), cluster - index * PAGE_ENTRIES);
  }

  isEnd(value: number): boolean {
    return value >= this.codec.endMinimum;
  }

  /** Free, bad, or a number of no cluster. */
  isLink(value: number): boolean {
    return value >= 2 && value <= this.lastCluster;
  }

  set(cluster: number, value: number): void {
    const index = Math.floor(cluster / PAGE_ENTRIES);
    const page = this.#pages.get(index) ?? this.#load(index);
    const within = cluster - index * PAGE_ENTRIES;
    this.codec.set(page, within, value);
    // The bytes of the entry; on FAT12 those of its neighbour are among them.
    const start = Math.floor((within * this.codec.bits) / 8);
    const length = this.codec.bits === 32 ? 4 : 2;
    const bytes = new Uint8Array(page.buffer, page.byteOffset + start, length);
    const { fatOffset, fatSize, fatCount } = this.#geometry;
    for (let copy = 0; copy < fatCount; copy++) {
      this.#device.write(fatOffset + copy * fatSize + index * this.#pageBytes + start, bytes);
    }
  }

  /** A free cluster, each once; undefined when there is none left. */
  takeFree(): number | undefined {
    while (this.#nextFree <= this.lastCluster) {
      const cluster = this.#nextFree++;
      if (this.get(cluster) === 0) return cluster;
    }
    return undefined;
  }

  #load(index: number): DataView {
    if (this.#pages.size >= MAX_PAGES) this.#pages.clear();
    const { fatOffset, fatSize } = this.#geometry;
    const start = index * this.#pageBytes;
    const content = new Uint8Array(this.#pageBytes);
    this.#device.read(
      fatOffset + this.#source * fatSize + start,
      content.subarray(0, Math.min(this.#pageBytes, fatSize - start)),
    );
    const page = viewOf(content);
    this.#pages.set(index, page);
    return page;
  }
}
