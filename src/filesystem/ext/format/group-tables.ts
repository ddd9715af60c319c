import { FsError } from '../../../errors.ts';
import { type ExtLayout, groupBlockCount, groupFirstBlock, superAndDescriptorBlocks } from './layout.ts';

/** Where a group keeps its own bookkeeping; block numbers count from the start of the volume. */
export interface GroupTables {
  blockBitmap: number;
  inodeBitmap: number;
  inodeTable: number;
}

/** Sets `count` bits from bit `start`, least significant bit of a byte first. */
export function setBits(bitmap: Uint8Array, start: number, count: number): void {
  let bit = start;
  const end = start + count;
  for (; bit < end && (bit & 7) !== 0; bit++) bitmap[bit >> 3]! |= 1 << (bit & 7);
  if (bit >= end) return;
  bitmap.fill(0xff, bit >> 3, end >> 3);
  bit = Math.max(bit, end & ~7);
  for (; bit < end; bit++) bitmap[bit >> 3]! |= 1 << (bit & 7);
}

export function isBitSet(bitmap: Uint8Array, bit: number): boolean {
  return (bitmap[bit >> 3]! & (1 << (bit & 7))) !== 0;
}

/**
 * Puts the tables of a group behind its superblock and descriptors, where nothing is in the way: without bad blocks
 * and without RAID stride, that is every group.
 */
export function placeTables(layout: ExtLayout, group: number, into: GroupTables): void {
  into.blockBitmap = groupFirstBlock(layout, group) + superAndDescriptorBlocks(layout, group);
  into.inodeBitmap = into.blockBitmap + 1;
  into.inodeTable = into.blockBitmap + 2;
}

/**
 * The same among obstacles: `bitmap` has the bits of the group's superblock, descriptors and bad blocks set, and gets
 * those of the tables. With a stride the bitmaps of successive groups start on different disks.
 */
export function placeTablesAround(
  layout: ExtLayout,
  group: number,
  bitmap: Uint8Array,
  into: GroupTables,
): void {
  const { stride } = layout.parameters;
  const first = groupFirstBlock(layout, group);
  const last = groupBlockCount(layout, group) - 1;
  let start = 0;
  if (stride > 0) {
    start = findFree(bitmap, 0, last, 1) + layout.inodeTableBlocks;
    start += (stride * group) % (last - start + 1);
    if (start >= last) start = 0;
  }
  const near = (): number => {
    const found = findFree(bitmap, start, last, 1);
    const at = found < 0 ? findFree(bitmap, 0, last, 1) : found;
    if (at < 0) throw noRoom();
    setBits(bitmap, at, 1);
    return first + at;
  };
  into.blockBitmap = near();
  into.inodeBitmap = near();
  const table = findFree(bitmap, 0, last, layout.inodeTableBlocks);
  if (table < 0 || table + layout.inodeTableBlocks > last + 1) throw noRoom();
  setBits(bitmap, table, layout.inodeTableBlocks);
  into.inodeTable = first + table;
}

/** First bit from `start`, before `end`, from which on `count` bits are clear; -1 for none. */
function findFree(bitmap: Uint8Array, start: number, end: number, count: number): number {
  let run = 0;
  for (let bit = start; bit < bitmap.length * 8; bit++) {
    if (isBitSet(bitmap, bit)) {
      run = 0;
      continue;
    }
    if (run === 0 && bit >= end) return -1;
    if (++run === count) return bit - count + 1;
  }
  return -1;
}

function noRoom(): FsError {
  return new FsError('ENOSPC', {
    detail: 'Could not allocate block in ext2 filesystem while trying to allocate filesystem tables',
  });
}
