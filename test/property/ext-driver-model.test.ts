import path from 'node:path';
import { expect, test } from 'vitest';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import {
  type ImageOptions,
  makeByTool,
  makeExt2,
  saveImage,
  steppingClock,
} from '../support/ext-driver-images.ts';
import { ExtModel } from '../support/ext-driver-model.ts';
import { Random } from '../support/random.ts';
import { describeWithTools, findTool, runTool, memoryFolder } from '../support/tools.ts';

/**
 * Random operations on ext2 and on a tree in memory. After each sequence e2fsck finds nothing, and a fresh open shows
 * the tree. USERLOOP_SEED runs other operations, USERLOOP_ROUNDS so many times as many sequences.
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

/** Volumes that mke2fs makes: `features` stands behind `-O`. */
const ext4Cases: {
  name: string;
  size: number;
  features: string;
  args: readonly string[];
  rounds: number;
  names: readonly string[];
}[] = [
  {
    name: 'ext4 with 1 KiB blocks',
    size: 16 << 20,
    features: '^has_journal,^metadata_csum,^64bit',
    args: ['-b', '1024', '-N', '512'],
    rounds: 6,
    names: LONG_NAMES,
  },
  {
    name: 'ext4 with 2 KiB blocks and small inodes',
    size: 24 << 20,
    features: '^has_journal,^metadata_csum,^64bit,^extra_isize',
    args: ['-b', '2048', '-I', '128'],
    rounds: 4,
    names: SHORT_NAMES,
  },
  {
    name: 'ext4 with 4 KiB blocks',
    size: 32 << 20,
    features: '^has_journal,^metadata_csum,^64bit',
    args: ['-b', '4096'],
    rounds: 6,
    names: LONG_NAMES,
  },
  {
    name: 'ext4 with 1 KiB blocks and checksums',
    size: 16 << 20,
    features: '^has_journal',
    args: ['-b', '1024', '-N', '512'],
    rounds: 4,
    names: LONG_NAMES,
  },
  {
    name: 'ext4 with 4 KiB blocks and checksums',
    size: 32 << 20,
    features: '^has_journal',
    args: ['-b', '4096', '-I', '512'],
    rounds: 4,
    names: SHORT_NAMES,
  },
  {
    name: 'ext4 with inline data in small inodes',
    size: 16 << 20,
    features: '^has_journal,inline_data',
    args: ['-b', '1024', '-I', '256', '-N', '512'],
    rounds: 5,
    names: SHORT_NAMES,
  },
  {
    name: 'ext4 with inline data in large inodes',
    size: 24 << 20,
    features: '^has_journal,^metadata_csum,inline_data',
    args: ['-b', '4096', '-I', '1024'],
    rounds: 5,
    names: LONG_NAMES,
  },
  {
    name: 'ext4 with values in inodes',
    size: 16 << 20,
    features: '^has_journal,ea_inode,inline_data',
    args: ['-b', '1024', '-I', '256', '-N', '1024'],
    rounds: 5,
    names: SHORT_NAMES,
  },
  {
    name: 'ext4 with several small groups',
    size: 12 << 20,
    features: '^has_journal,^metadata_csum,^64bit,^resize_inode,uninit_bg',
    args: ['-b', '1024', '-g', '1024', '-G', '4'],
    rounds: 4,
    names: LONG_NAMES,
  },
  {
    name: 'a nearly full ext4 volume of 1 KiB blocks',
    size: 2 << 20,
    features: '^has_journal,^metadata_csum,^64bit,^resize_inode',
    args: ['-b', '1024', '-m', '0'],
    rounds: 6,
    names: SHORT_NAMES,
  },
  {
    name: 'ext4 with clusters of 8 blocks of 1 KiB',
    size: 24 << 20,
    features: '^has_journal,bigalloc',
    args: ['-b', '1024', '-C', '8192', '-N', '512'],
    rounds: 4,
    names: LONG_NAMES,
  },
  {
    name: 'ext4 with clusters of 4 blocks of 4 KiB, and inline data',
    size: 48 << 20,
    features: '^has_journal,bigalloc,inline_data',
    args: ['-b', '4096', '-C', '16384', '-N', '512'],
    rounds: 3,
    names: SHORT_NAMES,
  },
  {
    name: 'ext4 with clusters of 64 blocks of 1 KiB, and values in inodes',
    size: 64 << 20,
    features: '^has_journal,bigalloc,ea_inode,^metadata_csum',
    args: ['-b', '1024', '-C', '65536', '-N', '1024'],
    rounds: 3,
    names: SHORT_NAMES,
  },
  {
    name: 'a nearly full ext4 volume with clusters of 4 blocks',
    size: 2 << 20,
    features: '^has_journal,bigalloc,^resize_inode',
    args: ['-b', '1024', '-C', '4096', '-m', '0'],
    rounds: 6,
    names: SHORT_NAMES,
  },
];

const folder = memoryFolder();
const judge = findTool('e2fsck');
if (judge === undefined && process.env['CI'] === 'true') throw new Error('Under CI e2fsck must be there');

const FACTOR = Number(process.env['USERLOOP_ROUNDS'] ?? 1);

for (const [index, { name, size, image, rounds, names }] of cases.entries()) {
  test(`random operations on ${name} agree with the model (seed ${SEED})`, () => {
    const make = (): MemoryDevice => makeExt2(size, image);
    play(make, { name, size, names, rounds: rounds * FACTOR, seed: SEED + 1000 * index });
  });
}

describeWithTools(['mke2fs', 'e2fsck'], 'ext4', () => {
  for (const [index, { name, size, features, args, rounds, names }] of ext4Cases.entries()) {
    test(`random operations on ${name} agree with the model (seed ${SEED})`, () => {
      const made = makeByTool(folder, size, ['-t', 'ext4', '-O', features, ...args]).toBytes();
      const make = (): MemoryDevice => MemoryDevice.from(made.slice());
      play(make, { name, size, names, rounds: rounds * FACTOR, seed: SEED + 100_000 + 1000 * index });
    });
  }
});

function play(
  make: () => MemoryDevice,
  options: { name: string; size: number; names: readonly string[]; rounds: number; seed: number },
): void {
  const { name, size, names, rounds } = options;
  const outcomes = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    const seed = options.seed + round;
    const random = new Random(seed);
    const device = make();
    const clock = steppingClock();
    let fs = extDriver.open(device, { clock });
    expect(fs.readOnlyReason).toBe(undefined);
    const largest = Math.min(150_000, size / 8);
    const model = new ExtModel(fs, random, { largest, names });
    if (name.includes('full')) model.fill(50_000);
    for (let i = 0; i < OPERATIONS; i++) {
      model.numberedStep(i, seed);
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
      // A tree that could have fewer nodes side by side is no fault: the kernel leaves such, too.
      const told = (result.stdout + result.stderr).replaceAll(/^.* could be narrower\..*$/gm, '');
      expect(told, `e2fsck of seed ${seed}`).not.toMatch(/\? no\n|WARNING/);
      expect(result.status, `e2fsck of seed ${seed}: ${result.stdout}`).toBe(0);
    }
  }
  const operations = [...outcomes.values()].reduce((sum, times) => sum + times, 0);
  if (FACTOR > 1) process.stderr.write(`${name}: ${operations} operations in ${rounds} sequences\n`);
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
}
