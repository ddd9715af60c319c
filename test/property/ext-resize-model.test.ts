import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { BlockDevice } from '../../src/device/block-device.ts';
import { hasCode, UnsupportedError } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { readGeometry } from '../../src/filesystem/ext/geometry.ts';
import { minimumBlockCount, planMinimum, planResize } from '../../src/filesystem/ext/resize/passes.ts';
import { SUPERBLOCK_OFFSET } from '../../src/filesystem/ext/superblock.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { steppingClock } from '../support/ext-driver-images.ts';
import { ExtModel } from '../support/ext-driver-model.ts';
import { Random } from '../support/random.ts';
import { randomVolume, type RandomVolume } from '../support/resize-volumes.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

/**
 * Random volumes with random trees, of which ours and the real resize2fs change the size in turn, with operations of the driver between. After each step
 * e2fsck finds nothing and the tree is the model's. USERLOOP_SEED is the first seed, USERLOOP_ROUNDS takes so many times as many.
 */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 5024);
const SEQUENCES = 8 * Number(process.env['USERLOOP_ROUNDS'] ?? 1);
const STEPS = 4;
const OPERATIONS = 120;
const NAMES = ['a', 'file', 'n'.repeat(200), 'directory-with-a-longer-name-', 'ü'.repeat(100)];

const folder = temporaryFolder();
const image = path.join(folder, 'volume.img');
const before = path.join(folder, 'before.img');

/** What has happened, by how often: a sequence in which everything is refused shows nothing. */
const outcomes = new Map<string, number>();

function count(outcome: string): void {
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
}

describeWithTools(
  ['mke2fs', 'resize2fs', 'e2fsck'],
  'ext volumes of changing size beside a tree in memory',
  () => {
    const seeds = Array.from({ length: SEQUENCES }, (_, index) => SEED + index);

    test.each(seeds)('sequence %i', (seed) => {
      const random = new Random(seed);
      const volume = randomVolume(random);
      make(volume);
      const clock = steppingClock();
      let model: ExtModel | undefined;
      const history = [`mke2fs ${volume.args.join(' ')} ${volume.blockCount}`];
      try {
        for (let step = 0; step < STEPS; step++) {
          model = work(random, model, clock, step === 0 && random.below(2) === 0);
          const done = changeSize(random, volume);
          history.push(done);
          expectClean();
          open(clock, true, (fileSystem) => {
            model!.reopenRenumbered(fileSystem);
            model!.verify();
          });
        }
      } catch (error) {
        throw new Error(`${history.join('; ')}: ${String(error)}`, { cause: error });
      }
    });

    test('most steps were done', () => {
      const told = [...outcomes].map(([what, times]) => `${times} ${what}`);
      if (SEQUENCES > 8) process.stderr.write(`${told.join(', ')}\n`);
      const total = [...outcomes.values()].reduce((sum, times) => sum + times, 0);
      const done = [...outcomes].reduce((sum, [what, times]) => sum + (what.endsWith('done') ? times : 0), 0);
      expect(done / total, told.join(', ')).toBeGreaterThan(0.6);
    });
  },
);

function make({ args, blockCount }: RandomVolume): void {
  fs.rmSync(image, { force: true });
  const made = runTool('mke2fs', ['-q', '-F', ...args, image, `${blockCount}`]);
  expect(made.status, `mke2fs ${args.join(' ')} ${blockCount}: ${made.stderr}`).toBe(0);
}

/** Random operations of the driver. */
function work(
  random: Random,
  last: ExtModel | undefined,
  clock: () => { seconds: number; nanoseconds: number },
  isFull: boolean,
): ExtModel {
  return open(clock, false, (fileSystem) => {
    const largest = random.pick([3000, 40_000, 300_000]);
    const model = last ?? new ExtModel(fileSystem, random, { largest, names: NAMES });
    if (last !== undefined) model.reopenRenumbered(fileSystem);
    // What comes after it lies in the last groups.
    if (isFull) model.fill(fileSystem.usage().freeBlocks * 512);
    const operations = random.below(OPERATIONS);
    for (let operation = 0; operation < operations; operation++) model.step();
    return model;
  });
}

function open<T>(
  clock: () => { seconds: number; nanoseconds: number },
  readOnly: boolean,
  body: (fileSystem: ReturnType<typeof extDriver.open>) => T,
): T {
  const device = FileDevice.open(image, { readOnly });
  try {
    const fileSystem = extDriver.open(device, { clock, readOnly });
    try {
      return body(fileSystem);
    } finally {
      fileSystem.close();
    }
  } finally {
    device.close();
  }
}

/** One change of the size, by ours or by the real tool. Tells what it was. */
function changeSize(random: Random, { args, blockSize, largest }: RandomVolume): string {
  const device = FileDevice.open(image);
  try {
    const { blockCount } = geometryOf(device);
    const roll = random.below(10);
    // With mmp the real tool waits for half a minute.
    const isTheirs = random.below(4) === 0 && !args.join().includes('mmp');
    const wanted =
      roll < 3
        ? undefined
        : roll < 7
          ? Math.floor(blockCount * (0.3 + random.below(70) / 100))
          : blockCount + random.below(largest);
    return isTheirs ? resizeTheirs(wanted) : resizeOurs(device, wanted, blockSize, blockCount);
  } finally {
    device.close();
  }
}

function resizeTheirs(wanted: number | undefined): string {
  fs.copyFileSync(image, before, fs.constants.COPYFILE_FICLONE);
  const size = wanted === undefined ? ['-M', image] : [image, `${wanted}`];
  const told = `resize2fs -f ${size.join(' ')}`;
  const { status } = runTool('resize2fs', ['-f', ...size]);
  const isClean = runTool('e2fsck', ['-fn', image]).status === 0;
  // What the real tool breaks is not ours to judge.
  if (status !== 0 || !isClean) fs.copyFileSync(before, image);
  count(status !== 0 ? 'theirs refused' : isClean ? 'theirs done' : 'theirs broken');
  return status === 0 && isClean ? told : `${told} (taken back)`;
}

function resizeOurs(
  device: BlockDevice,
  wanted: number | undefined,
  blockSize: number,
  blockCount: number,
): string {
  const clock = steppingClock();
  let told = `ours ${wanted ?? '--minimum'}`;
  try {
    const plan =
      wanted === undefined ? planMinimum(device, clock) : planResize(device, { blockCount: wanted, clock });
    told += ` (${blockCount} to ${plan?.blockCount})`;
    if (plan === undefined) return told;
    fs.truncateSync(image, Math.max(blockCount, plan.blockCount) * blockSize);
    const longer = FileDevice.open(image);
    plan.apply(longer);
    longer.close();
    fs.truncateSync(image, plan.blockCount * blockSize);
    count(
      `ours ${wanted === undefined ? 'minimum' : plan.blockCount > blockCount ? 'larger' : 'smaller'} done`,
    );
    return told;
  } catch (error) {
    const isRefused = error instanceof UnsupportedError;
    // Only what becomes smaller can lack room.
    if (!isRefused && !(hasCode(error, 'ENOSPC') && wanted !== undefined && wanted < blockCount)) {
      throw new Error(`${told}: ${String(error)}`, { cause: error });
    }
    if (!isRefused) expect(minimumBlockCount(device, clock), told).toBeGreaterThan(wanted!);
    count(isRefused ? `ours refused ${error.features.join()}` : 'ours without room');
    return `${told} refused`;
  }
}

function geometryOf(device: BlockDevice) {
  const bytes = new Uint8Array(1024);
  device.read(SUPERBLOCK_OFFSET, bytes);
  return readGeometry(new DataView(bytes.buffer), device.size);
}

function expectClean(): void {
  const { status, stdout } = runTool('e2fsck', ['-fn', image]);
  expect(status, stdout.slice(0, 700)).toBe(0);
}
