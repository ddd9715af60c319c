import type { BlockDevice } from '../../../device/block-device.ts';
import { FsError } from '../../../errors.ts';
import { SUPERBLOCK_OFFSET } from '../superblock.ts';
import type { Pass } from './resize.ts';

/** A device as a pass will leave it, to be read only. */
export class PlannedDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly = true;
  readonly #base: BlockDevice;
  readonly #blockSize: number;
  /** Blocks as they will be. */
  readonly #blocks = new Map<number, Uint8Array>();
  /** Ranges that get the content of others, ascending. A source is never overwritten in the same pass. */
  readonly #copies: { readonly from: number; readonly to: number; readonly count: number }[] = [];
  #superblock: Uint8Array | undefined;

  constructor(base: BlockDevice, { stages }: Pass, blockSize: number) {
    this.#base = base;
    this.size = base.size;
    this.sectorSize = base.sectorSize;
    this.#blockSize = blockSize;
    for (const stage of stages) {
      if (stage.zeros.length > 0) throw new TypeError('a pass that makes new tables is the last one');
      for (const [block, bytes] of stage.blocks) this.#blocks.set(block, bytes);
      this.#copies.push(...stage.copies);
      this.#superblock = stage.superblock ?? this.#superblock;
    }
    this.#copies.sort((a, b) => a.to - b.to);
  }

  read(offset: number, into: Uint8Array): void {
    const blockSize = this.#blockSize;
    for (let done = 0; done < into.length;) {
      const at = offset + done;
      const block = Math.floor(at / blockSize);
      const within = at - block * blockSize;
      const part = into.subarray(done, done + Math.min(blockSize - within, into.length - done));
      const planned = this.#blocks.get(block);
      if (planned === undefined) this.#base.read(this.#sourceOf(block) * blockSize + within, part);
      else part.set(planned.subarray(within, within + part.length));
      done += part.length;
    }
    this.#putSuperblock(offset, into);
  }

  write(): void {
    throw new FsError('EROFS', { detail: 'a plan is not written' });
  }

  flush(): void {
    // Nothing is held.
  }

  close(): void {
    // The base is somebody else's.
  }

  #putSuperblock(offset: number, into: Uint8Array): void {
    if (this.#superblock === undefined) return;
    const start = Math.max(offset, SUPERBLOCK_OFFSET);
    const end = Math.min(offset + into.length, SUPERBLOCK_OFFSET + this.#superblock.length);
    if (start >= end) return;
    const part = this.#superblock.subarray(start - SUPERBLOCK_OFFSET, end - SUPERBLOCK_OFFSET);
    into.set(part, start - offset);
  }

  /** Where the content of the block lies now. */
  #sourceOf(block: number): number {
    let low = 0;
    let high = this.#copies.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#copies[middle]!.to <= block) low = middle + 1;
      else high = middle;
    }
    const copy = this.#copies[low - 1];
    if (copy === undefined || block >= copy.to + copy.count) return block;
    return copy.from + block - copy.to;
  }
}
