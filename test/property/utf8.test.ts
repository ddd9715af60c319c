import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeUtf8, encodeUtf8, encodeUtf8Into, utf8Length } from '../../src/bytes/utf8.ts';

/** Bytes of which many are the beginnings, middles and ends of sequences. */
const nearlyUtf8 = fc.array(
  fc.oneof(
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(0x80, 0xbf, 0xc0, 0xc1, 0xc2, 0xe0, 0xed, 0xa0, 0x9f, 0xf0, 0xf4, 0x8f, 0x90, 0xf5, 0xff),
  ),
  { maxLength: 40 },
);

describe('UTF-8 of file names', () => {
  test('gives any bytes back', () => {
    fc.assert(
      fc.property(nearlyUtf8, (numbers) => {
        const bytes = Uint8Array.from(numbers);
        const text = decodeUtf8(bytes);
        expect(encodeUtf8(text)).toEqual(bytes);
        expect(utf8Length(text)).toBe(bytes.length);
      }),
      { numRuns: 3000 },
    );
  });

  test('is what the platform takes it for, where it is well-formed', () => {
    const encoder = new TextEncoder();
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const bytes = encoder.encode(text);
        expect(encodeUtf8(text)).toEqual(bytes);
        expect(decodeUtf8(bytes)).toBe(decoder.decode(bytes));
        expect(utf8Length(text)).toBe(bytes.length);
      }),
      { numRuns: 2000 },
    );
  });

  test('decodes as one what is well-formed and byte by byte what is not', () => {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    fc.assert(
      fc.property(nearlyUtf8, (numbers) => {
        const bytes = Uint8Array.from(numbers);
        let expected: string | undefined;
        try {
          expected = decoder.decode(bytes);
        } catch {
          expected = undefined;
        }
        const escaped = /[\udc80-\udcff]/.test(
          decodeUtf8(bytes).replaceAll(/[\ud800-\udbff][\udc00-\udfff]/g, ''),
        );
        expect(escaped).toBe(expected === undefined);
        if (expected !== undefined) expect(decodeUtf8(bytes)).toBe(expected);
      }),
      { numRuns: 3000 },
    );
  });

  test('decodes a part of an array', () => {
    expect(decodeUtf8(Buffer.from('xaäb'), 1, 4)).toBe('aä');
    // Cut within a sequence: the bytes that are there.
    expect(decodeUtf8(Buffer.from('xaäb'), 1, 3)).toBe('a\udcc3');
  });

  test('refuses to write past the end of an array', () => {
    expect(encodeUtf8Into('aä', new Uint8Array(4), 1)).toBe(3);
    expect(() => encodeUtf8Into('aä', new Uint8Array(3), 1)).toThrow(
      new RangeError('Text of 3 bytes does not fit in 2'),
    );
  });
});
