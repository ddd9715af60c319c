import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DirectoryBlockList } from '../../src/filesystem/ext/check/directory-block-list.ts';
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

  test('blocks of directories are those that were added, in their order, and take a run where they are neighbours', () => {
    const extent = fc.record({
      directory: fc.integer({ min: 1, max: 3 }),
      position: fc.integer({ min: 0, max: 4 }),
      // Block 0 stands for data in an inode.
      block: fc.integer({ min: 0, max: 6 }),
      length: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(fc.array(extent, { maxLength: 12 }), fc.integer({ min: 0, max: 3 }), (extents, gone) => {
        const list = new DirectoryBlockList();
        const added: [directory: number, position: number, block: number][] = [];
        for (const { directory, position, block, length } of extents) {
          for (let i = 0; i < (block === 0 ? 1 : length); i++) {
            list.add(directory, position + i, block + i);
            added.push([directory, position + i, block + i]);
          }
        }
        expect(list.blockCount).toBe(added.length);
        expect(list.runCount).toBeLessThanOrEqual(extents.length);
        list.forget(gone);
        const expected = added.map(([directory, ...rest]) => [directory === gone ? 0 : directory, ...rest]);
        const found: number[][] = [];
        for (let index = 0; index < list.runCount; index++) {
          const { directory, position, block, length } = list.run(index);
          for (let i = 0; i < length; i++) found.push([directory, position + i, block + i]);
        }
        expect(found).toEqual(expected);
        for (const asked of [1, 2, 3]) {
          const blocks = expected.filter(([directory]) => directory === asked).map(([, , block]) => block!);
          expect([...list.blocksOf(asked)]).toEqual(blocks.filter((block) => block !== 0));
        }
      }),
      { numRuns: 500 },
    );
  });
});
