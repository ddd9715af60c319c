import { viewOf } from '../../../bytes/struct.ts';
import { resizeInodeSize } from '../format/layout.ts';
import { hasSuperblockCopy } from '../geometry.ts';
import { Inode, InodeKind, ReservedInode } from '../inode.ts';
import { CompatibleFeature, IncompatibleFeature, Superblock } from '../superblock.ts';
import type { ExtCheck } from './context.ts';

const DOUBLE_INDIRECT = Inode.i_block.offset + 13 * 4;

/** What the resize inode should own: blocks behind the descriptors of group 0, and their copies, which are so many blocks farther. */
interface Reservation {
  readonly first: number;
  readonly count: number;
  /** Of the first among the pointers of the double-indirect block. */
  readonly slot: number;
  readonly distances: readonly number[];
}

/**
 * The file that owns the blocks reserved for descriptors: its double-indirect block leads to those of the first group, each of which lists its
 * copies. Pass 1 has to be over: a new one needs a free block.
 */
export function checkResizeInode(check: ExtCheck): void {
  const { words, superblock } = check;
  if ((words.compatible & CompatibleFeature.resize_inode) === 0) return;
  if ((words.incompatible & IncompatibleFeature.meta_bg) !== 0) return;
  const count = Superblock.s_reserved_gdt_blocks.get(superblock, 0);
  if (count === 0) return;
  const inode = check.readInode(ReservedInode.resize);
  const reservation = reservationOf(check, count);
  if (isValid(check, inode, reservation)) return;
  const isMended = check.ask({
    code: 'ext-resize-inode',
    severity: 'warning',
    structure: 'inode',
    field: 'i_block',
    offset: check.inodeOffset(ReservedInode.resize) + Inode.i_block.offset,
    found: 'other pointers',
    expected: `the ${count} blocks from ${reservation.first} on, and their copies`,
    meaning: `The resize inode does not own the ${count} blocks that are reserved for more groups: the file system cannot be grown while it is mounted`,
    text: 'Resize inode not valid.  ',
    question: 'Recreate',
    action: 'writes it anew',
    safe: true,
  });
  if (isMended) recreate(check, inode, reservation);
}

function reservationOf({ geometry, superblock, groups }: ExtCheck, count: number): Reservation {
  const { firstDataBlock, blockSize, blocksPerGroup, groupCount, descriptorsPerBlock } = geometry;
  const descriptorBlocks = Math.ceil(groupCount / descriptorsPerBlock);
  const shift = firstDataBlock === 0 && blockSize === 1024 ? 1 : 0;
  const distances: number[] = [];
  for (let group = 1; group < groups.count; group++)
    if (hasSuperblockCopy(superblock, group)) distances.push(group * blocksPerGroup);
  const slot = descriptorBlocks % (blockSize / 4);
  return { first: firstDataBlock + shift + 1 + descriptorBlocks, count, slot, distances };
}

function isValid(check: ExtCheck, inode: DataView, reservation: Reservation): boolean {
  if ((Inode.i_mode.get(inode, 0) & 0xf000) !== InodeKind.file) return false;
  if (Inode.i_links_count.get(inode, 0) === 0) return false;
  for (let slot = 0; slot < 15; slot++) {
    const pointer = inode.getUint32(Inode.i_block.offset + 4 * slot, true);
    if (slot === 13 ? !check.isDataBlock(pointer) : pointer !== 0) return false;
  }
  const top = read(check, inode.getUint32(DOUBLE_INDIRECT, true));
  const perBlock = check.geometry.blockSize / 4;
  for (let index = 0; index < reservation.count; index++) {
    const block = reservation.first + index;
    if (!check.isDataBlock(block)) return false;
    if (top.getUint32(((reservation.slot + index) % perBlock) * 4, true) !== block) return false;
    const list = read(check, block);
    for (const [place, distance] of reservation.distances.slice(0, perBlock).entries())
      if (list.getUint32(place * 4, true) !== block + distance) return false;
  }
  return true;
}

function recreate(check: ExtCheck, inode: DataView, reservation: Reservation): void {
  const { blockSize, blocksPerCluster, sectorsPerBlock, inodeSize } = check.geometry;
  const { first, count, slot, distances } = reservation;
  const perBlock = blockSize / 4;
  if (!check.isDataBlock(first + count - 1) || distances.length > perBlock) return;
  const topBlock = freeBlock(check);
  if (topBlock === undefined) return;
  const top = new Uint8Array(blockSize);
  const topView = viewOf(top);
  for (let index = 0; index < count; index++) {
    topView.setUint32(((slot + index) % perBlock) * 4, first + index, true);
    const list = new Uint8Array(blockSize);
    const view = viewOf(list);
    for (const [place, distance] of distances.entries())
      view.setUint32(place * 4, first + index + distance, true);
    check.writeBlock(first + index, list);
  }
  check.writeBlock(topBlock, top);
  const bytes = new Uint8Array(inode.buffer);
  bytes.fill(0);
  const size = resizeInodeSize(blockSize);
  Inode.i_mode.set(inode, 0, InodeKind.file | 0o600);
  Inode.i_links_count.set(inode, 0, 1);
  Inode.i_size_lo.set(inode, 0, size % 0x1_0000_0000);
  Inode.i_size_high.set(inode, 0, Math.floor(size / 0x1_0000_0000));
  Inode.i_blocks_lo.set(inode, 0, (1 + count * (1 + distances.length)) * blocksPerCluster * sectorsPerBlock);
  if (inodeSize > 128) Inode.i_extra_isize.set(inode, 0, Math.min(32, inodeSize - 128));
  inode.setUint32(DOUBLE_INDIRECT, topBlock, true);
  check.writeInode(ReservedInode.resize, inode);
}

/** One that nothing was found to use; what the resize inode has had is free again in the next round. */
function freeBlock(check: ExtCheck): number | undefined {
  const { firstDataBlock, blockCount, blocksPerCluster } = check.geometry;
  for (let block = firstDataBlock; block < blockCount; block += blocksPerCluster) {
    if (check.foundBlocks.set(check.bitOf(block))) continue;
    return block;
  }
  return undefined;
}

function read(check: ExtCheck, block: number): DataView {
  const bytes = new Uint8Array(check.geometry.blockSize);
  check.readBlock(block, bytes);
  return viewOf(bytes);
}
