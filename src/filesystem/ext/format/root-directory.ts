import { crc32c } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { DIRECTORY_TAIL, inodeSeed } from '../checksum.ts';
import { InodeKind, ReservedInode } from '../inode.ts';
import { hasIncompatible } from './features.ts';
import { type FileBlocks, fileBlocks } from './file-blocks.ts';
import { DIRECT_SLOTS, EXTRA_INODE_SIZE, inodeRecord } from './inode-record.ts';
import type { NewVolume } from './new-volume.ts';
import { FIRST_INODE } from './parameters.ts';

const LOST_AND_FOUND = 'lost+found';
/** What lost+found holds before e2fsck must make it grow, bytes. */
const LOST_AND_FOUND_SIZE = 16 * 1024;
/** `file_type` of a directory entry, where the volume has them. */
const DIRECTORY = 2;
/** What extended attributes within an inode begin with. */
const ATTRIBUTE_MAGIC = 0xea02_0000;
/** `file_type` of the entry that holds a block's checksum. */
const TAIL_TYPE = 0xde;

/** The root directory. */
export function makeRootDirectory(volume: NewVolume): void {
  const { layout } = volume;
  const blocks = fileBlocks(volume, ReservedInode.root);
  volume.rootBlock = volume.allocate(volume.goalOf(ReservedInode.root));
  blocks.append(volume.rootBlock, 1);
  const owner = layout.parameters.options.rootOwner;
  const record = inodeRecord(layout, {
    mode: InodeKind.directory | 0o755,
    links: 2,
    size: layout.blockSize,
    blockCount: blocks.blockCount,
    root: blocks.root(),
    flags: blocks.flags,
    ...(owner ?? { uid: 0, gid: 0 }),
  });
  volume.putInode(ReservedInode.root, record);
  volume.putBlock(
    volume.rootBlock,
    directoryBlock(volume, ReservedInode.root, [
      ['.', ReservedInode.root],
      ['..', ReservedInode.root],
    ]),
  );
}

/** The directory for what e2fsck finds: long enough to be filled when no block is to be had. */
export function makeLostAndFound(volume: NewVolume): void {
  const { blockSize } = volume.layout;
  const inline = hasIncompatible(volume.layout.features, 'inline_data');
  const blocks = fileBlocks(volume, FIRST_INODE);
  const numbers: number[] = [];
  const entriesOf = (index: number): readonly (readonly [string, number])[] =>
    index === 0
      ? [
          ['.', FIRST_INODE],
          ['..', ReservedInode.root],
          // What is left of the inline form: an entry without a name.
          ...(inline ? ([['', 0]] as const) : []),
        ]
      : [];
  const put = (): void => {
    const record = inodeRecord(volume.layout, {
      mode: InodeKind.directory | 0o700,
      links: 2,
      size: numbers.length * blockSize,
      blockCount: blocks.blockCount,
      root: blocks.root(),
      flags: blocks.flags,
    });
    // The attribute that had the inline form is gone, its header is not.
    if (inline) viewOf(record).setUint32(128 + EXTRA_INODE_SIZE, ATTRIBUTE_MAGIC, true);
    volume.putInode(FIRST_INODE, record);
  };
  // An inline directory becomes one of blocks only when it grows.
  let size = 0;
  const grow = (): void => {
    const block = nextBlock(volume, blocks, numbers);
    volume.putBlock(block, directoryBlock(volume, FIRST_INODE, entriesOf(numbers.length - 1)));
    put();
  };
  if (!inline) grow();
  else put();
  volume.blocks.set(
    volume.rootBlock,
    directoryBlock(volume, ReservedInode.root, [
      ['.', ReservedInode.root],
      ['..', ReservedInode.root],
      [LOST_AND_FOUND, FIRST_INODE],
    ]),
  );
  volume.counter.write(volume.rootBlock);
  const record = volume.inodes.get(ReservedInode.root)!;
  viewOf(record).setUint16(0x1a, 3, true);
  volume.putInode(ReservedInode.root, record);
  volume.counter.read(volume.rootBlock);
  for (let i = 1; i < DIRECT_SLOTS; i++) {
    size += blockSize;
    // At least two blocks however large they are, and no more than an inode itself can list.
    if (size >= LOST_AND_FOUND_SIZE && i >= 2) break;
    grow();
  }
}

/** Blocks of a directory in its clusters: with bigalloc the next block is in the same cluster as long as that reaches. */
function nextBlock(volume: NewVolume, blocks: FileBlocks, numbers: number[]): number {
  const last = numbers.at(-1);
  const sameCluster = last !== undefined && numbers.length % volume.layout.clusterBlocks !== 0;
  const block = sameCluster
    ? last + 1
    : volume.allocate(last === undefined ? volume.goalOf(FIRST_INODE) : last + 1);
  blocks.append(block, 1);
  numbers.push(block);
  return block;
}

/** One block of directory entries; the last entry, or an empty one, reaches to the end of the block or to its checksum. */
function directoryBlock(
  volume: NewVolume,
  inode: number,
  entries: readonly (readonly [name: string, inode: number])[],
): Uint8Array {
  const { blockSize, features } = volume.layout;
  const typed = hasIncompatible(features, 'filetype');
  const seed = volume.checksumSeed;
  const block = new Uint8Array(blockSize);
  const view = viewOf(block);
  const end = seed === undefined ? blockSize : blockSize - DIRECTORY_TAIL;
  let at = 0;
  for (const [i, [name, target]] of entries.entries()) {
    const length = i === entries.length - 1 ? end - at : (8 + name.length + 3) & ~3;
    view.setUint32(at, target, true);
    view.setUint16(at + 4, encodeLength(length), true);
    block[at + 6] = name.length;
    block[at + 7] = typed && target !== 0 ? DIRECTORY : 0;
    for (let j = 0; j < name.length; j++) block[at + 8 + j] = name.charCodeAt(j);
    at += length;
  }
  if (entries.length === 0) view.setUint16(4, encodeLength(end), true);
  if (seed === undefined) return block;
  view.setUint16(end + 4, DIRECTORY_TAIL, true);
  block[end + 7] = TAIL_TYPE;
  view.setUint32(end + 8, crc32c(inodeSeed(seed, inode, 0), block, 0, end), true);
  return block;
}

/** 65536 does not fit in 16 bits; lengths are multiples of 4, so 65535 is free to stand for it. */
function encodeLength(length: number): number {
  return length === 0x1_0000 ? 0xffff : length;
}
