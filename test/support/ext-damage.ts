import { viewOf } from '../../src/bytes/struct.ts';

/** Damage to ext file systems: one kind a function. Images of one group are enough for it to hit something. */

export type Random = (below: number) => number;

interface Target {
  readonly image: Uint8Array;
  readonly view: DataView;
  readonly random: Random;
  readonly blockSize: number;
  readonly inodeSize: number;
  readonly blockCount: number;
  readonly inodeCount: number;
  /** Byte offsets. */
  readonly descriptor: number;
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inode: (number: number) => number;
  /** Inodes in use from the first that is not reserved on, by kind. */
  readonly files: readonly number[];
  readonly directories: readonly number[];
  /** Byte offsets of entries in use that are neither `.` nor `..`, and of those two. */
  readonly entries: readonly number[];
  readonly dots: readonly number[];
  readonly directoryBlocks: readonly number[];
}

type Damage = (target: Target) => void;

function pick<T>(random: Random, list: readonly T[]): T {
  return list[random(list.length)]!;
}

export const EXT_DAMAGES: Readonly<Record<string, Damage>> = {
  'a link count': ({ view, random, inode, files, directories }) =>
    view.setUint16(inode(pick(random, [...files, ...directories])) + 0x1a, 1 + random(9), true),
  'a size': ({ view, random, inode, files, directories }) =>
    view.setUint32(inode(pick(random, [...files, ...directories])) + 4, random(200_000), true),
  'a count of blocks': ({ view, random, inode, files }) =>
    view.setUint32(inode(pick(random, files)) + 0x1c, random(500), true),
  'a deletion time': ({ view, random, inode, files }) =>
    view.setUint32(inode(pick(random, files)) + 0x14, 1_700_000_000, true),
  'a mode': ({ view, random, inode, files }) =>
    view.setUint16(inode(pick(random, files)), pick(random, [0x41ed, 0xa1ff, 0x11a4, 0x81a4]), true),
  'a block pointer out of range': ({ view, random, inode, files, blockCount }) => {
    const at = inode(pick(random, files));
    const isExtents = (view.getUint32(at + 0x20, true) & 0x80000) !== 0;
    view.setUint32(at + 0x28 + (isExtents ? 20 : 4 * random(2)), blockCount + random(1000), true);
  },
  'a block pointer to a block of another': ({ view, random, inode, files }) => {
    const pointer = (number: number): number =>
      inode(number) + 0x28 + ((view.getUint32(inode(number) + 0x20, true) & 0x80000) === 0 ? 0 : 20);
    view.setUint32(pointer(pick(random, files)), view.getUint32(pointer(pick(random, files)), true), true);
  },
  'an extent header': ({ image, random, inode, files }) => {
    image[inode(pick(random, files)) + 0x28 + random(8)] = random(256);
  },
  'the number of an entry': ({ view, random, entries, inodeCount }) =>
    view.setUint32(
      pick(random, entries),
      pick(random, [inodeCount + 5, 1 + random(inodeCount), 2, 20]),
      true,
    ),
  'the length of an entry': ({ view, random, entries }) =>
    view.setUint16(pick(random, entries) + 4, pick(random, [0, 7, 13, 4096, 65535]), true),
  'the type of an entry': ({ image, random, entries }) => {
    image[pick(random, entries) + 7] = random(9);
  },
  'a character of a name': ({ image, random, entries }) => {
    image[pick(random, entries) + 8] = pick(random, [0x2f, 0x00, 0x41]);
  },
  'an entry that is gone': ({ view, random, entries }) => view.setUint32(pick(random, entries), 0, true),
  'a dot entry': ({ view, random, dots }) =>
    view.setUint32(pick(random, dots) + pick(random, [0, 8]), 11 + random(20), true),
  'a bit of the block bitmap': ({ image, random, blockBitmap }) => {
    image[blockBitmap + random(60)]! ^= 1 << random(8);
  },
  'a bit of the inode bitmap': ({ image, random, inodeBitmap }) => {
    image[inodeBitmap + random(20)]! ^= 1 << random(8);
  },
  'a count of the group': ({ view, random, descriptor }) =>
    view.setUint16(descriptor + pick(random, [0x0c, 0x0e, 0x10]), random(500), true),
  'a count of the superblock': ({ view, random }) =>
    view.setUint32(1024 + pick(random, [0x0c, 0x10]), random(500), true),
  'an inode that is wiped': ({ image, random, inode, inodeSize, files, directories }) => {
    const at = inode(pick(random, [...files, ...directories]));
    image.fill(0, at, at + inodeSize);
  },
  'a directory block that is wiped': ({ image, random, blockSize, directoryBlocks }) => {
    const at = pick(random, directoryBlocks);
    image.fill(0, at, at + blockSize);
  },
  'a byte of an inode': ({ image, random, inode, files, directories }) => {
    image[inode(pick(random, [...files, ...directories])) + random(0x68)] = random(256);
  },
  'a byte of a directory': ({ image, random, blockSize, directoryBlocks }) => {
    image[pick(random, directoryBlocks) + random(blockSize)] = random(256);
  },
};

/** The image with that damage done to it; the same for the same seed. */
export function damageExt(good: Uint8Array, kind: string, random: Random): Uint8Array {
  // A Buffer's own slice would share its bytes.
  const image = new Uint8Array(good);
  EXT_DAMAGES[kind]!(targetOf(image, random));
  return image;
}

function targetOf(image: Uint8Array, random: Random): Target {
  const view = viewOf(image);
  const blockSize = 1024 << view.getUint32(1024 + 0x18, true);
  const inodeSize = view.getUint16(1024 + 0x58, true);
  const inodesPerGroup = view.getUint32(1024 + 0x28, true);
  const is64bit = (view.getUint32(1024 + 0x60, true) & 0x80) !== 0;
  const descriptorSize = is64bit ? 64 : 32;
  const descriptor = blockSize === 1024 ? 2048 : blockSize;
  const inode = (number: number): number =>
    view.getUint32(descriptor + Math.floor((number - 1) / inodesPerGroup) * descriptorSize + 8, true) *
      blockSize +
    ((number - 1) % inodesPerGroup) * inodeSize;
  const files: number[] = [];
  const directories: number[] = [];
  const directoryBlocks: number[] = [];
  const inodeCount = view.getUint32(1024, true);
  for (let number = 2; number <= inodeCount; number++) {
    if (number > 2 && number < 11) continue;
    const at = inode(number);
    if (view.getUint16(at + 0x1a, true) === 0) continue;
    const kind = view.getUint16(at, true) & 0xf000;
    if (kind === 0x8000 && view.getUint32(at + 4, true) > 0) files.push(number);
    if (kind !== 0x4000) continue;
    if (number > 11) directories.push(number);
    const isExtents = (view.getUint32(at + 0x20, true) & 0x80000) !== 0;
    directoryBlocks.push(view.getUint32(at + 0x28 + (isExtents ? 20 : 0), true) * blockSize);
  }
  const entries: number[] = [];
  const dots: number[] = [];
  for (const block of directoryBlocks) {
    for (let at = block; at < block + blockSize;) {
      const length = view.getUint16(at + 4, true);
      if (length < 8) break;
      if (view.getUint32(at, true) !== 0) (at < block + 24 ? dots : entries).push(at);
      at += length;
    }
  }
  return {
    image,
    view,
    random,
    blockSize,
    inodeSize,
    blockCount: view.getUint32(1024 + 4, true),
    inodeCount,
    descriptor,
    blockBitmap: view.getUint32(descriptor, true) * blockSize,
    inodeBitmap: view.getUint32(descriptor + 4, true) * blockSize,
    inode,
    files,
    directories,
    entries,
    dots,
    directoryBlocks,
  };
}
