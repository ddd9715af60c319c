import { expect, test } from 'vitest';
import { crc16 } from '../../src/bytes/crc16.ts';
import { crc32c, crc32cWord, crc32cWords } from '../../src/bytes/crc32c.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { BlockCache, type BlockSeal, WriteRank } from '../../src/filesystem/ext/block-cache.ts';

const DIGITS = new TextEncoder().encode('123456789');

/** The definition, bit by bit. */
function slowCrc(polynomial: number, value: number, data: Uint8Array): number {
  let register = value;
  for (const byte of data) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ ((register & 1) !== 0 ? polynomial : 0);
  }
  return register >>> 0;
}

test('the check values of both checksums are those of the catalogue', () => {
  expect(~crc32c(0xffff_ffff, DIGITS) >>> 0).toBe(0xe306_9283);
  expect(crc16(0, DIGITS)).toBe(0xbb3d);
});

test('every length and start gives what the definition gives, also in pieces', () => {
  const data = Uint8Array.from({ length: 80 }, (_, index) => (index * 151 + 37) & 0xff);
  for (let start = 0; start < 20; start++) {
    for (let end = start; end <= data.length; end++) {
      const slow = slowCrc(0x82f6_3b78, 0xdead_beef, data.subarray(start, end));
      expect(crc32c(0xdead_beef, data, start, end)).toBe(slow);
      const middle = (start + end) >>> 1;
      expect(crc32c(crc32c(0xdead_beef, data, start, middle), data, middle, end)).toBe(slow);
      expect(crc16(0xffff, data, start, end)).toBe(slowCrc(0xa001, 0xffff, data.subarray(start, end)));
    }
  }
  for (const word of [0, 1, 0x8000_0000, 0xffff_ffff, 0x1234_5678]) {
    const bytes = new Uint8Array(new Uint32Array([word]).buffer);
    expect(crc32cWord(0xdead_beef, word)).toBe(crc32c(0xdead_beef, bytes));
  }
});

test('takes words as it takes their bytes', () => {
  const bytes = Uint8Array.from({ length: 64 }, (_, at) => (at * 37 + 11) & 0xff);
  const words = new Uint32Array(bytes.buffer);
  for (const [start, end] of [
    [0, 16],
    [0, 0],
    [3, 4],
    [1, 14],
    [5, 16],
  ] as const)
    expect(crc32cWords(0xdead_beef, words, start, end)).toBe(crc32c(0xdead_beef, bytes, 4 * start, 4 * end));
});

test('a block is verified once when it comes, and sealed once on its way out, descriptors last', () => {
  const cache = new BlockCache(new MemoryDevice(16 * 1024), 1024, () => undefined);
  const log: string[] = [];
  const descriptorSeal: BlockSeal = {
    seal: (block) => void log.push(`seal descriptor ${block.index}`),
    verify: (block) => void log.push(`verify descriptor ${block.index}`),
  };
  const descriptor = cache.get(2, WriteRank.descriptor, descriptorSeal);
  const bitmapSeal: BlockSeal = {
    seal: (block) => {
      log.push(`seal bitmap ${block.index}`);
      cache.markDirty(descriptor);
    },
    verify: (block) => void log.push(`verify bitmap ${block.index}`),
  };
  const bitmap = cache.get(3, WriteRank.bitmap, bitmapSeal);
  expect(cache.get(3, WriteRank.bitmap, bitmapSeal)).toBe(bitmap);
  cache.markDirty(bitmap);
  cache.create(1, WriteRank.mapping, bitmapSeal);
  cache.sink = { write: (blocks) => void log.push(`write ${blocks.map((block) => block.index).join(' ')}`) };
  cache.flush();
  cache.flush();
  expect(log).toEqual([
    'verify descriptor 2',
    'verify bitmap 3',
    'seal bitmap 3',
    'seal bitmap 1',
    'seal descriptor 2',
    'write 3 2 1',
  ]);
});

test('blocks stay dirty when the sink fails, and freed blocks are told and dropped', () => {
  const device = new MemoryDevice(16 * 1024);
  const cache = new BlockCache(device, 1024, () => undefined);
  cache.create(5, WriteRank.mapping).bytes.fill(0x55);
  cache.create(6, WriteRank.mapping).bytes.fill(0x66);
  cache.sink = {
    write: () => {
      throw new Error('full');
    },
  };
  expect(() => cache.flush()).toThrow('full');
  const forgotten: number[][] = [];
  cache.onForget = (start, count) => void forgotten.push([start, count]);
  cache.forget(6, 1);
  expect(forgotten).toEqual([[6, 1]]);
  cache.sink = {
    write(blocks) {
      for (const { index, bytes } of blocks) device.write(index * 1024, bytes);
    },
  };
  cache.flush();
  const back = new Uint8Array(2048);
  device.read(5 * 1024, back);
  expect([back[0], back[1023], back[1024]]).toEqual([0x55, 0x55, 0]);
});

test('blocks are read ahead in one go, but those that are here stay as they are', () => {
  const memory = new MemoryDevice(16 * 1024);
  for (let index = 0; index < 16; index++) memory.write(index * 1024, new Uint8Array(1024).fill(index + 1));
  const reads: number[][] = [];
  const device = Object.assign(Object.create(memory) as MemoryDevice, {
    read(offset: number, into: Uint8Array): void {
      reads.push([offset / 1024, into.length / 1024]);
      if (offset + into.length > 12 * 1024) throw new Error('The medium is damaged from block 12 on');
      memory.read(offset, into);
    },
  });
  const cache = new BlockCache(device, 1024, () => {});
  const changed = cache.create(6, WriteRank.inodeTable);
  changed.bytes.fill(0x77);

  const first = cache.getAhead(4, 4, WriteRank.inodeTable, () => undefined);
  expect(reads).toEqual([[4, 4]]);
  expect([first.index, first.bytes[0], first.bytes[1023], first.dirty]).toEqual([4, 5, 5, false]);
  expect(cache.find(5)!.bytes[0]).toBe(6);
  expect(cache.find(6)).toBe(changed);
  expect(cache.find(7)!.bytes[512]).toBe(8);
  // Here already: nothing is read.
  expect(cache.getAhead(7, 4, WriteRank.inodeTable, () => undefined)).toBe(cache.find(7));
  expect(reads.length).toBe(1);
  // One of those ahead cannot be read: it is not the one that is wanted.
  expect(cache.getAhead(10, 4, WriteRank.inodeTable, () => undefined).bytes[0]).toBe(11);
  expect(reads.slice(1)).toEqual([
    [10, 4],
    [10, 1],
  ]);
  expect(cache.find(11)).toBeUndefined();
  expect(() => cache.getAhead(12, 4, WriteRank.inodeTable, () => undefined)).toThrow('damaged');
});
