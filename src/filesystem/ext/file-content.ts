import { type Extent } from '../../device/block-device.ts';
import type { ContentCopier, CopiedPiece, OutsideFile } from '../../device/content-copier.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import type { Placement } from '../file-system.ts';
import type { BlockAllocator } from './block-allocator.ts';
import type { FileMap, MappedRun } from './file-map.ts';
import type { InodeRef, InodeTable } from './inode-table.ts';
import type { Volume } from './volume.ts';

/** The bytes of regular files: straight between the caller's array and the device, a call a contiguous run. */
export class FileContent {
  readonly #volume: Volume;
  readonly #inodes: InodeTable;
  readonly #map: FileMap;
  readonly #allocator: BlockAllocator;
  readonly #run: MappedRun = { start: 0, length: 0 };

  constructor(volume: Volume, inodes: InodeTable, map: FileMap, allocator: BlockAllocator) {
    this.#volume = volume;
    this.#inodes = inodes;
    this.#map = map;
    this.#allocator = allocator;
  }

  /** Longest file, bytes. */
  get maxSize(): number {
    return this.#map.maxBlocks * this.#volume.geometry.blockSize;
  }

  read(ref: InodeRef, offset: number, into: Uint8Array): number {
    const size = this.#inodes.size(ref);
    if (offset >= size) return 0;
    const total = Math.min(into.length, size - offset);
    const { blockSize } = this.#volume.geometry;
    const run = this.#run;
    const lastBlock = Math.floor((offset + total - 1) / blockSize);
    for (let done = 0; done < total;) {
      const block = Math.floor((offset + done) / blockSize);
      const within = (offset + done) % blockSize;
      this.#map.map(ref, block, lastBlock - block + 1, run);
      const length = Math.min(run.length * blockSize - within, total - done);
      if (run.start === 0) into.fill(0, done, done + length);
      else {
        this.#volume.data.settle(run.start * blockSize + within, length);
        const part = done === 0 && length === into.length ? into : into.subarray(done, done + length);
        this.#volume.device.read(run.start * blockSize + within, part);
      }
      done += length;
    }
    return total;
  }

  /**
   * Order: blocks are taken in the bitmaps and mapped in memory, the data goes to the device at once, and all metadata
   * follows at the next flush. `expectedSize` is how long the file is going to be.
   */
  write(ref: InodeRef, offset: number, from: Uint8Array, expectedSize: number): void {
    if (from.length === 0) return;
    const { blockSize } = this.#volume.geometry;
    const end = offset + from.length;
    this.#requireFits(ref, end, 'write');
    const first = Math.floor(offset / blockSize);
    const last = Math.floor((end - 1) / blockSize);
    const oldSize = this.#inodes.size(ref);
    // What has no place yet is written wholly, zeros around the content.
    const headIsNew = offset % blockSize !== 0 && this.#isHole(ref, first);
    const tailIsNew = end % blockSize !== 0 && this.#isHole(ref, last);
    const wanted = Math.ceil(expectedSize / blockSize) - first;
    const count = last - first + 1;
    if (oldSize === 0 && first === 0 && wanted <= count && this.#map.hasExtents(ref))
      this.#map.begin(ref, count, this.#goal(ref, 0), this.#run);
    else this.#map.provide(ref, first, count, this.#goal(ref, first), wanted);
    try {
      if (offset > oldSize) this.#zeroTail(ref, oldSize);
      this.#store(ref, offset, from, headIsNew, tailIsNew);
    } catch (error) {
      // The device failed: what was taken behind the end of the file would be lost.
      const kept = Math.max(first, Math.ceil(oldSize / blockSize));
      if (kept <= last) this.#map.truncate(ref, kept);
      throw error;
    }
    if (end > oldSize) this.#inodes.setSize(ref, end);
  }

  /** The whole content of an empty file, as `write`; the copier brings it, and zeros for the rest of the last block. */
  fill(ref: InodeRef, file: OutsideFile, copier: ContentCopier): void {
    const { data, geometry } = this.#volume;
    const { blockSize } = geometry;
    const { size } = file;
    this.#requireFits(ref, size, 'write');
    const count = Math.ceil(size / blockSize);
    const run = this.#run;
    this.#map.begin(ref, count, this.#goal(ref, 0), run);
    const pieces: CopiedPiece[] = [];
    for (let block = 0; block < count; block += run.length) {
      if (block > 0) this.#map.map(ref, block, count - block, run);
      const fileOffset = block * blockSize;
      const deviceOffset = run.start * blockSize;
      const length = Math.min(run.length * blockSize, size - fileOffset);
      data.settle(deviceOffset, run.length * blockSize);
      pieces.push({ fileOffset, deviceOffset, length, padding: run.length * blockSize - length });
    }
    try {
      copier.copy(file, pieces);
    } catch (error) {
      this.#map.truncate(ref, 0);
      throw error;
    }
    this.#inodes.setSize(ref, size);
  }

  /** Truncates, or extends with a hole. */
  resize(ref: InodeRef, size: number): void {
    this.#requireFits(ref, size, 'truncate');
    const oldSize = this.#inodes.size(ref);
    if (size < oldSize) {
      this.#map.truncate(ref, Math.ceil(size / this.#volume.geometry.blockSize));
      this.#zeroTail(ref, size);
    } else if (size > oldSize) this.#zeroTail(ref, oldSize);
    this.#inodes.setSize(ref, size);
  }

  /** Gives back the blocks behind the end of the file: what an interrupted truncation left. */
  releaseBeyondEnd(ref: InodeRef): void {
    const { blockSize } = this.#volume.geometry;
    this.#map.truncate(ref, Math.ceil(this.#inodes.size(ref) / blockSize));
  }

  /** Makes a range read as zeros; whole blocks of it are given back. */
  punch(ref: InodeRef, offset: number, length: number): void {
    const { blockSize } = this.#volume.geometry;
    const size = this.#inodes.size(ref);
    const end = Math.min(offset + length, size);
    if (offset >= end) return;
    const first = Math.ceil(offset / blockSize);
    const last = end === size ? Math.ceil(end / blockSize) : Math.floor(end / blockSize);
    if (first > last) {
      this.#zeroWithin(ref, offset, end);
      return;
    }
    this.#zeroWithin(ref, offset, first * blockSize);
    this.#zeroWithin(ref, last * blockSize, end);
    if (last > first && !this.#map.punch(ref, first, last - first)) this.#zeroBlocks(ref, first, last);
  }

  /**
   * Takes space for a range, which reads as zeros where nothing was written; the file grows over it unless `keepSize`.
   * ENOSPC changes nothing. EOPNOTSUPP for a file with a block map, in which every block that is there has content.
   */
  preallocate(ref: InodeRef, offset: number, length: number, keepSize: boolean): void {
    const { blockSize } = this.#volume.geometry;
    const end = offset + length;
    this.#requireFits(ref, end, 'fallocate');
    const first = Math.floor(offset / blockSize);
    const count = Math.ceil(end / blockSize) - first;
    if (!this.#map.preallocate(ref, first, count, this.#goal(ref, first))) {
      throw new FsError('EOPNOTSUPP', { syscall: 'fallocate' });
    }
    if (!keepSize && end > this.#inodes.size(ref)) this.resize(ref, end);
  }

  *extents(ref: InodeRef): Iterable<Extent> {
    const { blockSize } = this.#volume.geometry;
    const size = this.#inodes.size(ref);
    let start = 0;
    let kind: Extent['kind'] | undefined;
    for (const run of this.#runs(ref, size)) {
      const next = run.start === 0 ? 'hole' : 'data';
      if (next !== kind) {
        if (kind !== undefined) yield { offset: start, length: run.block * blockSize - start, kind };
        start = run.block * blockSize;
        kind = next;
      }
    }
    if (kind !== undefined) yield { offset: start, length: size - start, kind };
  }

  *placement(ref: InodeRef): Iterable<Placement> {
    const { blockSize } = this.#volume.geometry;
    const size = this.#inodes.size(ref);
    let pending: { block: number; start: number; length: number } | undefined;
    const placed = (run: { block: number; start: number; length: number }): Placement => ({
      fileOffset: run.block * blockSize,
      deviceOffset: run.start * blockSize,
      length: Math.min(run.length * blockSize, size - run.block * blockSize),
    });
    for (const run of this.#runs(ref, size)) {
      if (
        pending !== undefined &&
        pending.start + pending.length === run.start &&
        pending.block + pending.length === run.block
      ) {
        pending.length += run.length;
        continue;
      }
      if (pending !== undefined) yield placed(pending);
      pending = run.start === 0 ? undefined : { ...run };
    }
    if (pending !== undefined) yield placed(pending);
  }

  /** Every run of the file, holes too; CorruptImageError when it is mapped to more blocks than there are. */
  *#runs(ref: InodeRef, size: number): Iterable<{ block: number; start: number; length: number }> {
    const { blockSize, blockCount } = this.#volume.geometry;
    const end = Math.ceil(size / blockSize);
    const run: MappedRun = { start: 0, length: 0 };
    let mapped = 0;
    for (let block = 0; block < end;) {
      // The inode table's block may have left the cache since the last step.
      this.#map.map(this.#inodes.load(ref.number), block, end - block, run);
      if (run.start !== 0) mapped += run.length;
      if (mapped > blockCount) {
        throw new CorruptImageError({
          structure: `inode ${ref.number}`,
          field: 'i_block',
          found: `more than ${blockCount} blocks`,
          expected: 'no more than the volume has',
        });
      }
      yield { block, start: run.start, length: run.length };
      block += run.length;
    }
  }

  #isHole(ref: InodeRef, block: number): boolean {
    this.#map.map(ref, block, 1, this.#run);
    return this.#run.start === 0;
  }

  /** Behind what the file has before `block`, or where its group has room. */
  #goal(ref: InodeRef, block: number): number {
    const goal = this.#map.goal(ref, block);
    if (goal > 0) return goal;
    return this.#allocator.goalInGroup(Math.floor((ref.number - 1) / this.#volume.geometry.inodesPerGroup));
  }

  #requireFits(ref: InodeRef, end: number, syscall: string): void {
    if (end <= this.#map.maxBlocksOf(ref) * this.#volume.geometry.blockSize) return;
    throw new FsError('EFBIG', { syscall });
  }

  /** Stores bytes into blocks that are all mapped; a new block is written wholly, zeros around the content. */
  #store(ref: InodeRef, offset: number, from: Uint8Array, headIsNew: boolean, tailIsNew: boolean): void {
    const { data, geometry } = this.#volume;
    const { blockSize } = geometry;
    const run = this.#run;
    const end = offset + from.length;
    const last = Math.floor((end - 1) / blockSize);
    for (let at = offset; at < end;) {
      const block = Math.floor(at / blockSize);
      const within = at % blockSize;
      this.#map.map(ref, block, last - block + 1, run);
      const where = run.start * blockSize + within;
      let length = Math.min(run.length * blockSize - within, end - at);
      const head = headIsNew && at === offset ? within : 0;
      const tail = tailIsNew && at + length === end ? blockSize - (end % blockSize) : 0;
      const whole = head + length + tail;
      // A block is at most 64 KiB; less than one has to be filled up, which is done in place.
      if (data.isSmall(whole) || whole <= blockSize) {
        const target = data.place(where - head, whole);
        if (head > 0) target.fill(0, 0, head);
        target.set(length === from.length ? from : from.subarray(at - offset, at - offset + length), head);
        if (tail > 0) target.fill(0, head + length);
      } else if (head > 0) {
        // The padded block on its own; the rest in the next round.
        length = blockSize - within;
        const target = data.place(where - head, blockSize);
        target.fill(0, 0, head);
        target.set(from.subarray(0, length), head);
      } else {
        if (tail > 0) length -= end % blockSize;
        data.write(where, length === from.length ? from : from.subarray(at - offset, at - offset + length));
      }
      at += length;
    }
  }

  /** Zeroes the rest of the block in which the file ends, so that nothing old shows up when it grows. */
  #zeroTail(ref: InodeRef, size: number): void {
    const { data, geometry } = this.#volume;
    const within = size % geometry.blockSize;
    if (within === 0) return;
    this.#map.map(ref, Math.floor(size / geometry.blockSize), 1, this.#run);
    if (this.#run.start === 0) return;
    data.place(this.#run.start * geometry.blockSize + within, geometry.blockSize - within).fill(0);
  }

  /** Writes zeros over whatever is mapped of `[first, last)`. */
  #zeroBlocks(ref: InodeRef, first: number, last: number): void {
    const { data, geometry } = this.#volume;
    const run = this.#run;
    for (let block = first; block < last; block += run.length) {
      this.#map.map(ref, block, last - block, run);
      if (run.start !== 0) data.zero(run.start * geometry.blockSize, run.length * geometry.blockSize);
    }
  }

  /** Zeroes a range that lies within one block. */
  #zeroWithin(ref: InodeRef, start: number, end: number): void {
    if (start >= end) return;
    const { data, geometry } = this.#volume;
    this.#map.map(ref, Math.floor(start / geometry.blockSize), 1, this.#run);
    if (this.#run.start === 0) return;
    data.place(this.#run.start * geometry.blockSize + (start % geometry.blockSize), end - start).fill(0);
  }
}
