import fs from 'node:fs';
import {
  type BlockDevice,
  type Extent,
  checkRange,
  checkWritable,
  extentsOf,
  zeroRange,
} from '../device/block-device.ts';
import { DescriptorDevice } from './descriptor-device.ts';

/**
 * Where the changed blocks of a device with an overlay are: plain data, the same in every thread that serves the device.
 *
 * A changed block lies in the file at the offset that it has on the device. Behind the last block a kept overlay has its header and
 * its bitmap (overlay-file.ts).
 */
export interface OverlayShare {
  /** An open descriptor of this process. */
  readonly fd: number;
  /** For messages. */
  readonly path: string;
  /** Bytes; a power of two. */
  readonly blockSize: number;
  /** A bit a block, the lowest first: set when the block is in the overlay. A multiple of 4 bytes long. */
  readonly bitmap: SharedArrayBuffer;
  /** Int32 words: see `OverlayWord`. */
  readonly control: SharedArrayBuffer;
  /** Byte offset in the file at which the bitmap is kept; undefined when it is not. */
  readonly bitmapOffset?: number;
}

/**
 * Words of `control`: a lock for flushing, one a stripe of blocks, and a mark a part of the bitmap that has changed since it
 * was last written to the file. Of a lock: 0 free, 1 in use, 2 in use and somebody waits.
 */
const OverlayWord = { flushLock: 0, stripeLocks: 1 } as const;
const STRIPE_COUNT = 255;
const FIRST_MARK = OverlayWord.stripeLocks + STRIPE_COUNT;
/** Blocks that share a lock. */
const STRIPE_BLOCKS = 256;
/** Bytes of the bitmap that share a mark, and are written together. */
const PART_BYTES = 4096;

/** For a device of that size; `persistent` is where and what the bitmap of a kept overlay is. */
export function createOverlayShare(
  file: { readonly fd: number; readonly path: string },
  blockSize: number,
  bitmapBytes: number,
  bitmapOffset: number | undefined,
): OverlayShare {
  const parts = Math.ceil(bitmapBytes / PART_BYTES);
  return {
    ...file,
    blockSize,
    bitmap: new SharedArrayBuffer(bitmapBytes),
    control: new SharedArrayBuffer(4 * (FIRST_MARK + parts)),
    ...(bitmapOffset === undefined ? {} : { bitmapOffset }),
  };
}

/**
 * A device of which the changed blocks are in another file. Any number of threads may have one each of the same share: what two of them
 * write at the same moment comes out as if one had written first, block by block, and no byte of either is lost.
 */
export class OverlayDevice implements BlockDevice {
  readonly #base: BlockDevice;
  readonly #over: DescriptorDevice;
  readonly #share: OverlayShare;
  readonly #bits: Int32Array;
  readonly #control: Int32Array;
  readonly #blockSize: number;
  readonly #block: Uint8Array;
  readonly #size: () => number;

  /** `base` is only read. */
  constructor(base: BlockDevice, share: OverlayShare, size: () => number) {
    this.#base = base;
    this.#share = share;
    this.#size = size;
    this.#bits = new Int32Array(share.bitmap);
    this.#control = new Int32Array(share.control);
    this.#blockSize = share.blockSize;
    this.#block = new Uint8Array(share.blockSize);
    this.#over = new DescriptorDevice(share.fd, {
      path: share.path,
      offset: 0,
      sectorSize: base.sectorSize,
      readOnly: false,
      size,
    });
  }

  get size(): number {
    return this.#size();
  }

  get sectorSize(): number {
    return this.#base.sectorSize;
  }

  get readOnly(): boolean {
    return false;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, 'read', offset, into.length);
    for (const { changed, from, to } of this.#runs(offset, offset + into.length)) {
      (changed ? this.#over : this.#base).read(from, into.subarray(from - offset, to - offset));
    }
  }

  write(offset: number, from: Uint8Array): void {
    checkWritable(this, 'write');
    checkRange(this, 'write', offset, from.length);
    this.#change(offset, offset + from.length, (start, end) =>
      this.#over.write(start, from.subarray(start - offset, end - offset)),
    );
  }

  zero(offset: number, length: number): void {
    checkWritable(this, 'zero');
    checkRange(this, 'zero', offset, length);
    this.#change(offset, offset + length, (start, end) => zeroRange(this.#over, start, end - start));
  }

  /** What is given up reads as zeros, as where a file has a hole. */
  discard(offset: number, length: number): void {
    this.zero(offset, length);
  }

  *extents(offset: number, length: number): Iterable<Extent> {
    checkRange(this, 'extents', offset, length);
    for (const { changed, from, to } of this.#runs(offset, offset + length)) {
      yield* extentsOf(changed ? this.#over : this.#base, from, to - from);
    }
  }

  /**
   * First the blocks, then the bitmap that says that they are there; as it was before the blocks were flushed, since of what others
   * write meanwhile the blocks may not be there yet.
   */
  flush(): void {
    const { fd, bitmapOffset } = this.#share;
    if (bitmapOffset === undefined) return;
    this.#lock(OverlayWord.flushLock);
    try {
      const parts = this.#changedParts();
      fs.fdatasyncSync(fd);
      for (const { start, content } of parts) {
        for (let done = 0; done < content.length;)
          done += fs.writeSync(fd, content, done, content.length - done, bitmapOffset + start + done);
      }
      if (parts.length > 0) fs.fdatasyncSync(fd);
    } finally {
      this.#unlock(OverlayWord.flushLock);
    }
  }

  /** The descriptors belong to the process. */
  close(): void {}

  #changedParts(): { start: number; content: Uint8Array }[] {
    const bytes = new Uint8Array(this.#share.bitmap);
    const parts = [];
    for (let start = 0; start < bytes.length; start += PART_BYTES) {
      if (Atomics.exchange(this.#control, FIRST_MARK + start / PART_BYTES, 0) === 0) continue;
      parts.push({ start, content: Uint8Array.from(bytes.subarray(start, start + PART_BYTES)) });
    }
    return parts;
  }

  /** The range as parts that are all in the overlay, or all not. */
  *#runs(offset: number, end: number): Iterable<{ changed: boolean; from: number; to: number }> {
    const size = this.#blockSize;
    for (let from = offset; from < end;) {
      const changed = this.#isChanged(Math.floor(from / size));
      let to = from;
      do to = (Math.floor(to / size) + 1) * size;
      while (to < end && this.#isChanged(to / size) === changed);
      to = Math.min(to, end);
      yield { changed, from, to };
      from = to;
    }
  }

  /** `put` writes a part of the range to the overlay. */
  #change(offset: number, end: number, put: (start: number, end: number) => void): void {
    const stripe = this.#blockSize * STRIPE_BLOCKS;
    for (let from = offset; from < end;) {
      const to = Math.min(end, (Math.floor(from / stripe) + 1) * stripe);
      this.#changeInStripe(from, to, put);
      from = to;
    }
  }

  #changeInStripe(offset: number, end: number, put: (start: number, end: number) => void): void {
    const size = this.#blockSize;
    const first = Math.floor(offset / size);
    const last = Math.floor((end - 1) / size);
    // What is in the overlay stays there: such blocks are written side by side.
    if (this.#areChanged(first, last)) {
      put(offset, end);
      return;
    }
    const lock = OverlayWord.stripeLocks + (Math.floor(first / STRIPE_BLOCKS) % STRIPE_COUNT);
    this.#lock(lock);
    try {
      if (offset % size !== 0) this.#bring(first);
      if (end % size !== 0 && (last !== first || offset % size === 0)) this.#bring(last);
      put(offset, end);
      this.#markChanged(first, last);
    } finally {
      this.#unlock(lock);
    }
  }

  /** Copies a block of which only a part is going to be written. */
  #bring(index: number): void {
    if (this.#isChanged(index)) return;
    const start = index * this.#blockSize;
    const block = this.#block.subarray(0, Math.min(this.#blockSize, this.size - start));
    this.#base.read(start, block);
    this.#over.write(start, block);
  }

  #isChanged(index: number): boolean {
    return (Atomics.load(this.#bits, index >>> 5) & (1 << (index & 31))) !== 0;
  }

  #areChanged(first: number, last: number): boolean {
    for (let index = first; index <= last; index++) if (!this.#isChanged(index)) return false;
    return true;
  }

  #markChanged(first: number, last: number): void {
    for (let index = first; index <= last; index++) Atomics.or(this.#bits, index >>> 5, 1 << (index & 31));
    const lastPart = Math.floor((last >>> 3) / PART_BYTES);
    for (let part = Math.floor((first >>> 3) / PART_BYTES); part <= lastPart; part++)
      Atomics.store(this.#control, FIRST_MARK + part, 1);
  }

  #lock(word: number): void {
    if (Atomics.compareExchange(this.#control, word, 0, 1) === 0) return;
    while (Atomics.exchange(this.#control, word, 2) !== 0) Atomics.wait(this.#control, word, 2);
  }

  #unlock(word: number): void {
    if (Atomics.exchange(this.#control, word, 0) === 2) Atomics.notify(this.#control, word, 1);
  }
}
