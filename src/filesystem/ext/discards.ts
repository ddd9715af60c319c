import { discardRange } from '../../device/block-device.ts';
import { nextClear, nextSet } from './bitmap.ts';
import type { BlockRun } from './block-allocator.ts';
import type { Volume } from './volume.ts';

/** What the host lets go of: its pages are no smaller, and holes have whole ones. Bytes. */
const HOST_UNIT = 4096;

/**
 * Free space that the device may let go of, so that the image has holes there. Only what is free on the device, durably: after a power cut nothing may
 * lead to content that is gone.
 */
export class Discards {
  /** Whoever frees blocks says so. */
  isActive = false;
  readonly #volume: Volume;
  #runs: BlockRun[] = [];

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0;
  }

  /** Blocks were freed in memory. */
  note(start: number, length: number): void {
    if (this.isActive) this.#runs.push({ start, length });
  }

  /** All bitmaps are durable as they are in memory. What was freed and is not in use again is discarded. */
  apply(): void {
    if (this.#runs.length === 0) return;
    const runs = merged(this.#runs);
    this.#runs = [];
    const { blockSize, firstDataBlock, blockCount } = this.#volume.geometry;
    // What was freed before next to it, and did not fill a page of the host then.
    const margin = Math.ceil(HOST_UNIT / blockSize) - 1;
    for (const { start, length } of runs) {
      const from = Math.max(firstDataBlock, start - margin);
      const end = Math.min(blockCount, start + length + margin);
      for (const free of this.#freeRuns(from, end)) {
        if (free.start < start + length && free.start + free.length > start) this.#discard(free);
      }
    }
  }

  /**
   * Discards all free runs of at least `least` blocks, and of a page of the host, in a range of blocks, which is cut to the volume. All bitmaps are durable as they are in memory.
   * Returns the number of blocks.
   */
  trim(start: number, end: number, least: number): number {
    const { blockSize, firstDataBlock, blockCount } = this.#volume.geometry;
    const shortest = Math.max(least, HOST_UNIT / blockSize);
    let total = 0;
    for (const free of this.#freeRuns(Math.max(start, firstDataBlock), Math.min(end, blockCount))) {
      if (free.length < shortest) continue;
      this.#discard(free);
      total += free.length;
    }
    return total;
  }

  /** Forgets what was noted. */
  clear(): void {
    this.#runs = [];
  }

  /** Runs of free blocks of a range, each within one group. */
  *#freeRuns(start: number, end: number): Iterable<BlockRun> {
    const { groups, geometry, held } = this.#volume;
    for (let block = start; block < end;) {
      const group = groups.get(Math.floor((block - geometry.firstDataBlock) / geometry.blocksPerGroup));
      const ratio = geometry.blocksPerCluster;
      const last = Math.min(group.clusterCount, Math.floor((end - group.firstBlock) / ratio));
      const { bytes } = groups.blockBitmap(group);
      for (let bit = Math.ceil((block - group.firstBlock) / ratio); bit < last;) {
        const clear = nextClear(bytes, bit, last);
        if (clear >= last) break;
        bit = nextSet(bytes, clear, last);
        if (!held.has(group, clear, bit - clear))
          yield { start: group.firstBlock + clear * ratio, length: (bit - clear) * ratio };
      }
      block = group.firstBlock + group.blockCount;
    }
  }

  #discard({ start, length }: BlockRun): void {
    const { blockSize } = this.#volume.geometry;
    discardRange(this.#volume.device, start * blockSize, length * blockSize);
  }
}

/** In the order of the device, neighbours in one. */
function merged(runs: BlockRun[]): BlockRun[] {
  const result: { start: number; length: number }[] = [];
  for (const { start, length } of runs.sort((a, b) => a.start - b.start)) {
    const last = result.at(-1);
    if (last !== undefined && start <= last.start + last.length)
      last.length = Math.max(last.length, start + length - last.start);
    else result.push({ start, length });
  }
  return result;
}
