import type { BlockDevice } from '../../device/block-device.ts';
import type { BlockSink, CachedBlock } from './block-cache.ts';

/** Longest single write of merged neighbours, bytes. */
const MERGE = 1 << 20;

/** Writes blocks in their places: in the order given, neighbours of one rank in one write. */
export class DeviceSink implements BlockSink {
  readonly #device: BlockDevice;
  readonly #blockSize: number;
  #merge: Uint8Array | undefined;

  constructor(device: BlockDevice, blockSize: number) {
    this.#device = device;
    this.#blockSize = blockSize;
  }

  write(blocks: readonly CachedBlock[]): void {
    const most = Math.max(1, MERGE / this.#blockSize);
    for (let from = 0; from < blocks.length;) {
      const first = blocks[from]!;
      let count = 1;
      while (count < most && from + count < blocks.length) {
        const next = blocks[from + count]!;
        if (next.rank !== first.rank || next.index !== first.index + count) break;
        count++;
      }
      this.#writeRun(blocks, from, count);
      from += count;
    }
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
