import { viewOf } from '../../src/bytes/struct.ts';
import type { Random } from './ext-damage.ts';

/** Damage to the structures of ext that not every volume has: one kind a function, and the volumes that it is for. */

export type StructuredVolume =
  'indexed' | 'inline' | 'journal' | 'ext3 journal' | 'orphan file' | 'values' | 'resize';

interface Target {
  readonly image: Uint8Array;
  readonly view: DataView;
  readonly random: Random;
  readonly blockSize: number;
  readonly blockCount: number;
  readonly inodeCount: number;
  /** Byte offset of an inode. */
  readonly inode: (number: number) => number;
  /** Byte offset of a block of an inode, by its position in the file: of a map, or a tree of up to one level. */
  readonly block: (inode: number, position: number) => number;
  /** The inode of a path. */
  readonly at: (path: string) => number;
}

export interface StructureDamage {
  readonly volumes: readonly StructuredVolume[];
  readonly damage: (target: Target) => void;
}

const SUPERBLOCK = 1024;
const FLAGS = 0x20;
const BLOCKS = 0x28;
const INDEX_FLAG = 0x1000;

function index(damage: (target: Target, root: number) => void): StructureDamage {
  return {
    volumes: ['indexed'],
    damage: (target) =>
      damage(target, target.block(target.at(target.random(2) === 0 ? '/big' : '/small'), 0)),
  };
}

/** An inner node of the index of `/big`, which has a level of them. */
function node(damage: (target: Target, node: number) => void): StructureDamage {
  return {
    volumes: ['indexed'],
    damage: (target) => {
      const big = target.at('/big');
      damage(target, target.block(big, target.view.getUint32(target.block(big, 0) + 0x24, true)));
    },
  };
}

function inlined(path: string, damage: (target: Target, inode: number) => void): StructureDamage {
  return { volumes: ['inline'], damage: (target) => damage(target, target.inode(target.at(path))) };
}

function journal(damage: (target: Target, superblock: number) => void): StructureDamage {
  return { volumes: ['journal', 'ext3 journal'], damage: (target) => damage(target, target.block(8, 0)) };
}

function superblock(volumes: readonly StructuredVolume[], damage: (target: Target) => void): StructureDamage {
  return { volumes, damage };
}

function orphanFile(damage: (target: Target, block: number) => void): StructureDamage {
  return {
    volumes: ['orphan file'],
    damage: (target) =>
      damage(target, target.block(target.view.getUint32(SUPERBLOCK + 0x280, true), target.random(4))),
  };
}

/** The entry of the attribute of `/d1/f2`, whose value is in an inode of its own. */
function value(damage: (target: Target, entry: number, holder: number) => void): StructureDamage {
  return {
    volumes: ['values'],
    damage: (target) => {
      const at = target.inode(target.at('/d1/f2'));
      const entry = at + 128 + target.view.getUint16(at + 0x80, true) + 4;
      damage(target, entry, target.inode(target.view.getUint32(entry + 4, true)));
    },
  };
}

function resize(damage: (target: Target, inode: number) => void): StructureDamage {
  return { volumes: ['resize'], damage: (target) => damage(target, target.inode(7)) };
}

export const STRUCTURE_DAMAGES: Readonly<Record<string, StructureDamage>> = {
  'the limit of an index': index(({ view, random }, at) => view.setUint16(at + 0x20, random(300), true)),
  'the count of an index': index(({ view, random }, at) =>
    view.setUint16(at + 0x22, random(2) === 0 ? 0 : 1000, true),
  ),
  'a hash of an index': index(({ view }, at) => view.setUint32(at + 0x28, 0xfff0_0000, true)),
  'a block of an index': index(({ view, random }, at) =>
    view.setUint32(at + 0x2c, random(2) === 0 ? 0 : 0x0fff_0000, true),
  ),
  'a block of an index that is there twice': index(({ view }, at) =>
    view.setUint32(at + 0x2c, view.getUint32(at + 0x24, true), true),
  ),
  'the hash version of an index': index(({ view, random }, at) => view.setUint8(at + 0x1c, 3 + random(9))),
  'another hash version of an index': index(({ view }, at) =>
    view.setUint8(at + 0x1c, (view.getUint8(at + 0x1c) + 1) % 3),
  ),
  'the length of the root of an index': index(({ view }, at) => view.setUint8(at + 0x1d, 7)),
  'the levels of an index': index(({ view, random }, at) =>
    view.setUint8(at + 0x1e, (view.getUint8(at + 0x1e) + 1 + random(4)) % 5),
  ),
  'a flag of the root of an index': index(({ view }, at) => view.setUint8(at + 0x1f, 1)),
  'the checksum of the root of an index': index(({ image }, at) => {
    image[at + 1023]! ^= 0x10;
  }),
  'the limit of a node': node(({ view }, at) => view.setUint16(at + 8, 5, true)),
  'the count of a node': node(({ view }, at) => view.setUint16(at + 10, 0, true)),
  'a hash of a node': node(({ view }, at) => view.setUint32(at + 0x10, 0x10, true)),
  'a block of a node': node(({ view }, at) => view.setUint32(at + 0x14, 0xff_ffff, true)),
  'a node that is wiped': node(({ image }, at) => image.fill(0, at, at + 1024)),
  'the flag of an index that is gone': {
    volumes: ['indexed'],
    damage: ({ view, inode, at }) => {
      const where = inode(at('/small')) + FLAGS;
      view.setUint32(where, view.getUint32(where, true) & ~INDEX_FLAG, true);
    },
  },
  'the flag of an index without one': {
    volumes: ['indexed'],
    damage: ({ view, inode, at, random }) => {
      const where = inode(at(random(2) === 0 ? '/lost+found' : '/small/file 1')) + FLAGS;
      view.setUint32(where, view.getUint32(where, true) | INDEX_FLAG, true);
    },
  },
  'the size of a file in its inode': inlined('/d1/d2/s5', ({ view, random }, at) =>
    view.setUint32(at + 4, 60 + random(200), true),
  ),
  'the size of a longer file in its inode': inlined('/d1/d2/s9', ({ view, random }, at) =>
    view.setUint32(at + 4, random(2) === 0 ? 40 : 3000, true),
  ),
  'the attribute of a file in its inode': inlined('/d1/d2/s9', ({ image, view }, at) => {
    const start = at + 128 + view.getUint16(at + 0x80, true);
    image.fill(0, start, start + 24);
  }),
  'the flag of a file in its inode': inlined('/d1/d2/s9', ({ view }, at) =>
    view.setUint32(at + FLAGS, view.getUint32(at + FLAGS, true) & ~0x1000_0000, true),
  ),
  'the flag of content in the inode without any': inlined('/d1/f12', ({ view }, at) =>
    view.setUint32(at + FLAGS, view.getUint32(at + FLAGS, true) | 0x1000_0000, true),
  ),
  'an entry of a directory in its inode': inlined('/d1/d2', ({ view, random }, at) =>
    view.setUint16(at + BLOCKS + 8, random(2) === 0 ? 3 : 400, true),
  ),
  'the number of an entry in the inode': inlined('/d1/d2', ({ view }, at) =>
    view.setUint32(at + BLOCKS + 4, 7777, true),
  ),
  'the parent of a directory in its inode': inlined('/d1/d2', ({ view, random }, at) =>
    view.setUint32(at + BLOCKS, random(2) === 0 ? 2 : 9999, true),
  ),
  'the size of a directory in its inode': inlined('/d1/d2', ({ view }, at) =>
    view.setUint32(at + 4, 77, true),
  ),
  'the magic of a journal': journal(({ view }, at) => view.setUint32(at, 0x1234_5678)),
  'the type of a journal': journal(({ view, random }, at) => view.setUint32(at + 4, random(3))),
  'the block size of a journal': journal(({ view }, at) => view.setUint32(at + 0x0c, 4096)),
  'the length of a journal': journal(({ view, random }, at) => view.setUint32(at + 0x10, pickLength(random))),
  'the start of the log of a journal': journal(({ view }, at) => view.setUint32(at + 0x14, 5000)),
  'the place of a log in a closed journal': journal(({ view }, at) => view.setUint32(at + 0x1c, 17)),
  'a feature of a journal': journal(({ view, random }, at) =>
    view.setUint32(at + (random(2) === 0 ? 0x28 : 0x2c), 0x8000),
  ),
  'the UUID of a journal': journal(({ image }, at) => {
    image[at + 0x33]! ^= 1;
  }),
  'a journal that is wiped': journal(({ image }, at) => image.fill(0, at, at + 1024)),
  'the inode of a journal that is wiped': superblock(['journal', 'ext3 journal'], ({ image, inode }) =>
    image.fill(0, inode(8), inode(8) + 128),
  ),
  'the mode of the inode of a journal': superblock(['journal', 'ext3 journal'], ({ view, inode }) =>
    view.setUint16(inode(8), 0x41ed, true),
  ),
  'the links of the inode of a journal': superblock(['journal', 'ext3 journal'], ({ view, inode, random }) =>
    view.setUint16(inode(8) + 0x1a, 2 + random(5), true),
  ),
  'the size of the inode of a journal': superblock(['journal', 'ext3 journal'], ({ view, inode }) =>
    view.setUint32(inode(8) + 4, 10_000, true),
  ),
  'the number of the journal': superblock(['journal', 'ext3 journal'], ({ view, random }) =>
    view.setUint32(SUPERBLOCK + 0xe0, [0, 12, 99999][random(3)]!, true),
  ),
  'the feature of a journal that is gone': superblock(['journal', 'ext3 journal'], ({ view }) =>
    view.setUint32(SUPERBLOCK + 0x5c, view.getUint32(SUPERBLOCK + 0x5c, true) & ~4, true),
  ),
  'an orphan that is none': superblock(['journal', 'ext3 journal'], ({ view, random, inodeCount }) =>
    view.setUint32(SUPERBLOCK + 0xe8, [13, inodeCount - 3, inodeCount + 9, 5][random(4)]!, true),
  ),
  'a file that became an orphan': superblock(['journal', 'ext3 journal'], ({ view, inode, at }) => {
    const number = at('/d1/f9');
    view.setUint32(SUPERBLOCK + 0xe8, number, true);
    view.setUint16(inode(number) + 0x1a, 0, true);
  }),
  'an entry of a file of orphans': orphanFile(({ view, random }, at) =>
    view.setUint32(at + 4 * random(20), 14 + random(3), true),
  ),
  'an entry of a file of orphans that counts': orphanFile(({ view, random }, at) => {
    view.setUint32(at + 4 * random(20), 14 + random(3), true);
    view.setUint32(SUPERBLOCK + 0x64, view.getUint32(SUPERBLOCK + 0x64, true) | 0x10000, true);
  }),
  'the flag of a file of orphans': superblock(['orphan file'], ({ view }) =>
    view.setUint32(SUPERBLOCK + 0x64, view.getUint32(SUPERBLOCK + 0x64, true) | 0x10000, true),
  ),
  'the magic of a file of orphans': orphanFile(({ view }, at) => view.setUint32(at + 1016, 0x1234, true)),
  'the checksum of a file of orphans': orphanFile(({ view }, at) => view.setUint32(at + 1020, 0x1234, true)),
  'the inode of a file of orphans that is wiped': superblock(['orphan file'], ({ image, view, inode }) => {
    const at = inode(view.getUint32(SUPERBLOCK + 0x280, true));
    image.fill(0, at, at + 128);
  }),
  'the size of a file of orphans': superblock(['orphan file'], ({ view, inode }) =>
    view.setUint32(inode(view.getUint32(SUPERBLOCK + 0x280, true)) + 4, 1500, true),
  ),
  'the number of the file of orphans': superblock(['orphan file'], ({ view, random }) =>
    view.setUint32(SUPERBLOCK + 0x280, [0, 14, 99999][random(3)]!, true),
  ),
  'the inode of a value': value(({ view, random }, entry) =>
    view.setUint32(entry + 4, [14, 2000, 99999, 3][random(4)]!, true),
  ),
  'the size of a value': value(({ view }, entry) => view.setUint32(entry + 8, 50_000, true)),
  'the hash of an entry for a value': value(({ view }, entry) => view.setUint32(entry + 12, 50_000, true)),
  'the checksum of a value': value(({ view }, _, holder) => view.setUint32(holder + 8, 77, true)),
  'the uses of a value': value(({ view }, _, holder) => view.setUint32(holder + 0x24, 5, true)),
  'the flag of a value': value(({ view }, _, holder) => view.setUint32(holder + FLAGS, 0x80000, true)),
  'the links of a value': value(({ view }, _, holder) => view.setUint16(holder + 0x1a, 3, true)),
  'an inode of a value that is wiped': value(({ image }, _, holder) => image.fill(0, holder, holder + 256)),
  'a pointer of the resize inode': resize(({ view, blockCount, random }, at) =>
    view.setUint32(at + BLOCKS + 52, [0, 500, blockCount + 5][random(3)]!, true),
  ),
  'another pointer of the resize inode': resize(({ view, random }, at) =>
    view.setUint32(at + BLOCKS + 4 * random(3), 700, true),
  ),
  'the mode of the resize inode': resize(({ view }, at) => view.setUint16(at, 0x41ed, true)),
  'the links of the resize inode': resize(({ view, random }, at) =>
    view.setUint16(at + 0x1a, 2 * random(2), true),
  ),
  'the size of the resize inode': resize(({ view }, at) => view.setUint32(at + 4, 99_999, true)),
  'a resize inode that is wiped': resize(({ image }, at) => image.fill(0, at, at + 128)),
  'a block of the resize inode': resize(({ view, blockSize, random }, at) => {
    const map = view.getUint32(at + BLOCKS + 52, true) * blockSize;
    for (let slot = 0; slot < blockSize; slot += 4) {
      if (view.getUint32(map + slot, true) === 0) continue;
      view.setUint32(map + slot, [0, 900][random(2)]!, true);
      return;
    }
  }),
  'a pointer of a block of the resize inode': resize(({ view, blockSize }, at) => {
    const map = view.getUint32(at + BLOCKS + 52, true) * blockSize;
    for (let slot = 0; slot < blockSize; slot += 4) {
      const block = view.getUint32(map + slot, true);
      if (block === 0) continue;
      view.setUint32(block * blockSize, 4321, true);
      return;
    }
  }),
};

function pickLength(random: Random): number {
  return [0, 2, 500, 99_999][random(4)]!;
}

/** The image with that damage done to it; the same for the same seed. */
export function damageStructure(good: Uint8Array, kind: string, random: Random): Uint8Array {
  const image = new Uint8Array(good);
  STRUCTURE_DAMAGES[kind]!.damage(targetOf(image, random));
  return image;
}

function targetOf(image: Uint8Array, random: Random): Target {
  const view = viewOf(image);
  const blockSize = 1024 << view.getUint32(SUPERBLOCK + 0x18, true);
  const inodeSize = view.getUint16(SUPERBLOCK + 0x58, true);
  const inodesPerGroup = view.getUint32(SUPERBLOCK + 0x28, true);
  const is64bit = (view.getUint32(SUPERBLOCK + 0x60, true) & 0x80) !== 0;
  const descriptor = blockSize === 1024 ? 2048 : blockSize;
  const inode = (number: number): number => {
    const group = Math.floor((number - 1) / inodesPerGroup);
    const table = view.getUint32(descriptor + group * (is64bit ? 64 : 32) + 8, true) * blockSize;
    return table + ((number - 1) % inodesPerGroup) * inodeSize;
  };
  const block = (number: number, position: number): number => {
    const at = inode(number);
    if ((view.getUint32(at + FLAGS, true) & 0x80000) === 0)
      return view.getUint32(at + BLOCKS + 4 * position, true) * blockSize;
    let start = at + BLOCKS;
    for (let depth = view.getUint16(start + 6, true); ; depth--) {
      let entry = start + 12;
      for (let i = 1; i < view.getUint16(start + 2, true); i++)
        if (view.getUint32(start + 12 * (i + 1), true) <= position) entry = start + 12 * (i + 1);
      if (depth === 0)
        return (view.getUint32(entry + 8, true) + position - view.getUint32(entry, true)) * blockSize;
      start = view.getUint32(entry + 4, true) * blockSize;
    }
  };
  const at = (path: string): number => {
    let number = 2;
    for (const name of path.split('/').slice(1)) number = entryOf(number, name);
    return number;
  };
  const entryOf = (directory: number, name: string): number => {
    const where = inode(directory);
    const isInline = (view.getUint32(where + FLAGS, true) & 0x1000_0000) !== 0;
    const size = isInline ? 56 : view.getUint32(where + 4, true);
    const areas = isInline
      ? [where + BLOCKS + 4]
      : Array.from({ length: size / blockSize }, (_, position) => block(directory, position));
    for (const area of areas) {
      const end = area + (isInline ? 56 : blockSize);
      for (let entry = area; entry < end;) {
        const length = view.getUint16(entry + 4, true);
        if (length < 8) break;
        const found = new TextDecoder().decode(image.subarray(entry + 8, entry + 8 + image[entry + 6]!));
        if (found === name && view.getUint32(entry, true) !== 0) return view.getUint32(entry, true);
        entry += length;
      }
    }
    throw new Error(`No ${name} in inode ${directory}`);
  };
  return {
    image,
    view,
    random,
    blockSize,
    blockCount: view.getUint32(SUPERBLOCK + 4, true),
    inodeCount: view.getUint32(SUPERBLOCK, true),
    inode,
    block,
    at,
  };
}
