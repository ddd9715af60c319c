import { describe, expect, test } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { CorruptImageError, FsError, UnsupportedError } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { GroupDescriptor } from '../../src/filesystem/ext/group-descriptor.ts';
import { Inode } from '../../src/filesystem/ext/inode.ts';
import { Superblock } from '../../src/filesystem/ext/superblock.ts';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';
import { makeExt2, steppingClock } from '../support/ext-driver-images.ts';

const clock = steppingClock();

/** A volume of 512 KiB in blocks of 1 KiB with a few nodes. */
function makeVolume(): Uint8Array {
  const device = makeExt2(512 << 10, { blockSize: 1024, inodeSize: 128, inodeCount: 64 });
  const volume = extDriver.open(device, { clock });
  const file = volume.create(volume.root, 'file', { kind: 'file' });
  volume.write(file, 0, new Uint8Array(40_000).fill(7));
  const a = volume.create(volume.root, 'a', { kind: 'directory' });
  volume.create(a, 'b', { kind: 'directory' });
  volume.create(volume.root, 'link', { kind: 'symlink', target: 'file' });
  volume.close();
  return device.toBytes();
}

const good = makeVolume();

/** Byte offset of an inode. */
function inodeAt(bytes: Uint8Array, number: number): number {
  return (
    viewOf(bytes).getUint32(2048 + GroupDescriptor.bg_inode_table_lo.offset, true) * 1024 + (number - 1) * 128
  );
}

function nodeOf(bytes: Uint8Array, name: string): number {
  const volume = extDriver.open(MemoryDevice.from(bytes), { readOnly: true });
  return volume.lookup(volume.root, name)!;
}

/** Runs `work` on a volume with these bytes; the device must hold the same bytes afterwards. */
function leavesUnchanged(bytes: Uint8Array, work: (volume: FileSystem) => void): void {
  const device = MemoryDevice.from(bytes);
  const volume = extDriver.open(device, { clock });
  work(volume);
  volume.close();
  expect(Buffer.compare(device.toBytes(), bytes)).toBe(0);
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof FsError) return error.code;
    if (error instanceof CorruptImageError) return `corrupt ${error.field}`;
    throw error;
  }
  return 'done';
}

describe('A superblock out of range is refused with field, value and place', () => {
  const cases: readonly (readonly [
    field: keyof typeof Superblock.$fields,
    value: number,
    message: RegExp,
  ])[] = [
    ['s_magic', 0, /^Superblock s_magic is 0x0000, expected 0xef53 at byte 1080$/],
    ['s_log_block_size', 7, /s_log_block_size is 7/],
    ['s_log_block_size', 0xffffffff, /s_log_block_size is 4294967295/],
    ['s_log_block_size', 1, /s_first_data_block is 1, expected 0/],
    ['s_first_data_block', 0, /s_first_data_block is 0, expected 1/],
    ['s_first_data_block', 0xffffffff, /s_first_data_block/],
    ['s_blocks_count_lo', 0, /s_blocks_count_lo is 0 blocks/],
    ['s_blocks_count_lo', 513, /s_blocks_count_lo is 513 blocks of 1024 bytes, expected 2 to 512/],
    ['s_blocks_count_lo', 0xffffffff, /s_blocks_count_lo/],
    ['s_blocks_per_group', 0, /s_blocks_per_group is 0/],
    ['s_blocks_per_group', 8200, /s_blocks_per_group is 8200/],
    ['s_blocks_per_group', 0xffffffff, /s_blocks_per_group/],
    ['s_inodes_per_group', 0, /s_inodes_per_group is 0/],
    ['s_inodes_per_group', 0xffffffff, /s_inodes_per_group/],
    ['s_inodes_count', 0, /s_inodes_count is 0, expected 1 groups of 64 inodes/],
    ['s_inodes_count', 0xffffffff, /s_inodes_count/],
    ['s_inode_size', 0, /s_inode_size is 0/],
    ['s_inode_size', 129, /s_inode_size is 129/],
    ['s_inode_size', 2048, /s_inode_size is 2048/],
    ['s_first_ino', 3, /s_first_ino is 3, expected 11 to 64/],
    ['s_first_ino', 0xffffffff, /s_first_ino/],
    ['s_reserved_gdt_blocks', 0xffff, /s_reserved_gdt_blocks is 65535/],
  ];
  for (const [field, value, message] of cases) {
    test(`${field} = ${value}`, () => {
      const bytes = good.slice();
      (Superblock[field] as typeof Superblock.s_mtime).set(viewOf(bytes), 1024, value);
      const device = MemoryDevice.from(bytes);
      expect(() => extDriver.open(device)).toThrow(CorruptImageError);
      expect(() => extDriver.open(device)).toThrow(message);
      expect(Buffer.compare(device.toBytes(), bytes)).toBe(0);
    });
  }

  test('a descriptor size that is odd', () => {
    const bytes = good.slice();
    Superblock.s_feature_incompat.set(viewOf(bytes), 1024, 0x82);
    for (const size of [0, 32, 65, 2048, 0xffff]) {
      Superblock.s_desc_size.set(viewOf(bytes), 1024, size);
      expect(() => extDriver.open(MemoryDevice.from(bytes))).toThrow(/s_desc_size/);
    }
  });
});

test('Structures of a group that lie outside of the volume are refused', () => {
  for (const field of ['bg_block_bitmap_lo', 'bg_inode_bitmap_lo', 'bg_inode_table_lo'] as const) {
    for (const block of [0, 1, 512, 0xffffffff]) {
      const bytes = good.slice();
      GroupDescriptor[field].set(viewOf(bytes), 2048, block);
      expect(() => extDriver.open(MemoryDevice.from(bytes))).toThrow(
        `Group descriptor 0 ${field} is block ${block}`,
      );
    }
  }
  const bytes = good.slice();
  GroupDescriptor.bg_inode_table_lo.set(viewOf(bytes), 2048, 510);
  expect(() => extDriver.open(MemoryDevice.from(bytes))).toThrow(/bg_inode_table_lo is block 510/);
});

test('Unknown incompatible features are refused by name', () => {
  const bytes = good.slice();
  Superblock.s_feature_incompat.set(viewOf(bytes), 1024, 0x8000_1003);
  const open = (): unknown => extDriver.open(MemoryDevice.from(bytes));
  expect(open).toThrow(UnsupportedError);
  expect(open).toThrow(/unsupported features compression, dirdata, FEATURE_I31$/);
});

test('A superblock without the checksum that it announces is refused, with advice', () => {
  const bytes = good.slice();
  Superblock.s_feature_ro_compat.set(viewOf(bytes), 1024, 0x403);
  const open = (): unknown => extDriver.open(MemoryDevice.from(bytes));
  expect(open).toThrow(CorruptImageError);
  expect(open).toThrow(
    /^Superblock s_checksum is 0x00000000, expected 0x[0-9a-f]{8} \(.*"e2fsck -b 8193" .*\) at byte 2044$/,
  );
});

test('What cannot be written is opened for reading, with the reason', () => {
  const cases: readonly (readonly [
    field: 's_feature_compat' | 's_feature_incompat' | 's_feature_ro_compat',
    bit: number,
    reason: RegExp,
  ])[] = [
    ['s_feature_compat', 0x4, /^the journal cannot be used: .*another device/],
    ['s_feature_incompat', 0x4, /needs_recovery is set on a volume without a journal/],
    ['s_feature_incompat', 0x100, /^Superblock s_mmp_block is block 0/],
    ['s_feature_ro_compat', 0x4000_0000, /FEATURE_R30/],
  ];
  for (const [field, bit, reason] of cases) {
    const bytes = good.slice();
    Superblock[field].set(viewOf(bytes), 1024, Superblock[field].get(viewOf(bytes), 1024) | bit);
    leavesUnchanged(bytes, (volume) => {
      expect(volume.readOnly).toBe(true);
      expect(volume.readOnlyReason).toMatch(reason);
      expect(codeOf(() => volume.create(volume.root, 'x', { kind: 'file' }))).toBe('EROFS');
      expect([...volume.entries(volume.root)]).toHaveLength(4);
    });
  }
});

test('Block pointers out of range end in an error and change nothing', () => {
  const file = nodeOf(good, 'file');
  for (const [slot, value] of [
    [0, 512],
    [3, 0xffffffff],
    [12, 100_000],
    [12, 1],
  ] as const) {
    const bytes = good.slice();
    viewOf(bytes).setUint32(inodeAt(bytes, file) + Inode.i_block.offset + 4 * slot, value, true);
    leavesUnchanged(bytes, (volume) => {
      const node = file as NodeId;
      expect(() => volume.read(node, 0, new Uint8Array(40_000))).toThrow(CorruptImageError);
      expect(() => volume.setAttributes(node, { size: 0 })).toThrow(CorruptImageError);
      expect(() => volume.unlink(volume.root, 'file')).toThrow(CorruptImageError);
      expect(() => volume.rename(volume.root, 'link', volume.root, 'file')).toThrow(CorruptImageError);
      expect([...volume.entries(volume.root)].map((entry) => entry.name)).toContain('file');
    });
  }
});

test('An inode with extents on a volume without the feature is neither read nor written', () => {
  for (const flag of [0x0008_0000, 0x1000_0000]) {
    const bytes = good.slice();
    viewOf(bytes).setUint32(inodeAt(bytes, nodeOf(bytes, 'file')) + Inode.i_flags.offset, flag, true);
    leavesUnchanged(bytes, (volume) => {
      const file = volume.lookup(volume.root, 'file')!;
      expect(codeOf(() => volume.read(file, 0, new Uint8Array(1)))).toBe('corrupt i_flags');
      expect(codeOf(() => volume.write(file, 0, new Uint8Array(1)))).toBe('corrupt i_flags');
      expect(codeOf(() => volume.unlink(volume.root, 'file'))).toBe('corrupt i_flags');
    });
  }
});

test('Content is on the device when its place is asked for', () => {
  const device = MemoryDevice.from(good);
  const volume = extDriver.open(device, { clock });
  const file = volume.create(volume.root, 'new', { kind: 'file' });
  volume.write(file, 0, new Uint8Array(2500).fill(0x42));
  const places = [...volume.placement(file)];
  expect(places.map((place) => place.length)).toEqual([2500]);
  const bytes = new Uint8Array(2500);
  device.read(places[0]!.deviceOffset, bytes);
  expect(bytes.every((byte) => byte === 0x42)).toBe(true);
  volume.close();
});

test('A block that a file has twice, or that the bitmap calls free, is not freed', () => {
  const file = nodeOf(good, 'file');
  const twice = good.slice();
  const at = inodeAt(twice, file) + Inode.i_block.offset;
  viewOf(twice).setUint32(at + 4, viewOf(twice).getUint32(at, true), true);
  const free = good.slice();
  viewOf(free).setUint32(at, 500, true);
  for (const bytes of [twice, free]) {
    leavesUnchanged(bytes, (volume) => {
      expect(() => volume.unlink(volume.root, 'file')).toThrow(CorruptImageError);
      expect(volume.lookup(volume.root, 'file')).toBe(file);
    });
  }
});

describe('Directories that are no tree', () => {
  /** Lets the entry `b` in the directory `a` lead to another inode. */
  function redirect(target: number): Uint8Array {
    const bytes = good.slice();
    const view = viewOf(bytes);
    const block = view.getUint32(inodeAt(bytes, nodeOf(bytes, 'a')) + Inode.i_block.offset, true) * 1024;
    expect(bytes[block + 24 + 8]).toBe('b'.charCodeAt(0));
    view.setUint32(block + 24, target, true);
    return bytes;
  }

  function walk(volume: FileSystem, node: NodeId): void {
    for (const entry of volume.entries(node)) if (entry.kind === 'directory') walk(volume, entry.node);
  }

  test('are found out when a directory holds itself or the root', () => {
    for (const target of [nodeOf(good, 'a'), 2]) {
      leavesUnchanged(redirect(target), (volume) => {
        expect(() => walk(volume, volume.root)).toThrow(/a directory that has a name already/);
      });
    }
  });

  test('do not catch a rename in a circle of parents', () => {
    const bytes = good.slice();
    const view = viewOf(bytes);
    const a = nodeOf(bytes, 'a');
    const volume = extDriver.open(MemoryDevice.from(bytes), { readOnly: true });
    const b = volume.lookup(a as NodeId, 'b')!;
    // `..` of a leads to b.
    const block = view.getUint32(inodeAt(bytes, a) + Inode.i_block.offset, true) * 1024;
    view.setUint32(block + 12, b, true);
    leavesUnchanged(bytes, (damaged) => {
      expect(codeOf(() => damaged.rename(damaged.root, 'lost+found', b, 'x'))).toBe('corrupt ..');
    });
  });

  test('and entries of reserved inodes are refused', () => {
    leavesUnchanged(redirect(7), (volume) => {
      expect(codeOf(() => volume.lookup(nodeOf(good, 'a') as NodeId, 'b'))).toBe('corrupt inode');
      expect(() => walk(volume, volume.root)).toThrow(/is 7, expected 2 or 11 to 64/);
    });
  });
});

test('Operations that cannot be done name the reason and change nothing', () => {
  leavesUnchanged(good, (volume) => {
    const { root } = volume;
    const file = volume.lookup(root, 'file')!;
    const link = volume.lookup(root, 'link')!;
    const a = volume.lookup(root, 'a')!;
    const b = volume.lookup(a, 'b')!;
    const make = (name: string): string => codeOf(() => volume.create(root, name, { kind: 'file' }));
    expect(make('n'.repeat(256))).toBe('ENAMETOOLONG');
    expect(make('ä'.repeat(128))).toBe('ENAMETOOLONG');
    for (const name of ['', '.', '..', 'a/b', 'a\0b']) expect(make(name)).toBe('EINVAL');
    expect(make('file')).toBe('EEXIST');
    expect(codeOf(() => volume.create(file, 'x', { kind: 'file' }))).toBe('ENOTDIR');
    expect(codeOf(() => volume.create(root, 'x', { kind: 'symlink', target: '' }))).toBe('ENOENT');
    expect(codeOf(() => volume.create(root, 'x', { kind: 'symlink', target: 't'.repeat(1024) }))).toBe(
      'ENAMETOOLONG',
    );
    const device = { major: 5000, minor: 0 };
    expect(codeOf(() => volume.create(root, 'x', { kind: 'block-device', device }))).toBe('EINVAL');
    expect(volume.lookup(root, 'nothing')).toBeUndefined();
    expect(codeOf(() => volume.lookup(file, 'x'))).toBe('ENOTDIR');
    expect(codeOf(() => volume.unlink(root, 'nothing'))).toBe('ENOENT');
    expect(codeOf(() => volume.unlink(root, 'a'))).toBe('EISDIR');
    expect(codeOf(() => volume.removeDirectory(root, 'file'))).toBe('ENOTDIR');
    expect(codeOf(() => volume.removeDirectory(root, 'a'))).toBe('ENOTEMPTY');
    expect(codeOf(() => volume.link(a, root, 'x'))).toBe('EPERM');
    expect(codeOf(() => volume.rename(root, 'a', b, 'x'))).toBe('EINVAL');
    expect(codeOf(() => volume.rename(root, 'a', root, 'file'))).toBe('ENOTDIR');
    expect(codeOf(() => volume.rename(root, 'file', root, 'a'))).toBe('EISDIR');
    expect(codeOf(() => volume.rename(root, 'file', root, 'link', { noReplace: true }))).toBe('EEXIST');
    expect(codeOf(() => volume.write(a, 0, new Uint8Array(1)))).toBe('EISDIR');
    expect(codeOf(() => volume.read(a, 0, new Uint8Array(1)))).toBe('EISDIR');
    expect(codeOf(() => volume.write(link, 0, new Uint8Array(1)))).toBe('EINVAL');
    expect(codeOf(() => volume.readLink(file))).toBe('EINVAL');
    expect(codeOf(() => volume.write(file, 2 ** 45, new Uint8Array(1)))).toBe('EFBIG');
    expect(codeOf(() => volume.write(file, -1, new Uint8Array(1)))).toBe('EINVAL');
    expect(codeOf(() => volume.setAttributes(file, { size: 2 ** 45 }))).toBe('EFBIG');
    expect(codeOf(() => volume.setAttributes(a, { size: 0 }))).toBe('EISDIR');
    expect(codeOf(() => volume.setXattr(file, 'user.big', new Uint8Array(1000)))).toBe('ENOSPC');
    expect(codeOf(() => volume.setXattr(file, 'other.name', new Uint8Array(1)))).toBe('EOPNOTSUPP');
    expect(codeOf(() => volume.setXattr(file, `user.${'n'.repeat(256)}`, new Uint8Array(1)))).toBe('ERANGE');
    expect(codeOf(() => volume.setXattr(file, 'system.posix_acl_access', new Uint8Array(5)))).toBe('EINVAL');
    expect(codeOf(() => volume.removeXattr(file, 'user.none'))).toBe('ENODATA');
    expect(() => void (volume.label = 'seventeen letters')).toThrow(/EINVAL.*17 bytes/);
  });
});

test('A full volume says so before anything changes', () => {
  const device = MemoryDevice.from(good);
  const volume = extDriver.open(device, { clock });
  const file = volume.lookup(volume.root, 'file')!;
  const { freeBlocks } = volume.usage();
  // One block more than there is, with the indirect blocks that come with it.
  const tooMuch = new Uint8Array((freeBlocks - 1) * 1024).fill(1);
  volume.sync();
  const before = device.toBytes();
  expect(codeOf(() => volume.write(file, 1 << 20, tooMuch))).toBe('ENOSPC');
  expect(volume.usage().freeBlocks).toBe(freeBlocks);
  volume.close();
  expect(Buffer.compare(device.toBytes(), before)).toBe(0);

  // Counters that promise too much are found out by the bitmap, and nothing is lost.
  const lying = good.slice();
  Superblock.s_free_blocks_count_lo.set(viewOf(lying), 1024, freeBlocks + 50);
  const liar = MemoryDevice.from(lying);
  const other = extDriver.open(liar, { clock });
  expect(codeOf(() => other.write(file, 1 << 20, tooMuch))).toBe('ENOSPC');
  other.write(file, 1 << 20, tooMuch.subarray(0, (freeBlocks - 4) * 1024));
  other.close();
});

test('A volume on a device that cannot be written is read-only', () => {
  const device = MemoryDevice.from(good, { readOnly: true });
  const volume = extDriver.open(device, { clock });
  expect(volume.readOnlyReason).toBe('the device is read-only');
  expect(codeOf(() => volume.unlink(volume.root, 'file'))).toBe('EROFS');
  volume.close();
});

test('A volume is marked as not clean from the first change until it is closed', () => {
  const device = MemoryDevice.from(good);
  const state = (): number => viewOf(device.toBytes()).getUint16(1024 + Superblock.s_state.offset, true);
  const volume = extDriver.open(device, { clock });
  expect(volume.lookup(volume.root, 'file')).toBeDefined();
  expect(state()).toBe(1);
  volume.create(volume.root, 'x', { kind: 'file' });
  expect(state()).toBe(0);
  volume.sync();
  expect(state()).toBe(0);
  volume.close();
  expect(state()).toBe(1);
});
