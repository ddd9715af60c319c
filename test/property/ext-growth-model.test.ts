import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { MemoryDevice } from '../../src/device/memory-device.ts';
import { hasCode } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { loadImage, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { ExtModel } from '../support/ext-driver-model.ts';
import { Random } from '../support/random.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/**
 * Random operations on a volume that becomes larger meanwhile, against a tree in memory; e2fsck finds nothing in the end. USERLOOP_SEED runs other
 * operations, USERLOOP_ROUNDS more of them.
 */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 77_100);
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 1);
const OPERATIONS = 400;

const NAMES = ['a', 'file', 'n'.repeat(200), 'directory-with-a-longer-name-', 'ü'.repeat(100)];
const MIB = 1 << 20;

/** `most`: MiB of the device. */
const cases: { name: string; size: string; most: number; args: readonly string[] }[] = [
  { name: 'ext2, 1 KiB blocks', size: '4M', most: 48, args: ['-t', 'ext2', '-b', '1024'] },
  {
    name: 'ext2 without room for descriptors',
    size: '3M',
    most: 40,
    args: ['-t', 'ext2', '-b', '1024', '-g', '256', '-O', '^resize_inode'],
  },
  { name: 'ext2, 4 KiB blocks', size: '8M', most: 300, args: ['-t', 'ext2', '-b', '4096'] },
  { name: 'ext3', size: '12M', most: 64, args: ['-t', 'ext3', '-b', '1024'] },
  { name: 'ext4', size: '16M', most: 300, args: ['-t', 'ext4', '-b', '4096'] },
  { name: 'ext4, 1 KiB blocks', size: '12M', most: 64, args: ['-t', 'ext4', '-b', '1024'] },
  {
    name: 'ext4 with small groups and no room for descriptors',
    size: '12M',
    most: 40,
    args: ['-t', 'ext4', '-b', '1024', '-g', '256', '-O', '^resize_inode'],
  },
  {
    name: 'ext4 with meta_bg',
    size: '12M',
    most: 64,
    args: ['-t', 'ext4', '-b', '1024', '-g', '1024', '-O', 'meta_bg,^resize_inode'],
  },
  { name: 'ext4 with quotas', size: '12M', most: 64, args: ['-t', 'ext4', '-b', '1024', '-O', 'quota'] },
  {
    name: 'ext4 with inline data, orphan_file and two backups',
    size: '16M',
    most: 96,
    args: ['-t', 'ext4', '-b', '2048', '-O', 'inline_data,orphan_file,sparse_super2', '-I', '512'],
  },
];

const folder = memoryFolder();

describeWithTools(['mke2fs', 'e2fsck'], 'Volumes that grow in use', () => {
  for (const [index, { name, size, most, args }] of cases.entries()) {
    test(`${name}: agree with the model, and e2fsck finds nothing (seed ${SEED})`, () => {
      const file = path.join(folder, `${index}.img`);
      const made = runTool('mke2fs', ['-q', '-F', ...args, file, size]);
      expect(made.status, made.stderr).toBe(0);
      fs.truncateSync(file, most * MIB);
      let grown = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const image = loadImage(file);
        const seed = SEED + 1000 * index + round;
        grown += play(image, seed, () => check(image, `${file}.done`, seed));
      }
      expect(grown).toBeGreaterThan(2 * ROUNDS);
    });
  }
});

/** Returns how often the volume has grown. */
function play(image: MemoryDevice, seed: number, judge: () => void): number {
  const random = new Random(seed);
  const clock = steppingClock();
  let volume = extDriver.open(image, { clock });
  expect(volume.readOnlyReason).toBeUndefined();
  const model = new ExtModel(volume, random, { largest: 150_000, names: NAMES });
  let grown = 0;
  for (let i = 0; i < OPERATIONS; i++) {
    model.step();
    const roll = random.below(40);
    if (roll < 2) volume.sync();
    else if (roll === 2) volume.settle();
    else if (roll < 6) {
      const { blockCount, blockSize } = sizeOf(image);
      const left = image.size / blockSize - blockCount;
      const wanted = blockCount + Math.floor(left / (1 + random.below(20)));
      expect(() => volume.grow!(blockCount - 1)).toThrow(/can only grow/);
      expect(() => volume.grow!(image.size / blockSize + 1)).toThrow(/the device has/);
      if (model.nameless > 0 && wanted > blockCount) {
        expect(() => volume.grow!(wanted)).toThrow(/still open/);
        expect(sizeOf(image).blockCount).toBe(blockCount);
      } else {
        const isFull = outcomeOf(() => volume.grow!(wanted)) === 'ENOSPC';
        // Where descriptors have no room kept for them, tables have to move. Nothing is changed when they cannot.
        if (isFull) expect(sizeOf(image).blockCount).toBe(blockCount);
        // All of it is durable then: this is what a cut right now would leave.
        if (sizeOf(image).blockCount > blockCount && ++grown % 4 === 1) {
          model.verify(extDriver.open(image, { readOnly: true }));
          judge();
        }
      }
    }
    if (i % 200 === 199) {
      volume.close();
      judge();
      volume = extDriver.open(image, { clock });
      model.reopen(volume);
    }
  }
  model.verify();
  volume.close();
  model.verify(extDriver.open(image, { readOnly: true }));
  judge();
  return grown;
}

function check(image: MemoryDevice, file: string, seed: number): void {
  saveImage(image, file);
  const result = runTool('e2fsck', ['-fn', file]);
  expect(result.stdout + result.stderr, `e2fsck of seed ${seed}`).not.toMatch(/\? no\n|WARNING/);
  expect(result.status, `e2fsck of seed ${seed}: ${result.stdout}`).toBe(0);
}

/** The code of an error that tells of no room; other errors are thrown. */
function outcomeOf(run: () => void): 'done' | 'ENOSPC' {
  try {
    run();
    return 'done';
  } catch (error) {
    if (hasCode(error, 'ENOSPC')) return 'ENOSPC';
    throw error;
  }
}

/** `s_blocks_count_lo` and `s_log_block_size`. */
function sizeOf(image: MemoryDevice): { blockCount: number; blockSize: number } {
  const bytes = new Uint8Array(1024);
  image.read(1024, bytes);
  const view = new DataView(bytes.buffer);
  return { blockCount: view.getUint32(4, true), blockSize: 1024 << view.getUint32(24, true) };
}
