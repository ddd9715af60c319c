import { describe, expect, test } from 'vitest';
import {
  bytes,
  i32le,
  struct,
  text,
  token64le,
  u16be,
  u16le,
  u32be,
  u32le,
  u64le,
  u8,
  viewOf,
} from '../../src/bytes/struct.ts';

const Sample = struct('sample', 40, {
  a: u8(0x00),
  b: u16le(0x01),
  c: u32le(0x03),
  d: i32le(0x07),
  e: u16be(0x0b),
  f: u32be(0x0d),
  g: u64le(0x11),
  h: token64le(0x19),
  i: bytes(0x21, 3),
  j: text(0x24, 4, ' '),
});

describe('A structure', () => {
  test('puts every field where it was declared and in its byte order', () => {
    const array = new Uint8Array(42).fill(0xee);
    const view = viewOf(array);
    Sample.a.set(view, 1, 0x01);
    Sample.b.set(view, 1, 0x0203);
    Sample.c.set(view, 1, 0x04050607);
    Sample.d.set(view, 1, -2);
    Sample.e.set(view, 1, 0x0809);
    Sample.f.set(view, 1, 0x0a0b0c0d);
    Sample.g.set(view, 1, 0x1f_1234_5678_9abc);
    Sample.h.set(view, 1, 0xfedc_ba98_7654_3210n);
    Sample.i.set(view, 1, Uint8Array.of(0x71, 0x72));
    Sample.j.set(view, 1, 'ab');
    expect(Buffer.from(array).toString('hex')).toBe(
      'ee' +
        '01' +
        '0302' +
        '07060504' +
        'feffffff' +
        '0809' +
        '0a0b0c0d' +
        'bc9a785634121f00' +
        '1032547698badcfe' +
        '717200' +
        '61622020' +
        'ee',
    );
    const read = Object.values(Sample.$fields).map((field) => field.get(view, 1));
    expect(read).toEqual([
      0x01,
      0x0203,
      0x04050607,
      -2,
      0x0809,
      0x0a0b0c0d,
      0x1f_1234_5678_9abc,
      0xfedc_ba98_7654_3210n,
      Uint8Array.of(0x71, 0x72, 0),
      'ab',
    ]);
  });

  test('refuses fields that overlap, by name', () => {
    expect(() => struct('bad', 8, { one: u32le(0), two: u16le(3) })).toThrow(
      new TypeError('bad.two at 0x3 overlaps one'),
    );
    expect(() => struct('bad', 8, { late: u16le(0), early: u8(1) })).toThrow(TypeError);
  });

  test('lets fields overlap where that is said', () => {
    const union = struct('union', 4, { whole: u32le(0), low: u16le(0) }, { overlapping: true });
    expect(union.$size).toBe(4);
  });

  test('refuses fields past its end', () => {
    expect(() => struct('short', 7, { last: u32le(4) })).toThrow(
      new TypeError('short.last ends at 8, past the size of 7'),
    );
    expect(() => struct('union', 3, { whole: u32le(0), low: u8(0) }, { overlapping: true })).toThrow(
      TypeError,
    );
  });

  test('gives bytes in place, not a copy', () => {
    const array = new Uint8Array(40);
    Sample.i.get(viewOf(array), 0)[1] = 9;
    expect(array[0x22]).toBe(9);
  });

  test('refuses bytes and text that do not fit', () => {
    const view = viewOf(new Uint8Array(40));
    expect(() => Sample.i.set(view, 0, new Uint8Array(4))).toThrow(RangeError);
    expect(() => Sample.j.set(view, 0, 'abcde')).toThrow(RangeError);
  });

  test('cuts text at the first NUL and drops what it is padded with', () => {
    const field = text(0, 6, ' ');
    const of = (content: string): string => field.get(viewOf(Buffer.from(content, 'latin1')), 0);
    expect(of('ab c  ')).toBe('ab c');
    expect(of('ab\0cd ')).toBe('ab');
    expect(of('      ')).toBe('');
    expect(of('\xe9\xff    ')).toBe('\xe9\xff');
    expect(text(0, 4).get(viewOf(Buffer.from('ab \0')), 0)).toBe('ab ');
  });

  test('sees only the bytes of the array it is given, wherever those lie in their buffer', () => {
    const whole = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const part = whole.subarray(2, 6);
    expect(u32le(0).get(viewOf(part), 0)).toBe(0x06050403);
    expect(() => u32le(1).get(viewOf(part), 0)).toThrow(RangeError);
  });
});
