import type { BlockDevice } from '../../device/block-device.ts';
import { type BlockSink, type CachedBlock, WriteRank } from './block-cache.ts';
import type { LeavingInodes } from './leaving-inodes.ts';

/** Longest single write of merged neighbours, bytes. */
const MERGE = 1 << 20;

/** Ranks of one step need no order among themselves. */
const STEPS: Readonly<Record<WriteRank, number>> = {
  [WriteRank.bitmap]: 0,
  [WriteRank.descriptor]: 0,
  [WriteRank.newMapping]: 1,
  [WriteRank.newDirectory]: 1,
  [WriteRank.mapping]: 2,
  [WriteRank.inodeTable]: 3,
  [WriteRank.directory]: 4,
};

/**
 * Writes blocks in their places, on a volume without a journal: in the order given, neighbours of one rank in one write. Between two
 * steps the device is flushed, since it may reorder what comes between flushes. Inodes that lose names follow at the end.
 */
export class DeviceSink implements BlockSink {
  readonly #device: BlockDevice;
  readonly #blockSize: number;
  readonly #leaving: LeavingInodes;
  #merge: Uint8Array | undefined;

  constructor(device: BlockDevice, blockSize: number, leaving: LeavingInodes) {
    this.#device = device;
    this.#leaving = leaving;
    this.#blockSize = blockSize;
  }

  write(blocks: readonly CachedBlock[]): void {
    const most = Math.max(1, MERGE / this.#blockSize);
    const late: CachedBlock[] = [];
    let former = blocks[0];
    for (let from = 0; from < blocks.length;) {
      const first = blocks[from]!;
      if (STEPS[first.rank] !== STEPS[former!.rank] || first.level !== former!.level) this.#device.flush();
      former = first;
      if (this.#isLate(first)) {
        this.#device.write(first.index * this.#blockSize, this.#leaving.formerOf(first));
        late.push(first);
        from++;
        continue;
      }
      let count = 1;
      while (count < most && from + count < blocks.length) {
        const next = blocks[from + count]!;
        if (next.rank !== first.rank || next.level !== first.level) break;
        if (next.index !== first.index + count || this.#isLate(next)) break;
        count++;
      }
      this.#writeRun(blocks, from, count);
      from += count;
    }
    if (late.length > 0) this.#device.flush();
    for (const { index, bytes } of late) this.#device.write(index * this.#blockSize, bytes);
  }

  #isLate({ rank, index }: CachedBlock): boolean {
    return rank === WriteRank.inodeTable && this.#leaving.isIn(index);
  }

  #writeRun(blocks: readonly CachedBlock[], from: number, count: number): void {
    const first = blocks[from]!;
    if (count === 1) {
      this.#device.write(first.index * this.#blockSize, first.bytes);
      return;
    }
    const merge = (this.#merge ??= new Uint8Array(Math.max(MERGE, this.#blockSize)));
    for (let i = 0; i < count; i++) merge.set(blocks[from + i]!.bytes, i * this.#blockSize);
    this.#device.write(first.index * this.#blockSize, merge.subarray(0, count * this.#blockSize));
  }
}
