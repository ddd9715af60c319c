import path from 'node:path';
import { expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { type ImageOptions, makeExt2, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { ExtModel, Random } from '../support/ext-driver-model.ts';
import { findTool, runTool, temporaryFolder } from '../support/tools.ts';

/**
 * Random operations on ext2 and on a tree in memory. After each sequence e2fsck finds nothing, and a fresh open shows
 * the tree. USERLOOP_SEED runs other operations.
 */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 20_240);
const OPERATIONS = 450;

const SHORT_NAMES = ['a', 'file', 'b.txt', 'ä'];
const LONG_NAMES = ['n'.repeat(200), 'directory-with-a-longer-name-', 'x', 'ü'.repeat(100)];

const cases: { name: string; size: number; image: ImageOptions; rounds: number; names: readonly string[] }[] =
  [
    {
      name: '1 KiB blocks, small inodes',
      size: 16 << 20,
      image: { blockSize: 1024, inodeSize: 128 },
      rounds: 8,
      names: LONG_NAMES,
    },
    {
      name: '1 KiB blocks, large inodes',
      size: 16 << 20,
      image: { blockSize: 1024, inodeSize: 256 },
      rounds: 8,
      names: SHORT_NAMES,
    },
    {
      name: '2 KiB blocks',
      size: 24 << 20,
      image: { blockSize: 2048, inodeSize: 256 },
      rounds: 6,
      names: LONG_NAMES,
    },
    {
      name: '4 KiB blocks',
      size: 32 << 20,
      image: { blockSize: 4096, inodeSize: 256 },
      rounds: 6,
      names: LONG_NAMES,
    },
    {
      name: '4 KiB blocks without indexes and types',
      size: 32 << 20,
      image: { blockSize: 4096, inodeSize: 128, features: '^dir_index,^filetype' },
      rounds: 5,
      names: LONG_NAMES,
    },
    {
      name: '1 KiB blocks without indexes',
      size: 16 << 20,
      image: { blockSize: 1024, inodeSize: 128, features: '^dir_index' },
      rounds: 5,
      names: LONG_NAMES,
    },
    {
      name: 'several small groups',
      size: 12 << 20,
      image: { blockSize: 1024, blocksPerGroup: 1024 },
      rounds: 6,
      names: SHORT_NAMES,
    },
    {
      name: 'a nearly full volume of 1 KiB blocks',
      size: 300 << 10,
      image: { blockSize: 1024 },
      rounds: 8,
      names: LONG_NAMES,
    },
    {
      name: 'a nearly full volume of 4 KiB blocks',
      size: 1 << 20,
      image: { blockSize: 4096, inodeSize: 256 },
      rounds: 6,
      names: LONG_NAMES,
    },
    {
      name: 'a volume short of inodes',
      size: 8 << 20,
      image: { blockSize: 1024, inodeCount: 32 },
      rounds: 4,
      names: SHORT_NAMES,
    },
  ];

const folder = temporaryFolder();
const judge = findTool('e2fsck');
if (judge === undefined && process.env['CI'] === 'true') throw new Error('Under CI e2fsck must be there');

for (const [index, { name, size, image, rounds, names }] of cases.entries()) {
  test(`random operations on ${name} agree with the model (seed ${SEED})`, () => {
    const outcomes = new Map<string, number>();
    for (let round = 0; round < rounds; round++) {
      const seed = SEED + 1000 * index + round;
      const random = new Random(seed);
      const device = makeExt2(size, image);
      const clock = steppingClock();
      let fs = extDriver.open(device, { clock });
      const largest = Math.min(150_000, size / 8);
      const model = new ExtModel(fs, random, { largest, names });
      if (name.includes('full')) model.fill(50_000);
      for (let i = 0; i < OPERATIONS; i++) {
        try {
          model.step();
        } catch (error) {
          throw new Error(`Operation ${i} of seed ${seed} failed`, { cause: error });
        }
        if (i % 150 === 149) {
          fs.close();
          fs = extDriver.open(device, { clock });
          model.reopen(fs);
        }
      }
      model.verify();
      for (const [outcome, count] of model.outcomes)
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + count);
      fs.close();
      const fresh = extDriver.open(device, { readOnly: true });
      model.verify(fresh);
      if (judge !== undefined) {
        const file = path.join(folder, 'model.img');
        saveImage(device, file);
        const result = runTool('e2fsck', ['-fn', file]);
        expect(result.stdout + result.stderr, `e2fsck of seed ${seed}`).not.toMatch(/\? no\n|WARNING/);
        expect(result.status, `e2fsck of seed ${seed}: ${result.stdout}`).toBe(0);
      }
    }
    for (const outcome of [
      'create done',
      'write done',
      'rename done',
      'link done',
      'setxattr done',
      'rmdir done',
    ]) {
      expect(outcomes.get(outcome) ?? 0, outcome).toBeGreaterThan(3);
    }
    if (name.includes('full')) expect(outcomes.get('write ENOSPC') ?? 0).toBeGreaterThan(0);
    if (name.includes('short')) expect(outcomes.get('create ENOSPC')).toBeGreaterThan(0);
  });
}
