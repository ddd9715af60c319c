import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OwnerMap } from '../../src/filesystem/ext/check/owner-map.ts';
import { SparseBitmap } from '../../src/filesystem/ext/check/sparse.ts';

/** Three chunks of the maps, and a little. */
const SIZE = 3 * (1 << 15) + 100;

/** Ranges of any length that begin and end near each other and near the borders of chunks. */
const range = fc
  .tuple(
    fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(32_760, 32_768, 65_530, 98_300)),
    fc.integer({ min: 0, max: 20 }),
    fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(32_768, 50_000)),
  )
  .map(([base, more, length]) => {
    const start = base + more;
    return { start, length: Math.min(length, SIZE - start) };
  });

describe('What a check keeps of the blocks of a volume', () => {
  test('runs of bits are those of an array, and fill the range that was asked for', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 30 }), range, (sets, asked) => {
        const bitmap = new SparseBitmap();
        const bits = new Uint8Array(SIZE);
        for (const { start, length } of sets) {
          bitmap.setRange(start, length);
          bits.fill(1, start, start + length);
        }
        let at = asked.start;
        bitmap.eachRun(asked.start, asked.length, (start, length, isSet) => {
          expect(start).toBe(at);
          expect(length).toBeGreaterThan(0);
          expect(bits.subarray(start, start + length).every((bit) => bit === (isSet ? 1 : 0))).toBe(true);
          at += length;
        });
        expect(at).toBe(asked.start + asked.length);
      }),
      { numRuns: 200 },
    );
  });

  test('owners are the first who came, and whoever comes later hears of them', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 40 }), (claims) => {
        const map = new OwnerMap();
        const owners = new Uint32Array(SIZE);
        for (const [index, { start, length }] of claims.entries()) {
          const owner = 1 + (index % 20);
          const met = new Set<number>();
          map.claim(start, length, owner, (other) => met.add(other));
          const part = owners.subarray(start, start + length);
          expect(met).toEqual(new Set([...part].filter((other) => other !== 0)));
          for (let i = 0; i < part.length; i++) if (part[i] === 0) part[i] = owner;
        }
        const wrong = owners.findIndex((owner, bit) => map.get(bit) !== owner);
        expect(wrong).toBe(-1);
      }),
      { numRuns: 60 },
    );
  });
});
