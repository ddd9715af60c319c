import { expect, test } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import {
  DEFAULT_GRACE,
  ENTRIES_PER_BLOCK,
  EntriesHeader,
  NO_LIMITS,
  QuotaEntry,
  QuotaHeader,
  type QuotaRecord,
  TREE_BLOCK,
} from '../../src/filesystem/ext/quota-entry.ts';
import { makeQuotaFile, readQuotaFile, readSoundQuotaFile } from '../../src/filesystem/ext/quota-file.ts';
import { type QuotaBlocks, QuotaTree } from '../../src/filesystem/ext/quota-tree.ts';
import { Random } from '../support/random.ts';

/** A quota file in memory that has room to grow. */
class Blocks implements QuotaBlocks {
  readonly bytes = new Uint8Array(4000 * TREE_BLOCK);

  constructor(content: Uint8Array) {
    this.bytes.set(content);
  }

  look(block: number): DataView {
    return viewOf(this.bytes.subarray(block * TREE_BLOCK, (block + 1) * TREE_BLOCK));
  }

  change(block: number): DataView {
    return this.look(block);
  }
}

function recordOf(id: number): QuotaRecord {
  return { ...NO_LIMITS, id, space: BigInt(id) + 5n, inodes: 1n };
}

function sourceOf(bytes: Uint8Array) {
  return {
    size: bytes.length,
    maxBlocks: bytes.length / TREE_BLOCK,
    read: (block: number, into: Uint8Array) =>
      into.set(bytes.subarray(block * TREE_BLOCK, (block + 1) * TREE_BLOCK)),
  };
}

function faultOf(bytes: Uint8Array): string | undefined {
  return readSoundQuotaFile(sourceOf(bytes), 'user', () => {}).fault;
}

test('Entries that come and go leave a sound tree, which grows by what was told', () => {
  const random = new Random(7);
  const blocks = new Blocks(makeQuotaFile('user', []));
  const tree = new QuotaTree(blocks);
  const positions = new Map<number, number>();
  let most = 0;
  for (let i = 0; i < 4000; i++) {
    const isFull = i % 1000 > 600;
    const known = [...positions.keys()];
    if (known.length > 0 && random.below(10) < (isFull ? 8 : 2)) {
      const id = random.pick(known);
      tree.delete(id, positions.get(id)!);
      positions.delete(id);
    } else {
      const id = random.pick([random.below(400), random.below(2 ** 32), 0xffff_ffff - random.below(300)]);
      if (positions.has(id)) continue;
      const expected = tree.blockCount + tree.growth(id);
      const position = tree.insert(id);
      expect(tree.blockCount).toBe(expected);
      positions.set(id, position);
      const view = blocks.look(Math.floor(position / TREE_BLOCK));
      QuotaEntry.dqb_curinodes.set(view, position % TREE_BLOCK, 1n);
    }
    most = Math.max(most, positions.size);
    if (i % 50 !== 0) continue;
    const found = new Map<number, number>();
    const state = readSoundQuotaFile(sourceOf(blocks.bytes), 'user', (id, at) => found.set(id, at));
    expect(state).toEqual({ fault: undefined, hasMagic: true, grace: DEFAULT_GRACE });
    expect(found).toEqual(positions);
  }
  expect(most).toBeGreaterThan(300);
  for (const [id, position] of positions) tree.delete(id, position);
  expect(faultOf(blocks.bytes)).toBeUndefined();
  const before = tree.blockCount;
  for (let id = 0; id < ENTRIES_PER_BLOCK * 3; id++) tree.insert(id);
  expect(tree.blockCount).toBe(before);
});

test('The entry of 0 without anything is not an empty place', () => {
  const blocks = new Blocks(makeQuotaFile('user', []));
  const position = new QuotaTree(blocks).insert(0);
  const found: QuotaRecord[] = [];
  readQuotaFile(sourceOf(blocks.bytes), 'user', (record) => void found.push(record));
  expect(found).toEqual([{ ...NO_LIMITS, id: 0, space: 0n, inodes: 0n, inodeTime: 1n }]);
  expect(position).toBe(5 * TREE_BLOCK + 16);
});

test('What could lead a later change astray is a fault', () => {
  const good = makeQuotaFile(
    'user',
    Array.from({ length: 40 }, (_, i) => recordOf(i * 70_000)),
  );
  expect(faultOf(good)).toBeUndefined();
  expect(faultOf(makeQuotaFile('group', [recordOf(1)]))).toMatch(
    /does not begin with the number of user quotas/,
  );
  const leaf = 5;
  const cases: readonly (readonly [damage: (view: DataView) => void, fault: RegExp])[] = [
    [(view) => QuotaHeader.dqi_free_blk.set(view, 0, leaf), /block 5 of it is not free/],
    [(view) => QuotaHeader.dqi_free_entry.set(view, 0, 1), /block 1 of it does not hold entries/],
    [
      (view) => QuotaHeader.dqi_free_entry.set(view, 0, 0),
      /has 12 entries, and is not among those with room/,
    ],
    [(view) => QuotaHeader.dqh_version.set(view, 0, 0), /entr|version/],
    [(view) => EntriesHeader.dqdh_entries.set(view, leaf * TREE_BLOCK, 3), /has 14 entries, and says 3/],
    [
      (view) => QuotaEntry.dqb_id.set(view, leaf * TREE_BLOCK + 16, 9),
      /the entry of 9 is not where its number leads/,
    ],
    [(view) => QuotaEntry.dqb_id.set(view, leaf * TREE_BLOCK + 16, 70_000), /70000 has two entries/],
    [(view) => view.setUint32(3 * TREE_BLOCK + 4 * 200, 4, true), /two places|leads to/],
    [
      (view) => view.setUint32(4 * TREE_BLOCK + 4 * 200, leaf, true),
      /has 40 entries, and its tree leads to 41/,
    ],
  ];
  for (const [damage, fault] of cases) {
    const bytes = good.slice();
    damage(viewOf(bytes));
    expect(faultOf(bytes)).toMatch(fault);
  }
});
