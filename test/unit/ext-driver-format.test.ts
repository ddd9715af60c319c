import { describe, expect, test } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { encodeUtf8 } from '../../src/bytes/utf8.ts';
import { clearRange, nextClear, nextSet, setRange, testBit } from '../../src/filesystem/ext/bitmap.ts';
import { decodeDevice, encodeDevice } from '../../src/filesystem/ext/device-number.ts';
import {
  initDirectoryBlock,
  initEmptyBlock,
  firstGap,
  gapAt,
  insertEntry,
  largestGap,
  removeEntry,
} from '../../src/filesystem/ext/directory-block.ts';
import { HashVersion, directoryHash } from '../../src/filesystem/ext/directory-hash.ts';
import { aclFromDisk, aclToDisk } from '../../src/filesystem/ext/posix-acl.ts';
import {
  AccessTime,
  BirthTime,
  ModificationTime,
  decodeTime,
  encodeTime,
} from '../../src/filesystem/ext/timestamp.ts';
import { entryHash, parseXattrs, writeXattrs } from '../../src/filesystem/ext/xattr-format.ts';

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

describe('directoryHash', () => {
  const noSeed = new Uint8Array(16);

  test('gives what debugfs 1.47.0 prints with dx_hash', () => {
    const names: readonly (readonly [name: string, legacy: number, halfMd4: number, tea: number])[] = [
      ['ab', 0xda0d8cd0, 0xee5ef564, 0xd27d8658],
      ['ü', 0xbd5f0cea, 0x60e60c6a, 0x87c62ac2],
      ['xxxü', 0xa78c963e, 0x293d997e, 0x22822366],
      ['ßßß', 0xd2a73fae, 0x95a6a302, 0x15ab8d1e],
    ];
    for (const [name, legacy, halfMd4, tea] of names) {
      const bytes = encodeUtf8(name);
      expect(directoryHash(bytes, HashVersion.legacy, noSeed), name).toBe(legacy);
      expect(directoryHash(bytes, HashVersion.halfMd4, noSeed), name).toBe(halfMd4);
      expect(directoryHash(bytes, HashVersion.tea, noSeed), name).toBe(tea);
    }
  });

  test('takes bytes above 0x7f as signed or as unsigned, and others alike', () => {
    for (let version = 0; version < 3; version++) {
      const umlaut = encodeUtf8('ü');
      expect(directoryHash(umlaut, version, noSeed)).not.toBe(directoryHash(umlaut, version + 3, noSeed));
      const plain = encodeUtf8('plain');
      expect(directoryHash(plain, version, noSeed)).toBe(directoryHash(plain, version + 3, noSeed));
    }
  });

  test('knows no sixth version', () => {
    expect(directoryHash(encodeUtf8('a'), 6, noSeed)).toBeUndefined();
  });
});

describe('Times in an inode', () => {
  test('keep nanoseconds and two more bits of seconds where the inode has room', () => {
    const bytes = new Uint8Array(256);
    const view = viewOf(bytes);
    const cases = [
      [{ seconds: 1_700_000_000, nanoseconds: 123_456_789 }, 0x6553f100, 0x1d6f3454],
      [{ seconds: -1, nanoseconds: 1 }, 0xffffffff, 0x00000004],
      [{ seconds: 0x8000_0000, nanoseconds: 0 }, 0x80000000, 0x00000001],
      [{ seconds: 0x3_7fff_ffff, nanoseconds: 999_999_999 }, 0x7fffffff, 0xee6b27ff],
    ] as const;
    for (const [time, seconds, extra] of cases) {
      encodeTime(view, 0, 32, ModificationTime, time);
      expect(view.getUint32(0x10, true)).toBe(seconds);
      expect(view.getUint32(0x88, true)).toBe(extra);
      expect(decodeTime(view, 0, 32, ModificationTime)).toEqual(time);
    }
  });

  test('become the nearest that the inode can hold', () => {
    const view = viewOf(new Uint8Array(256));
    encodeTime(view, 0, 0, AccessTime, { seconds: 4_000_000_000, nanoseconds: 5 });
    expect(decodeTime(view, 0, 0, AccessTime)).toEqual({ seconds: 0x7fff_ffff, nanoseconds: 0 });
    encodeTime(view, 0, 32, AccessTime, { seconds: 2 ** 40, nanoseconds: 5 });
    expect(decodeTime(view, 0, 32, AccessTime)).toEqual({ seconds: 0x3_7fff_ffff, nanoseconds: 0 });
  });

  test('of birth exist only in the part past the first 128 bytes', () => {
    const view = viewOf(new Uint8Array(256));
    expect(decodeTime(view, 0, 0, BirthTime)).toBeUndefined();
    expect(decodeTime(view, 0, 16, BirthTime)).toBeUndefined();
    encodeTime(view, 0, 24, BirthTime, { seconds: 77, nanoseconds: 1 });
    expect(decodeTime(view, 0, 24, BirthTime)).toEqual({ seconds: 77, nanoseconds: 1 });
  });
});

test('Device numbers are kept in the short form while they fit, as the kernel does', () => {
  expect(encodeDevice({ major: 8, minor: 1 })).toEqual([0x0801, 0]);
  expect(encodeDevice({ major: 255, minor: 255 })).toEqual([0xffff, 0]);
  expect(encodeDevice({ major: 259, minor: 1000 })).toEqual([0, 0x003103e8]);
  expect(encodeDevice({ major: 4096, minor: 0 })).toBeUndefined();
  for (const device of [
    { major: 0, minor: 255 },
    { major: 256, minor: 0 },
    { major: 4095, minor: 1_048_575 },
  ]) {
    expect(decodeDevice(...encodeDevice(device)!)).toEqual(device);
  }
});

test('A directory block is laid out as in the specification', () => {
  const bytes = new Uint8Array(1024);
  const view = viewOf(bytes);
  initDirectoryBlock(view, 1024, 0x0c, 0x02, 2);
  expect(insertEntry(view, 1024, encodeUtf8('abcde'), 0x01020304, 1)).toBe(24);
  expect(hexOf(bytes.subarray(0, 40))).toBe(
    '0c0000000c0001022e000000' + '020000000c0002022e2e0000' + '04030201e80305016162636465000000',
  );
  expect(largestGap(view, 1024)).toBe(1024 - 24 - 16);
  expect(insertEntry(view, 1024, encodeUtf8('f'), 5, 7)).toBe(40);
  expect(firstGap(view, 1024)).toBe(40);
  expect(removeEntry(view, 1024, 24)).toBe(12);
  expect(view.getUint16(12 + 4, true)).toBe(28);
  expect(gapAt(view, 1024, 12)).toBe(16);
  expect(firstGap(view, 1024)).toBe(12);
  expect(largestGap(view, 1024, 12)).toBe(1024 - 40 - 12);
  expect(insertEntry(view, 1024, encodeUtf8('gh'), 6, 1)).toBe(24);
  expect(view.getUint16(40 + 4, true)).toBe(1024 - 40);
});

test('In a block of 64 KiB an entry over the whole block has the length 0xffff', () => {
  const view = viewOf(new Uint8Array(65536));
  initEmptyBlock(view, 65536);
  expect(view.getUint16(4, true)).toBe(0xffff);
  expect(largestGap(view, 65536)).toBe(65536);
});

describe('Bitmaps', () => {
  test('are searched across words, bytes and bits', () => {
    const bitmap = new Uint8Array(32).fill(0xff);
    bitmap[21] = 0b1011_1111;
    expect(nextClear(bitmap, 0, 256)).toBe(21 * 8 + 6);
    expect(nextClear(bitmap, 175, 256)).toBe(256);
    expect(nextClear(bitmap, 0, 174)).toBe(174);
    const empty = new Uint8Array(32);
    empty[31] = 0x80;
    expect(nextSet(empty, 3, 256)).toBe(255);
    expect(nextSet(empty, 3, 255)).toBe(255);
  });

  test('are filled over any range', () => {
    for (const [from, count] of [
      [0, 256],
      [3, 2],
      [7, 9],
      [8, 16],
      [5, 250],
      [100, 0],
    ] as const) {
      const bitmap = new Uint8Array(32);
      setRange(bitmap, from, count);
      for (let bit = 0; bit < 256; bit++)
        expect(testBit(bitmap, bit)).toBe(bit >= from && bit < from + count);
      bitmap.fill(0xff);
      clearRange(bitmap, from, count);
      for (let bit = 0; bit < 256; bit++)
        expect(testBit(bitmap, bit)).toBe(bit < from || bit >= from + count);
    }
  });
});

describe('Extended attributes', () => {
  test('hash as the kernel hashes them in an attribute block', () => {
    expect(entryHash(encodeUtf8('ü'), encodeUtf8('abc'))).toBe(0x18bf6261);
    expect(entryHash(encodeUtf8('big'), new Uint8Array(300).fill(0x62))).toBe(0xe7256263);
    const block = new Uint8Array(1024);
    const list = [
      { index: 1, name: 'ü', value: encodeUtf8('abc'), valueInode: 0, size: 3, hash: 0x18bf6261 },
      {
        index: 6,
        name: 'big',
        value: new Uint8Array(300).fill(0x62),
        valueInode: 0,
        size: 300,
        hash: 0xe7256263,
      },
    ];
    expect(writeXattrs(block, 32, 0, list, true)).toBe(0x85447adc);
    expect(hexOf(block.subarray(32, 76))).toBe(
      '0201fc030000000003000000' +
        '6162bf18c3bc0000' +
        '0306d002000000002c0100006362' +
        '25e762696700' +
        '00000000',
    );
    expect(parseXattrs(block, 32, 0)).toEqual(list);
  });

  test('that leave their region are reported with the field', () => {
    const block = new Uint8Array(256);
    const list = [{ index: 1, name: 'a', value: new Uint8Array(8).fill(1), valueInode: 0, size: 8, hash: 0 }];
    writeXattrs(block, 32, 0, list, true);
    for (const [at, value, field] of [
      [32, 0xff, 'e_name_len'],
      [34, 0xfd, 'e_value_size'],
      [41, 0xff, 'e_value_size'],
    ] as const) {
      const damaged = block.slice();
      damaged[at] = value;
      expect(parseXattrs(damaged, 32, 0)).toMatchObject({ field });
    }
    expect(parseXattrs(new Uint8Array(34), 32, 0)).toMatchObject({ field: 'e_name_len' });
  });

  test('with access control lists change between their two forms', () => {
    const value = Buffer.from(
      '02000000' +
        '01000600ffffffff' +
        '0200070005000000' +
        '04000400ffffffff' +
        '10000700ffffffff' +
        '20000400ffffffff',
      'hex',
    );
    const disk = '01000000' + '01000600' + '0200070005000000' + '04000400' + '10000700' + '20000400';
    expect(hexOf(aclToDisk(value)!)).toBe(disk);
    expect(hexOf(aclFromDisk(Buffer.from(disk, 'hex'))!)).toBe(value.toString('hex'));
    expect(aclToDisk(value.subarray(0, 11))).toBeUndefined();
    expect(aclFromDisk(Buffer.from(disk.slice(0, 22), 'hex'))).toBeUndefined();
  });
});
