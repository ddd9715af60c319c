import { describe, expect, test } from 'vitest';
import { chs, chsOfSector, cylinderSize, sectorOfChs } from '../../src/bytes/chs.ts';
import { isZero } from '../../src/bytes/is-zero.ts';
import { formatSize, parseSize } from '../../src/bytes/size.ts';
import { viewOf } from '../../src/bytes/struct.ts';
import {
  fixedClock,
  millisecondsOf,
  timestampFromMilliseconds,
  timestampFromNanoseconds,
} from '../../src/bytes/time.ts';
import { formatUuid, parseUuid, randomUuid } from '../../src/bytes/uuid.ts';

describe('A UUID', () => {
  const text = '00112233-4455-6677-8899-aabbccddeeff';

  test('has its bytes in the order of its digits', () => {
    expect(Buffer.from(parseUuid(text)!).toString('hex')).toBe('00112233445566778899aabbccddeeff');
    expect(formatUuid(parseUuid(text.toUpperCase())!)).toBe(text);
  });

  test.each(['', text.slice(1), `${text}0`, text.replaceAll('-', ''), text.replace('a', 'g'), ` ${text}`])(
    'is not %j',
    (wrong) => expect(parseUuid(wrong)).toBeUndefined(),
  );

  test('from random bytes says version 4, variant 1, and keeps all other bits', () => {
    expect(formatUuid(randomUuid((into) => into.fill(0xff)))).toBe('ffffffff-ffff-4fff-bfff-ffffffffffff');
    expect(formatUuid(randomUuid((into) => into.fill(0)))).toBe('00000000-0000-4000-8000-000000000000');
  });
});

describe('A size', () => {
  test.each([
    ['0', 0],
    ['512', 512],
    ['1440K', 1474560],
    ['1440k', 1474560],
    ['1KiB', 1024],
    ['1KB', 1000],
    ['500MB', 500_000_000],
    ['500MiB', 524_288_000],
    ['2G', 2 ** 31],
    ['1.5M', 1_572_864],
    ['0x1000', 4096],
    ['4T', 2 ** 42],
    ['1P', 2 ** 50],
    [' 7 ', 7],
  ])('%j is %i bytes', (text, size) => expect(parseSize(text)).toBe(size));

  test.each(['', 'K', '-1', '+1', '1.5', '1X', '1KK', '1 2', '8E', '1e3', '0x', '1.M', 'Infinity', 'NaN'])(
    '%j is none',
    (text) => expect(parseSize(text)).toBeUndefined(),
  );

  test.each([
    [0, '0'],
    [1023, '1023'],
    [1024, '1K'],
    [1474560, '1.4M'],
    [516096000, '492M'],
    [2 ** 34, '16G'],
    [2 ** 40, '1T'],
    [1536, '1.5K'],
  ])('of %i bytes is written %j', (size, text) => expect(formatSize(size)).toBe(text));
});

describe('A point in time', () => {
  test('before 1970 has seconds below and nanoseconds above', () => {
    expect(timestampFromMilliseconds(-1)).toEqual({ seconds: -1, nanoseconds: 999_000_000 });
    expect(timestampFromNanoseconds(-1n)).toEqual({ seconds: -1, nanoseconds: 999_999_999 });
    expect(timestampFromNanoseconds(-1_000_000_000n)).toEqual({ seconds: -1, nanoseconds: 0 });
  });

  test('keeps nanoseconds that milliseconds cannot', () => {
    expect(timestampFromNanoseconds(1_700_000_000_123_456_789n)).toEqual({
      seconds: 1_700_000_000,
      nanoseconds: 123_456_789,
    });
  });

  test('goes to milliseconds and back', () => {
    for (const milliseconds of [0, 1, 999, 1000, 1_700_000_000_123, -1, -1001]) {
      expect(millisecondsOf(timestampFromMilliseconds(milliseconds))).toBe(milliseconds);
    }
  });

  test('of a fraction of a millisecond never has a second of nanoseconds', () => {
    for (const milliseconds of [0.9999999, 999.9999999, 1_700_000_000_999.75]) {
      const { seconds, nanoseconds } = timestampFromMilliseconds(milliseconds);
      expect(nanoseconds).toBeLessThan(1_000_000_000);
      expect(seconds * 1e9 + nanoseconds).toBeCloseTo(milliseconds * 1e6, -3);
    }
  });

  test('of a fixed clock stays', () => {
    const clock = fixedClock(86400);
    expect([clock(), clock()]).toEqual([
      { seconds: 86400, nanoseconds: 0 },
      { seconds: 86400, nanoseconds: 0 },
    ]);
  });
});

describe('An address of cylinder, head and sector', () => {
  const geometry = { heads: 16, sectorsPerTrack: 63 };

  test('packs ten bits of cylinder around six of sector', () => {
    const array = new Uint8Array(3);
    chs(0).set(viewOf(array), 0, { cylinder: 999, head: 15, sector: 63 });
    expect(Buffer.from(array).toString('hex')).toBe('0fffe7');
    expect(chs(0).get(viewOf(array), 0)).toEqual({ cylinder: 999, head: 15, sector: 63 });
    chs(0).set(viewOf(array), 0, { cylinder: 0x2a5, head: 0xc3, sector: 1 });
    expect(Buffer.from(array).toString('hex')).toBe('c381a5');
  });

  test('counts cylinders and heads from 0 and sectors from 1', () => {
    expect(chsOfSector(0, geometry)).toEqual({ cylinder: 0, head: 0, sector: 1 });
    expect(chsOfSector(63, geometry)).toEqual({ cylinder: 0, head: 1, sector: 1 });
    expect(chsOfSector(1007999, geometry)).toEqual({ cylinder: 999, head: 15, sector: 63 });
    expect(cylinderSize(geometry)).toBe(1008);
  });

  test('is the sector that it was made of', () => {
    for (const sector of [0, 1, 62, 63, 1007, 1008, 123456, 0xffff_ffff]) {
      expect(sectorOfChs(chsOfSector(sector, geometry), geometry)).toBe(sector);
    }
  });
});

test('All bytes are zero, or the one that is not is found wherever it lies', () => {
  const buffer = new ArrayBuffer(64);
  for (const offset of [0, 1, 2, 3, 4]) {
    for (let length = 0; length < 24; length++) {
      const array = new Uint8Array(buffer, offset, length);
      expect(isZero(array)).toBe(true);
      for (let i = 0; i < length; i++) {
        array[i] = 1;
        expect(isZero(array)).toBe(false);
        array[i] = 0;
      }
      // What lies beside the array does not count.
      new Uint8Array(buffer)[offset + length] = 1;
      expect(isZero(array)).toBe(true);
      new Uint8Array(buffer).fill(0);
    }
  }
});
