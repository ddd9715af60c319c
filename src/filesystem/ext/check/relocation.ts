import { crc32c } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { extentTail, inodeSeed } from '../checksum.ts';
import { childOf, ExtentHeader, isUnwritten, lengthOf, startOf } from '../extent-node.ts';
import { Inode, InodeFlag } from '../inode.ts';
import type { ExtCheck } from './context.ts';
import { copyBlocks, releaseBlock, takeBlock } from './moved-blocks.ts';

const DIRECT = 12;
/** Bytes that are copied in one check: what is staged is in memory. */
const MAX_COPIED = 64 << 20;

/** Gives inodes copies of blocks that are not theirs alone. An extent moves as a whole, so that no map grows. */
export class Relocation {
  readonly #check: ExtCheck;
  /** Where the search for free blocks goes on, and the length for which there was no room. */
  #next: number;
  #tooLong = Infinity;
  #copied = 0;
  #seed = 0;
  /** What was moved with others of its extent: nobody has it any more. */
  readonly #left: number[] = [];
  #isComplete = true;
  #isForeign: (bit: number) => boolean = () => false;

  constructor(check: ExtCheck) {
    this.#check = check;
    this.#next = check.geometry.firstDataBlock;
  }

  /** Moves every block of the inode for which `isForeign`, and writes its map. Returns false when there was no room for all of them. */
  move(number: number, isForeign: (bit: number) => boolean): boolean {
    const check = this.#check;
    const inode = check.readInode(number);
    this.#isComplete = true;
    this.#isForeign = isForeign;
    if ((Inode.i_flags.get(inode, 0) & InodeFlag.extents) !== 0) {
      if (check.seed !== undefined)
        this.#seed = inodeSeed(check.seed, number, Inode.i_generation.get(inode, 0));
      this.#moveNode(inode, Inode.i_block.offset, ExtentHeader.eh_depth.get(inode, Inode.i_block.offset));
    } else {
      for (let slot = 0; slot < DIRECT + 3; slot++)
        this.#movePointer(inode, Inode.i_block.offset + 4 * slot, Math.max(0, slot - DIRECT + 1));
    }
    check.writeInode(number, inode);
    return this.#isComplete;
  }

  /** What was left behind becomes free. Until then it keeps what it holds. */
  end(): void {
    for (const block of this.#left) releaseBlock(this.#check, block);
  }

  /** No copy can be made any more, and one was missed: where the rest lies need not be looked at. */
  get #isSpent(): boolean {
    return !this.#isComplete && this.#copied > MAX_COPIED;
  }

  /** Returns whether something in the node has changed. */
  #moveNode(view: DataView, start: number, depth: number): boolean {
    const room = Math.floor((view.byteLength - start) / 12) - 1;
    const count = Math.min(ExtentHeader.eh_entries.get(view, start), room);
    let isChanged = false;
    for (let index = 0; index < count && !this.#isSpent; index++) {
      const at = start + 12 * (index + 1);
      isChanged = (depth === 0 ? this.#moveExtent(view, at) : this.#moveChild(view, at, depth)) || isChanged;
    }
    return isChanged;
  }

  #moveExtent(view: DataView, at: number): boolean {
    const from = startOf(view, at);
    const length = lengthOf(view, at);
    if (!this.#check.isDataBlock(from) || !this.#check.isDataBlock(from + length - 1)) return false;
    let isForeign = false;
    for (let block = from; block < from + length; block++)
      isForeign = this.#isForeign(this.#check.bitOf(block)) || isForeign;
    if (!isForeign) return false;
    const to = this.#take(length);
    if (to === undefined) return false;
    if (!isUnwritten(view, at)) copyBlocks(this.#check, from, to, length);
    for (let block = from; block < from + length; block++)
      if (!this.#check.sharedBlocks.get(block - this.#check.geometry.firstDataBlock)) this.#left.push(block);
    view.setUint16(at + 6, Math.floor(to / 0x1_0000_0000), true);
    view.setUint32(at + 8, to % 0x1_0000_0000, true);
    return true;
  }

  #moveChild(view: DataView, at: number, depth: number): boolean {
    const check = this.#check;
    const child = childOf(view, at);
    if (!check.isDataBlock(child) || depth > 5) return false;
    const to = this.#isForeign(check.bitOf(child)) ? this.#take(1) : child;
    if (to === undefined) return false;
    const bytes = new Uint8Array(check.geometry.blockSize);
    check.readBlock(child, bytes);
    const below = viewOf(bytes);
    const isNode =
      ExtentHeader.eh_magic.get(below, 0) === 0xf30a && ExtentHeader.eh_depth.get(below, 0) === depth - 1;
    const isChanged = isNode && this.#moveNode(below, 0, depth - 1);
    if (isChanged && check.seed !== undefined) {
      const tail = extentTail(below);
      if (tail + 4 <= bytes.length) below.setUint32(tail, crc32c(this.#seed, bytes, 0, tail), true);
    }
    if (isChanged || to !== child) check.writeBlock(to, bytes);
    if (to === child) return false;
    view.setUint32(at + 4, to % 0x1_0000_0000, true);
    view.setUint16(at + 8, Math.floor(to / 0x1_0000_0000), true);
    return true;
  }

  #movePointer(view: DataView, at: number, level: number): boolean {
    const check = this.#check;
    const block = view.getUint32(at, true);
    if (block === 0 || !check.isDataBlock(block)) return false;
    const to = this.#isForeign(check.bitOf(block)) ? this.#take(1) : block;
    if (to === undefined) return false;
    if (level > 0) {
      const bytes = new Uint8Array(check.geometry.blockSize);
      check.readBlock(block, bytes);
      const map = viewOf(bytes);
      let isChanged = to !== block;
      for (let slot = 0; slot < bytes.length && !this.#isSpent; slot += 4)
        isChanged = this.#movePointer(map, slot, level - 1) || isChanged;
      if (isChanged) check.writeBlock(to, bytes);
    } else if (to !== block) copyBlocks(this.#check, block, to, 1);
    if (to !== block) view.setUint32(at, to, true);
    return to !== block;
  }

  /** The first of so many free blocks in a row, which are in use from now on. */
  #take(length: number): number | undefined {
    const { geometry, foundBlocks } = this.#check;
    const { firstDataBlock, blockCount, blockSize } = geometry;
    this.#copied += length * blockSize;
    if (length < this.#tooLong && this.#copied <= MAX_COPIED) {
      for (const from of [this.#next, firstDataBlock]) {
        let run = 0;
        for (let block = from; block < blockCount; block++) {
          run = foundBlocks.get(block - firstDataBlock) ? 0 : run + 1;
          if (run < length) continue;
          const start = block - length + 1;
          for (let taken = start; taken < start + length; taken++) takeBlock(this.#check, taken);
          this.#next = block + 1;
          return start;
        }
      }
      this.#tooLong = length;
    }
    this.#isComplete = false;
    return undefined;
  }
}
