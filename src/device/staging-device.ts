import { type BlockDevice, checkRange } from './block-device.ts';

const PAGE = 4096;
/** Sectors of this size are what a change is reported and written in. */
const GRAIN = 512;

/** A range of the device below that is to become something else, bytes. */
export interface StagedRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * A device on which writes stay in memory until `apply`: whoever reads it sees them, the device below does not. Memory grows with the
 * pages of 4 KiB that are written, so it is for changes that are few: repairs, a journal that is looked at but not replayed.
 */
export class StagingDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly = false;
  readonly #base: BlockDevice;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(base: BlockDevice) {
    this.#base = base;
    this.size = base.size;
    this.sectorSize = base.sectorSize;
  }

  /** Bytes of memory that the staged pages take. */
  get stagedSize(): number {
    return this.#pages.size * PAGE;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    this.#base.read(offset, into);
    if (this.#pages.size === 0) return;
    const end = offset + into.length;
    for (let index = Math.floor(offset / PAGE); index * PAGE < end; index++) {
      const page = this.#pages.get(index);
      if (page === undefined) continue;
      const start = Math.max(offset, index * PAGE);
      const stop = Math.min(end, index * PAGE + page.length);
      into.set(page.subarray(start - index * PAGE, stop - index * PAGE), start - offset);
    }
  }

  write(offset: number, from: Uint8Array): void {
    checkRange(this, 'write', offset, from.length);
    const end = offset + from.length;
    for (let index = Math.floor(offset / PAGE); index * PAGE < end; index++) {
      const page = this.#pages.get(index) ?? this.#stage(index);
      const start = Math.max(offset, index * PAGE);
      const stop = Math.min(end, index * PAGE + page.length);
      page.set(from.subarray(start - offset, stop - offset), start - index * PAGE);
    }
  }

  /** What differs from the device below, in order, in whole sectors, neighbours merged. */
  changes(): StagedRange[] {
    const found: { offset: number; length: number }[] = [];
    const below = new Uint8Array(PAGE);
    for (const index of [...this.#pages.keys()].sort((a, b) => a - b)) {
      const page = this.#pages.get(index)!;
      const old = below.subarray(0, page.length);
      this.#base.read(index * PAGE, old);
      for (let at = 0; at < page.length; at += GRAIN) {
        const stop = Math.min(at + GRAIN, page.length);
        if (isSame(page, old, at, stop)) continue;
        const offset = index * PAGE + at;
        const last = found.at(-1);
        if (last !== undefined && last.offset + last.length === offset) last.length += stop - at;
        else found.push({ offset, length: stop - at });
      }
    }
    return found;
  }

  /** Forgets every write. */
  drop(): void {
    this.#pages.clear();
  }

  /** Writes the changes to `target`, which is the device below or the same bytes opened for writing; flushes, and forgets them. */
  apply(target: BlockDevice): void {
    for (const { offset, length } of this.changes()) {
      const content = new Uint8Array(length);
      this.read(offset, content);
      target.write(offset, content);
    }
    target.flush();
    this.#pages.clear();
  }

  /** Nothing to make durable: what is written stays in memory. */
  flush(): void {}

  close(): void {
    this.#base.close();
  }

  #stage(index: number): Uint8Array {
    const page = new Uint8Array(Math.min(PAGE, this.size - index * PAGE));
    this.#base.read(index * PAGE, page);
    this.#pages.set(index, page);
    return page;
  }
}

function isSame(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    if (a[i] !== b[i]) return false;
  }
  return true;
}
