import { type BlockDevice, checkRange } from './block-device.ts';

/** What is kept at once. */
const BLOCK = 512;

/**
 * A device as it would be: what is written stays in memory, and the device below is only read. For a few blocks, to see what comes of a
 * change before it is made.
 */
export class ShadowDevice implements BlockDevice {
  readonly size: number;
  readonly sectorSize: number;
  readonly readOnly = false;
  readonly #base: BlockDevice;
  readonly #blocks = new Map<number, Uint8Array>();

  constructor(base: BlockDevice) {
    this.#base = base;
    this.size = base.size;
    this.sectorSize = base.sectorSize;
  }

  read(offset: number, into: Uint8Array): void {
    this.#base.read(offset, into);
    if (this.#blocks.size === 0) return;
    const end = offset + into.length;
    for (let index = Math.floor(offset / BLOCK); index * BLOCK < end; index++) {
      const block = this.#blocks.get(index);
      if (block === undefined) continue;
      const from = Math.max(offset, index * BLOCK);
      const to = Math.min(end, index * BLOCK + block.length);
      into.set(block.subarray(from - index * BLOCK, to - index * BLOCK), from - offset);
    }
  }

  write(offset: number, from: Uint8Array): void {
    checkRange(this, 'write', offset, from.length);
    const end = offset + from.length;
    for (let index = Math.floor(offset / BLOCK); index * BLOCK < end; index++) {
      const start = index * BLOCK;
      let block = this.#blocks.get(index);
      if (block === undefined) {
        block = new Uint8Array(Math.min(BLOCK, this.size - start));
        this.#base.read(start, block);
        this.#blocks.set(index, block);
      }
      const first = Math.max(offset, start);
      const last = Math.min(end, start + block.length);
      block.set(from.subarray(first - offset, last - offset), first - start);
    }
  }

  flush(): void {}

  close(): void {}
}
