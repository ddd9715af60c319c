import type { BlockDevice } from '../../../device/block-device.ts';
import { zeroRange } from '../../../device/block-device.ts';
import type { StagedRange } from '../../../device/staging-device.ts';
import { SUPERBLOCK_OFFSET } from '../superblock.ts';

/** Bytes that are copied at once. */
const PIECE = 1 << 20;

/** Work that the real tool tells the progress of, under these names. */
export interface ResizeStep {
  readonly name: 'new tables' | 'relocation' | 'scan' | 'references' | 'tables';
  /** Groups, blocks, groups, blocks of directories, groups. */
  readonly total: number;
}

/** Told how far a step is, from 0 to 1; the last time 1. */
export type ResizeObserver = (step: ResizeStep, share: number) => void;

/** Writes that may reach the device in any order; what comes in the next stage only when all of them are durable. */
export class WriteStage {
  /** Blocks as they are to be, by number. */
  readonly blocks = new Map<number, Uint8Array>();
  /** Content that is copied: done before anything else. */
  readonly copies: { readonly from: number; readonly to: number; count: number }[] = [];
  readonly zeros: { readonly start: number; readonly count: number }[] = [];
  /** 1024 bytes for the superblock; comes last. */
  superblock: Uint8Array | undefined;
  /** Steps that are done with this stage, in order. */
  readonly steps: ResizeStep[] = [];

  get isEmpty(): boolean {
    return (
      this.blocks.size === 0 &&
      this.copies.length === 0 &&
      this.zeros.length === 0 &&
      this.superblock === undefined
    );
  }

  /** What the stage overwrites, in order. */
  ranges(blockSize: number): StagedRange[] {
    const ranges: StagedRange[] = [];
    for (const block of this.blocks.keys()) ranges.push({ offset: block * blockSize, length: blockSize });
    for (const { to, count } of this.copies) {
      ranges.push({ offset: to * blockSize, length: count * blockSize });
    }
    for (const { start, count } of this.zeros) {
      ranges.push({ offset: start * blockSize, length: count * blockSize });
    }
    if (this.superblock !== undefined) {
      ranges.push({ offset: SUPERBLOCK_OFFSET, length: this.superblock.length });
    }
    return ranges;
  }

  apply(device: BlockDevice, blockSize: number, observe?: ResizeObserver): void {
    const piece = new Uint8Array(Math.max(PIECE, blockSize));
    for (const { start, count } of this.zeros) zeroRange(device, start * blockSize, count * blockSize);
    this.#tell(observe, 'new tables');
    const all = this.copies.reduce((sum, { count }) => sum + count, 0) * blockSize;
    const relocation = this.steps.find(({ name }) => name === 'relocation');
    let copied = 0;
    for (const { from, to, count } of this.copies) {
      const length = count * blockSize;
      for (let done = 0; done < length; done += piece.length) {
        const part = piece.subarray(0, Math.min(piece.length, length - done));
        device.read(from * blockSize + done, part);
        writeSparse(device, to * blockSize + done, part);
        copied += part.length;
        if (relocation !== undefined && copied < all) observe?.(relocation, copied / all);
      }
    }
    this.write(device, blockSize, piece);
    if (this.superblock !== undefined) device.write(SUPERBLOCK_OFFSET, this.superblock);
    device.flush();
    for (const step of this.steps) if (step.name !== 'new tables') observe?.(step, 1);
  }

  /** Writes the blocks alone. `piece`: what those that lie side by side are put together in. */
  write(device: BlockDevice, blockSize: number, piece = new Uint8Array(Math.max(PIECE, blockSize))): void {
    const order = [...this.blocks.keys()].sort((a, b) => a - b);
    for (let index = 0; index < order.length;) {
      let end = index + 1;
      const most = Math.floor(piece.length / blockSize);
      while (end < order.length && end - index < most && order[end] === order[end - 1]! + 1) end++;
      for (let at = index; at < end; at++) {
        piece.set(this.blocks.get(order[at]!)!, (at - index) * blockSize);
      }
      device.write(order[index]! * blockSize, piece.subarray(0, (end - index) * blockSize));
      index = end;
    }
  }

  #tell(observe: ResizeObserver | undefined, name: ResizeStep['name']): void {
    const step = this.steps.find((each) => each.name === name);
    if (step !== undefined) observe?.(step, 1);
  }
}

/** Zeros become a hole where the device can. */
function writeSparse(device: BlockDevice, offset: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] !== 0) {
      device.write(offset, bytes);
      return;
    }
  }
  zeroRange(device, offset, bytes.length);
}
