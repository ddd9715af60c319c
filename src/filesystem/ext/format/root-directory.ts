import { viewOf } from '../../../bytes/struct.ts';
import { InodeKind, ReservedInode } from '../inode.ts';
import type { BlockAllocation } from './block-allocation.ts';
import { hasIncompatible } from './features.ts';
import type { FirstContent } from './first-content.ts';
import { DIRECT_SLOTS, inodeRecord } from './inode-record.ts';
import { type ExtLayout, groupFirstBlock } from './layout.ts';
import { FIRST_INODE } from './parameters.ts';

const LOST_AND_FOUND = 'lost+found';
/** What lost+found holds before e2fsck must make it grow, bytes. */
const LOST_AND_FOUND_SIZE = 16 * 1024;
/** `file_type` of a directory entry, where the volume has them. */
const DIRECTORY = 2;

/** The root directory with lost+found in it. */
export function makeRootDirectory(
  layout: ExtLayout,
  allocation: BlockAllocation,
  content: FirstContent,
): void {
  const { blockSize } = layout;
  const rootBlock = allocation.allocate(0);
  const lostBlocks = allocateLostAndFound(layout, allocation);
  const typed = hasIncompatible(layout.features, 'filetype');
  const owner = layout.parameters.options.rootOwner ?? { uid: 0, gid: 0 };
  content.inodes.set(
    ReservedInode.root,
    inodeRecord(layout, {
      mode: InodeKind.directory | 0o755,
      links: 3,
      size: blockSize,
      blockCount: 1,
      blocks: [rootBlock],
      ...owner,
    }),
  );
  content.inodes.set(
    FIRST_INODE,
    inodeRecord(layout, {
      mode: InodeKind.directory | 0o700,
      links: 2,
      size: lostBlocks.length * blockSize,
      blockCount: lostBlocks.length,
      blocks: lostBlocks,
    }),
  );
  content.blocks.set(
    rootBlock,
    directoryBlock(blockSize, typed, [
      ['.', ReservedInode.root],
      ['..', ReservedInode.root],
      [LOST_AND_FOUND, FIRST_INODE],
    ]),
  );
  content.blocks.set(
    lostBlocks[0]!,
    directoryBlock(blockSize, typed, [
      ['.', FIRST_INODE],
      ['..', ReservedInode.root],
    ]),
  );
  for (const block of lostBlocks.slice(1)) content.blocks.set(block, directoryBlock(blockSize, typed, []));
}

function allocateLostAndFound(layout: ExtLayout, allocation: BlockAllocation): number[] {
  const group = Math.floor((FIRST_INODE - 1) / layout.inodesPerGroup);
  const blocks = [allocation.allocate(groupFirstBlock(layout, group))];
  // At least two blocks however large they are, and no more than the inode itself can list.
  while (
    blocks.length < 2 ||
    (blocks.length * layout.blockSize < LOST_AND_FOUND_SIZE && blocks.length < DIRECT_SLOTS)
  )
    blocks.push(allocation.allocate(blocks.at(-1)! + 1));
  return blocks;
}

/** One block of directory entries; the last entry, or an empty one, reaches to the end of the block. */
function directoryBlock(
  blockSize: number,
  typed: boolean,
  entries: readonly (readonly [name: string, inode: number])[],
): Uint8Array {
  const block = new Uint8Array(blockSize);
  const view = viewOf(block);
  if (entries.length === 0) view.setUint16(4, encodeLength(blockSize), true);
  let at = 0;
  for (const [index, [name, inode]] of entries.entries()) {
    const length = index === entries.length - 1 ? blockSize - at : 8 + Math.ceil(name.length / 4) * 4;
    view.setUint32(at, inode, true);
    view.setUint16(at + 4, encodeLength(length), true);
    block[at + 6] = name.length;
    block[at + 7] = typed ? DIRECTORY : 0;
    for (let i = 0; i < name.length; i++) block[at + 8 + i] = name.charCodeAt(i);
    at += length;
  }
  return block;
}

/** 65536 does not fit in 16 bits; lengths are multiples of 4, so 65535 is free to stand for it. */
function encodeLength(length: number): number {
  return length === 0x1_0000 ? 0xffff : length;
}
