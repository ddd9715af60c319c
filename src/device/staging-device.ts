import { FsError } from '../errors.ts';
import { type BlockDevice, checkRange } from './block-device.ts';

const PAGE = 4096;
/** Sectors of this size are what a change is reported and written in. */
const GRAIN = 512;
/** Bytes of memory taken at once for pages: many small allocations outside of the heap are slow. */
const SLAB = 1 << 18;
/** Bytes that may be staged. The largest journal that mke2fs makes by itself is 1 GiB; an image of a few KiB can have so much to mend that memory would end. */
const MAX_STAGED = 2 ** 31;
/** Longest single read or write of pages that are neighbours. */
const MERGE = 1 << 20;
/** The start of a device, where file systems say what they are and in what state: FAT in the first two sectors, ext from byte 1024 to here. */
const HEAD = 2048;

/** A range of the device below that is to become something else, bytes. */
export interface StagedRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * A device on which writes stay in memory until `apply`: whoever reads it sees them, the device below does not. Memory grows with the
 * pages of 4 KiB that are written, so it is for changes that are few: repairs, a journal that is looked at but not replayed. Writes beyond 2 GiB of
 * pages fail: FsError ENOMEM.
 */
export class StagingDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly = false;
  readonly #base: BlockDevice;
  readonly #pages = new Map<number, Uint8Array>();
  /** Numbers of sectors that `apply` writes first. */
  readonly #preceding = new Set<number>();
  #slab: Uint8Array = new Uint8Array(0);
  #slabUsed = 0;
  readonly #maxPages: number;

  /** `limit`: bytes that may be staged. */
  constructor(base: BlockDevice, { limit = MAX_STAGED }: { readonly limit?: number } = {}) {
    this.#base = base;
    this.#maxPages = Math.floor(limit / PAGE);
    this.size = base.size;
    this.sectorSize = base.sectorSize;
  }

  /** `apply` writes this range, of bytes, before all else: nothing leads to it yet. */
  precede(offset: number, length: number): void {
    for (let sector = Math.floor(offset / GRAIN); sector * GRAIN < offset + length; sector++)
      this.#preceding.add(sector);
  }

  /** Bytes of memory that the staged pages take. */
  get stagedSize(): number {
    return this.#pages.size * PAGE;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    this.#base.read(offset, into);
    if (this.#pages.size > 0) this.#putStaged(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    checkRange(this, 'write', offset, from.length);
    const end = offset + from.length;
    for (let index = Math.floor(offset / PAGE); index * PAGE < end; index++) {
      const start = Math.max(offset, index * PAGE);
      const stop = Math.min(end, (index + 1) * PAGE);
      const page = this.#pages.get(index) ?? this.#stage(index, stop - start);
      page.set(from.subarray(start - offset, stop - offset), start - index * PAGE);
    }
  }

  /** What differs from the device below, in order, in whole sectors, neighbours merged. */
  changes(): StagedRange[] {
    const found: { offset: number; length: number }[] = [];
    const below = new Uint8Array(MERGE);
    const indexes = Float64Array.from(this.#pages.keys()).sort();
    for (let from = 0; from < indexes.length;) {
      const first = indexes[from]!;
      let count = 1;
      while (count < MERGE / PAGE && indexes[from + count] === first + count) count++;
      const length = Math.min(count * PAGE, this.size - first * PAGE);
      this.#base.read(first * PAGE, below.subarray(0, length));
      for (let i = 0; i < count; i++) {
        const page = this.#pages.get(first + i)!;
        const old = below.subarray(i * PAGE, i * PAGE + page.length);
        noteChanges(page, old, (first + i) * PAGE, found);
      }
      from += count;
    }
    return found;
  }

  /** Forgets every write. */
  drop(): void {
    this.#pages.clear();
    this.#preceding.clear();
  }

  /**
   * Writes the changes to `target`, which is the device below or the same bytes opened for writing; flushes, and forgets them. What was told to precede is
   * durable before the rest is written. The start of the device is written last, when everything else is durable: a file system says there that it is in order.
   */
  apply(target: BlockDevice): void {
    const { preceding, ranges } = this.#splitPreceding(this.changes());
    const split = ranges.findIndex(({ offset, length }) => offset + length > HEAD);
    const behind = split < 0 ? [] : ranges.slice(split);
    const head = split < 0 ? ranges : ranges.slice(0, split);
    const [first] = behind;
    if (first !== undefined && first.offset < HEAD) {
      head.push({ offset: first.offset, length: HEAD - first.offset });
      behind[0] = { offset: HEAD, length: first.offset + first.length - HEAD };
    }
    for (const part of [preceding, behind, head]) {
      if (part.length === 0) continue;
      this.#writeStaged(target, part);
      target.flush();
    }
    this.#pages.clear();
    this.#preceding.clear();
  }

  #splitPreceding(ranges: readonly StagedRange[]): { preceding: StagedRange[]; ranges: StagedRange[] } {
    if (this.#preceding.size === 0) return { preceding: [], ranges: [...ranges] };
    const parts: [StagedRange[], StagedRange[]] = [[], []];
    for (const { offset, length } of ranges) {
      let start = offset;
      for (let at = offset; at < offset + length; at += GRAIN) {
        const isFirst = this.#preceding.has(at / GRAIN);
        const next = Math.min(at + GRAIN, offset + length);
        if (next < offset + length && this.#preceding.has(next / GRAIN) === isFirst) continue;
        parts[isFirst ? 0 : 1].push({ offset: start, length: next - start });
        start = next;
      }
    }
    return { preceding: parts[0], ranges: parts[1] };
  }

  /** Nothing to make durable: what is written stays in memory. */
  flush(): void {}

  close(): void {
    this.#base.close();
  }

  /** Ranges of which every byte is staged. */
  #writeStaged(target: BlockDevice, ranges: readonly StagedRange[]): void {
    const buffer = new Uint8Array(MERGE);
    for (const { offset, length } of ranges) {
      for (let done = 0; done < length; done += MERGE) {
        const content = buffer.subarray(0, Math.min(length - done, MERGE));
        this.#putStaged(offset + done, content);
        target.write(offset + done, content);
      }
    }
  }

  /** Puts what is staged of a range over it. */
  #putStaged(offset: number, into: Uint8Array): void {
    const end = offset + into.length;
    for (let index = Math.floor(offset / PAGE); index * PAGE < end; index++) {
      const page = this.#pages.get(index);
      if (page === undefined) continue;
      const start = Math.max(offset, index * PAGE);
      const stop = Math.min(end, index * PAGE + page.length);
      into.set(page.subarray(start - index * PAGE, stop - index * PAGE), start - offset);
    }
  }

  /** A page in memory, of which `written` bytes are about to be replaced. */
  #stage(index: number, written: number): Uint8Array {
    if (this.#pages.size >= this.#maxPages) {
      const most = `${(this.#maxPages * PAGE) / 2 ** 20} MiB`;
      throw new FsError('ENOMEM', {
        detail: `more than ${most} would have to change, and changes are kept in memory until all of them are known`,
      });
    }
    if (this.#slabUsed === this.#slab.length) {
      // The first pages one by one: mostly there are few.
      this.#slab = new Uint8Array(this.#pages.size < SLAB / PAGE ? PAGE : SLAB);
      this.#slabUsed = 0;
    }
    const length = Math.min(PAGE, this.size - index * PAGE);
    const page = this.#slab.subarray(this.#slabUsed, this.#slabUsed + length);
    this.#slabUsed += PAGE;
    if (written < page.length) this.#base.read(index * PAGE, page);
    this.#pages.set(index, page);
    return page;
  }
}

/** Adds the sectors in which a page differs from what is below; `origin`: where it lies, bytes. */
function noteChanges(
  page: Uint8Array,
  old: Uint8Array,
  origin: number,
  found: { offset: number; length: number }[],
): void {
  for (let at = 0; at < page.length; at += GRAIN) {
    const stop = Math.min(at + GRAIN, page.length);
    if (isSame(page, old, at, stop)) continue;
    const last = found.at(-1);
    if (last !== undefined && last.offset + last.length === origin + at) last.length += stop - at;
    else found.push({ offset: origin + at, length: stop - at });
  }
}

function isSame(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    if (a[i] !== b[i]) return false;
  }
  return true;
}
