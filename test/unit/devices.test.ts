import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type BlockDevice, extentsOf, readBytes, zeroRange } from '../../src/device/block-device.ts';
import { CacheDevice } from '../../src/device/cache-device.ts';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { SliceDevice } from '../../src/device/slice-device.ts';
import { FsError } from '../../src/errors.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { nativeFileOperations } from '../../src/host/native-file.ts';
import { temporaryFolder } from '../support/tools.ts';

const CHUNK = 1 << 16;
const folder = temporaryFolder();
let fileCount = 0;

function newFile(size: number): FileDevice {
  return FileDevice.create(path.join(folder, `device-${fileCount++}`), size);
}

/** Has only what a device must have. */
function bare(base: BlockDevice): BlockDevice {
  return {
    size: base.size,
    sectorSize: base.sectorSize,
    readOnly: base.readOnly,
    read: (offset, into) => base.read(offset, into),
    write: (offset, from) => base.write(offset, from),
    flush: () => base.flush(),
    close: () => base.close(),
  };
}

const KINDS: Readonly<Record<string, (size: number) => BlockDevice>> = {
  memory: (size) => new MemoryDevice(size),
  'a slice in the middle of memory': (size) => new SliceDevice(new MemoryDevice(size + 1000), 333, size),
  'a slice of a slice': (size) =>
    new SliceDevice(new SliceDevice(new MemoryDevice(size + 5000), 1000, size + 2000), 777, size),
  'a cache': (size) => new CacheDevice(new MemoryDevice(size), { pageSize: 4096, pageCount: 3 }),
  'a cache of pages of one byte': (size) =>
    new CacheDevice(new MemoryDevice(size), { pageSize: 1, pageCount: 2 }),
  'a fault device without faults': (size) => new FaultDevice(new MemoryDevice(size)),
  'a file': newFile,
  'a slice of a file': (size) => new SliceDevice(newFile(size + 8192), 4096, size),
  'a device without optional members': (size) => bare(new MemoryDevice(size)),
};

function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff);
}

describe.each(Object.entries(KINDS))('As a device, %s', (name, make) => {
  test.each([0, 1, 511, 512, 513, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])(
    'of %i bytes is zero at first, reads back what is written, and ends where it ends',
    (size) => {
      const device = make(size);
      expect(device.size).toBe(size);
      expect(readBytes(device, 0, size)).toEqual(new Uint8Array(size));
      const content = pattern(size, 7);
      device.write(0, content);
      expect(readBytes(device, 0, size)).toEqual(content);
      for (const [offset, length] of [
        [size, 1],
        [0, size + 1],
        [-1, 1],
        [size + 1, 0],
      ] as const) {
        const buffer = new Uint8Array(length);
        expect(() => device.read(offset, buffer)).toThrow(FsError);
        expect(() => device.write(offset, buffer)).toThrow(FsError);
      }
      device.read(size, new Uint8Array(0));
      device.write(size, new Uint8Array(0));
      expect(readBytes(device, 0, size)).toEqual(content);
      device.flush();
      device.close();
    },
  );

  test('keeps what lies beside a write, wherever that begins and ends', () => {
    const size = name.includes('one byte') ? 3000 : 2 * CHUNK + 100;
    const device = make(size);
    const model = new Uint8Array(size);
    let state = 12345;
    for (let i = 0; i < 200; i++) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      const offset = state % size;
      const length = Math.min((state >>> 8) % [3, 513, 5000, CHUNK][i % 4]!, size - offset);
      if (i % 5 === 4) {
        zeroRange(device, offset, length);
        model.fill(0, offset, offset + length);
      } else {
        device.write(offset, pattern(length, i));
        model.set(pattern(length, i), offset);
      }
      const from = Math.max(0, offset - 9);
      const part = readBytes(device, from, Math.min(length + 18, size - from));
      expect(Buffer.compare(part, model.subarray(from, from + part.length))).toBe(0);
    }
    expect(Buffer.compare(readBytes(device, 0, size), model)).toBe(0);
    device.close();
  });

  test('tells its extents in order, without gaps, and calls no data a hole', () => {
    const size = 4 * CHUNK;
    const device = make(size);
    device.write(CHUNK + 5, Uint8Array.of(1));
    device.write(3 * CHUNK - 1, Uint8Array.of(2, 3));
    for (const [offset, length] of [
      [0, size],
      [1, size - 2],
      [CHUNK + 5, 1],
      [2 * CHUNK, CHUNK],
      [7, 0],
    ] as const) {
      let at = offset;
      for (const extent of extentsOf(device, offset, length)) {
        expect(extent.offset).toBe(at);
        expect(extent.length).toBeGreaterThan(0);
        at += extent.length;
        if (extent.kind !== 'data') {
          const content = readBytes(device, extent.offset, extent.length);
          expect(Buffer.compare(content, new Uint8Array(extent.length))).toBe(0);
        }
      }
      expect(at).toBe(offset + length);
    }
    device.close();
  });
});

describe.each([
  ['memory', (size: number): BlockDevice => new MemoryDevice(size)],
  ['a slice', (size: number): BlockDevice => new SliceDevice(new MemoryDevice(size + 512), 512)],
  ['a cache', (size: number): BlockDevice => new CacheDevice(new MemoryDevice(size))],
  ['a file', newFile],
] as const)('Past the first %s of 4 GiB and of 1 TiB', (_, make) => {
  test.each([2 ** 32, 2 ** 40, 2 ** 43])('reads and writes across byte %i', (boundary) => {
    const device = make(boundary + CHUNK);
    device.write(boundary - 3, Uint8Array.of(1, 2, 3, 4, 5, 6));
    expect([...readBytes(device, boundary - 4, 8)]).toEqual([0, 1, 2, 3, 4, 5, 6, 0]);
    // A number cut to 32 bits would have hit these.
    expect([...readBytes(device, 0, 4)]).toEqual([0, 0, 0, 0]);
    zeroRange(device, boundary - 1, 2);
    expect([...readBytes(device, boundary - 4, 8)]).toEqual([0, 1, 2, 0, 0, 5, 6, 0]);
    zeroRange(device, 0, boundary + CHUNK);
    expect([...readBytes(device, boundary - 4, 8)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    device.close();
  });
});

test('A slice of a slice is the slice of both offsets', () => {
  const base = new MemoryDevice(10_000);
  base.write(0, pattern(10_000, 3));
  for (const [a, b, length] of [
    [0, 0, 10_000],
    [512, 100, 9000],
    [63 * 16, 7, 1],
    [9999, 1, 0],
  ] as const) {
    const twice = new SliceDevice(new SliceDevice(base, a), b, length);
    const once = new SliceDevice(base, a + b, length);
    expect(readBytes(twice, 0, length)).toEqual(readBytes(once, 0, length));
    expect([...twice.extents(0, length)]).toEqual([...once.extents(0, length)]);
  }
  expect(() => new SliceDevice(base, 9_999, 2)).toThrow(FsError);
  expect(() => new SliceDevice(base, -1)).toThrow(FsError);
  const device = newFile(8192);
  expect(new SliceDevice(new SliceDevice(device, 100), 23).fileRange!().offset).toBe(123);
  expect(new SliceDevice(base, 1).fileRange).toBeUndefined();
  device.close();
});

describe('A read-only device', () => {
  test.each([
    ['memory', (): BlockDevice => new MemoryDevice(1024, { readOnly: true })],
    ['a slice', (): BlockDevice => new SliceDevice(new MemoryDevice(1024, { readOnly: true }), 0)],
    ['a cache', (): BlockDevice => new CacheDevice(new MemoryDevice(1024, { readOnly: true }))],
    [
      'a file',
      (): BlockDevice => {
        const file = newFile(1024);
        file.close();
        return FileDevice.open(file.path, { readOnly: true });
      },
    ],
  ])('refuses to write and to zero: %s', (_, make) => {
    const device = make();
    expect(device.readOnly).toBe(true);
    expect(() => device.write(0, new Uint8Array(1))).toThrow(
      expect.objectContaining({ code: 'EROFS' }) as Error,
    );
    expect(() => zeroRange(device, 0, 512)).toThrow(expect.objectContaining({ code: 'EROFS' }) as Error);
    device.close();
  });
});

test('A FIFO is refused, not waited for', () => {
  const fifo = path.join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  for (const readOnly of [true, false]) {
    expect(() => FileDevice.open(fifo, { readOnly })).toThrow(/neither a regular file nor a block device/);
  }
});

describe('A cache', () => {
  test('does not serve what a failed write may have left half done', () => {
    const memory = new MemoryDevice(8192);
    const device = new CacheDevice(new FaultDevice(memory, { failWritesFrom: 0, tornBytes: 2 }), {
      pageSize: 512,
    });
    expect([...readBytes(device, 0, 4)]).toEqual([0, 0, 0, 0]);
    expect(() => device.write(0, Uint8Array.of(1, 2, 3, 4))).toThrow(FsError);
    expect([...readBytes(device, 0, 4)]).toEqual([1, 2, 0, 0]);
  });

  test('does not keep a page whose read failed', () => {
    const memory = new MemoryDevice(8192);
    memory.write(0, new Uint8Array(8192).fill(9));
    const faulty = new FaultDevice(memory, { badRanges: [{ offset: 1024, length: 512 }] });
    const device = new CacheDevice(faulty, { pageSize: 512, pageCount: 1 });
    expect([...readBytes(device, 0, 2)]).toEqual([9, 9]);
    expect(() => readBytes(device, 1024, 2)).toThrow(FsError);
    expect(() => readBytes(device, 1024, 2)).toThrow(FsError);
    expect([...readBytes(device, 2048, 2)]).toEqual([9, 9]);
  });
});

describe('A fault device', () => {
  test('fails every write from the one that was asked for, the first one torn', () => {
    const memory = new MemoryDevice(1024);
    const device = new FaultDevice(memory, { failWritesFrom: 1, tornBytes: 3 });
    device.write(0, new Uint8Array(4).fill(1));
    expect(() => device.write(4, new Uint8Array(8).fill(2))).toThrow(
      expect.objectContaining({ code: 'EIO' }) as Error,
    );
    expect(() => device.write(12, new Uint8Array(4).fill(3))).toThrow(FsError);
    expect(() => device.zero(0, 4)).toThrow(FsError);
    expect([...memory.toBytes().subarray(0, 16)]).toEqual([1, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(device.writeCount).toBe(4);
  });

  test('fails reads that touch a bad range, and only those', () => {
    const device = new FaultDevice(new MemoryDevice(1024), { badRanges: [{ offset: 100, length: 10 }] });
    expect(() => readBytes(device, 109, 1)).toThrow(FsError);
    expect(() => readBytes(device, 0, 101)).toThrow(FsError);
    expect(readBytes(device, 0, 100)).toHaveLength(100);
    expect(readBytes(device, 110, 900)).toHaveLength(900);
  });
});

describe('A file', () => {
  const blocksOf = (device: FileDevice): number => fs.statSync(device.path).blocks;
  const canPunch = nativeFileOperations() !== undefined;

  test('that is sparse stays so when holes are zeroed', () => {
    const device = newFile(64 << 20);
    expect(blocksOf(device)).toBe(0);
    device.zero(0, device.size);
    expect(blocksOf(device)).toBe(0);
    device.write(10 << 20, pattern(4096, 1));
    const blocks = blocksOf(device);
    device.zero(0, 10 << 20);
    device.zero((10 << 20) + 4096, 50 << 20);
    expect(blocksOf(device)).toBe(blocks);
    expect(readBytes(device, 10 << 20, 4096)).toEqual(pattern(4096, 1));
    device.close();
  });

  test.skipIf(!canPunch)('gets a hole where data is zeroed', () => {
    const device = newFile(4 << 20);
    device.write(0, pattern(4 << 20, 1));
    device.flush();
    const full = blocksOf(device);
    device.zero(1 << 20, 2 << 20);
    expect(blocksOf(device)).toBeLessThanOrEqual(full - ((2 << 20) / 512) * 0.9);
    expect(readBytes(device, 1 << 20, 2 << 20)).toEqual(new Uint8Array(2 << 20));
    expect([...readBytes(device, (1 << 20) - 1, 2)]).toEqual([pattern(1 << 20, 1).at(-1), 0]);
    expect(readBytes(device, 3 << 20, 4)).toEqual(pattern(4 << 20, 1).subarray(3 << 20, (3 << 20) + 4));
    device.close();
  });

  test('keeps its size and what is beside when a few bytes are zeroed', () => {
    const device = newFile(1000);
    device.write(0, pattern(1000, 5));
    device.zero(10, 985);
    const expected = pattern(1000, 5).fill(0, 10, 995);
    expect(readBytes(device, 0, 1000)).toEqual(expected);
    expect(fs.statSync(device.path).size).toBe(1000);
    device.close();
  });

  test('is not made where one is, unless that is meant', () => {
    const device = newFile(10);
    device.write(0, Uint8Array.of(5));
    device.close();
    expect(() => FileDevice.create(device.path, 20)).toThrow(
      expect.objectContaining({ code: 'EEXIST' }) as Error,
    );
    expect(fs.readFileSync(device.path)[0]).toBe(5);
    const again = FileDevice.create(device.path, 20, { overwrite: true });
    expect(readBytes(again, 0, 20)).toEqual(new Uint8Array(20));
    again.close();
  });

  test('says what cannot be a device', () => {
    expect(() => FileDevice.open(folder)).toThrow(expect.objectContaining({ code: 'EISDIR' }) as Error);
    expect(() => FileDevice.open(path.join(folder, 'absent'))).toThrow(
      expect.objectContaining({ code: 'ENOENT' }) as Error,
    );
    expect(() => FileDevice.open('/dev/null')).toThrow(expect.objectContaining({ code: 'EINVAL' }) as Error);
    expect(() => FileDevice.open(folder, { readOnly: true })).toThrow(
      expect.objectContaining({ code: 'EISDIR' }) as Error,
    );
  });

  test('that shrinks under us is an error, not zeros', () => {
    const device = newFile(2000);
    fs.truncateSync(device.path, 1000);
    expect(() => readBytes(device, 900, 200)).toThrow(expect.objectContaining({ code: 'EIO' }) as Error);
    device.close();
  });

  test('may be closed twice', () => {
    const device = newFile(1);
    device.close();
    device.close();
    expect(() => device.read(0, new Uint8Array(1))).toThrow();
  });
});
