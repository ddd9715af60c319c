import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { FaultDevice } from '../../src/device/fault-device.ts';
import { MemoryDevice } from '../../src/device/memory-device.ts';
import { hasCode } from '../../src/errors.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { planMinimum, planResize } from '../../src/filesystem/ext/resize/passes.ts';
import { Random } from '../support/random.ts';
import { treeOfVolume } from '../support/ext-driver-trees.ts';
import { cutKinds, RecordedDevice } from '../support/recorded-device.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

/** Every write from 2 on, every third with 1. */
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 1);
const SEED = Number(process.env['USERLOOP_SEED'] ?? 12_000);
const BLOCK = 1024;
const folder = memoryFolder();
const clock = () => ({ seconds: 1_600_000_000, nanoseconds: 0 });

/** Small groups, the first ones mostly emptied: what shrinks has inodes and directories to move. */
function makeImage(options: readonly string[]): Uint8Array {
  const tree = path.join(folder, 'tree');
  const image = path.join(folder, 'volume.img');
  fs.rmSync(tree, { recursive: true, force: true });
  for (const directory of 'abcdefgh') {
    fs.mkdirSync(path.join(tree, directory, 'below'), { recursive: true });
    for (let file = 1; file <= 12; file++) {
      const content = Buffer.alloc(300 * file, `${directory}${file}`);
      fs.writeFileSync(path.join(tree, directory, `file${file}`), content);
    }
    fs.symlinkSync(`${'long/'.repeat(20)}${directory}`, path.join(tree, directory, 'slow'));
  }
  fs.writeFileSync(image, '');
  fs.truncateSync(image, 6144 * BLOCK);
  const fixed = ['-q', '-F', '-b', `${BLOCK}`, '-g', '1024', '-N', '240', '-d', tree];
  const made = runTool('mke2fs', [...fixed, ...options, image]);
  expect(made.status, made.stderr).toBe(0);
  const commands: string[] = [];
  for (const directory of 'abcd') {
    for (let file = 1; file <= 12; file++) {
      commands.push(`rm /${directory}/file${file}`);
      fs.rmSync(path.join(tree, directory, `file${file}`));
    }
  }
  fs.writeFileSync(path.join(folder, 'commands'), `${commands.join('\n')}\n`);
  runTool('debugfs', ['-w', '-f', path.join(folder, 'commands'), image]);
  return fs.readFileSync(image);
}

/** The bytes after a resize, with 0 to the smallest size, whose writes fail from number `cut` on, and how many writes it would have. */
function resizeUntil(
  before: Uint8Array,
  blockCount: number,
  cut: number,
): { readonly bytes: Uint8Array; readonly writes: number } {
  const all = new Uint8Array(Math.max(before.length, blockCount * BLOCK));
  all.set(before);
  const device = MemoryDevice.from(all);
  const faulty = new FaultDevice(device, { failWritesFrom: cut });
  const plan = blockCount === 0 ? planMinimum(faulty, clock)! : planResize(faulty, { blockCount, clock });
  try {
    plan.apply();
  } catch (error) {
    if (!hasCode(error, 'EIO')) throw error;
  }
  return { bytes: device.toBytes(), writes: faulty.writeCount };
}

const cases: readonly (readonly [number, string])[] = [
  [3100, '-t ext4 -O ^has_journal'],
  [12000, '-t ext4 -O ^has_journal'],
  [0, '-t ext4 -O ^has_journal'],
  [3100, '-t ext4 -O ^has_journal,inline_data -I 256'],
  // e2fsck waits for a quarter of a minute at each.
  ...(ROUNDS > 1 ? ([[3100, '-t ext4 -O ^has_journal,mmp']] as const) : []),
  [3100, '-t ext2'],
  [12000, '-t ext2 -O ^resize_inode'],
];

describeWithTools(['mke2fs', 'e2fsck', 'debugfs'], 'a resize that is cut short', () => {
  test.each(cases)('to %i blocks cut at one write after the other, %s', (blockCount, options) => {
    const before = makeImage(options.split(' '));
    const { writes } = resizeUntil(before, blockCount, Number.POSITIVE_INFINITY);
    expect(writes).toBeGreaterThan(5);
    for (let cut = 0; cut <= writes; cut += ROUNDS > 1 ? 1 : 3)
      expectWhole(resizeUntil(before, blockCount, cut).bytes, cut);
  });
});

/** As `resizeUntil`, of a volume in use: a file was written and made durable before, which the first `prior` writes are. */
function growUntil(
  before: Uint8Array,
  blockCount: number,
  cut: number,
): { readonly bytes: Uint8Array; readonly prior: number; readonly writes: number } {
  const all = new Uint8Array(blockCount * BLOCK);
  all.set(before);
  const device = MemoryDevice.from(all);
  const faulty = new FaultDevice(device, { failWritesFrom: cut });
  const volume = extDriver.open(faulty, { clock });
  const node = volume.create(volume.root, 'fresh', { kind: 'file', mode: 0o644 });
  volume.write(node, 0, Buffer.alloc(9000, 'fresh'));
  volume.sync();
  const prior = faulty.writeCount;
  try {
    volume.grow!(blockCount);
  } catch (error) {
    if (!hasCode(error, 'EIO')) throw error;
  }
  return { bytes: device.toBytes(), prior, writes: faulty.writeCount };
}

const grown: readonly (readonly [number, string])[] = [
  [12000, '-t ext4 -J size=1'],
  [12000, '-t ext4 -J size=1 -O ^resize_inode'],
  [12000, '-t ext2'],
];

const shuffled: readonly (readonly [number, string])[] = [
  ...grown,
  [15_000, '-t ext4 -J size=1 -O quota,orphan_file,sparse_super2'],
  [9000, '-t ext4 -O ^has_journal,^resize_inode,meta_bg'],
];

describeWithTools(['mke2fs', 'e2fsck', 'debugfs'], 'growth in use that is cut short', () => {
  test.each(grown)('to %i blocks cut at one write after the other, %s', (blockCount, options) => {
    const before = makeImage(options.split(' '));
    fs.writeFileSync(path.join(folder, 'tree', 'fresh'), Buffer.alloc(9000, 'fresh'));
    const { prior, writes } = growUntil(before, blockCount, Number.POSITIVE_INFINITY);
    expect(writes - prior).toBeGreaterThan(5);
    for (let cut = prior; cut <= writes; cut += ROUNDS > 1 ? 1 : 3)
      expectWhole(growUntil(before, blockCount, cut).bytes, cut);
  });
});

describeWithTools(['mke2fs', 'e2fsck'], 'growth in use', () => {
  test.each(shuffled)(
    'leaves all files where writes between two flushes were lost or torn, to %i blocks, %s',
    (blockCount, options) => {
      const before = makeImage(options.split(' '));
      for (let round = 0; round < ROUNDS; round++) {
        const random = new Random(SEED + round);
        const all = new Uint8Array(blockCount * BLOCK);
        all.set(before);
        const device = new RecordedDevice(all);
        const volume = extDriver.open(device, { clock });
        for (let i = random.below(30); i >= 0; i--) {
          const file = volume.create(volume.root, `fresh${i}`, { kind: 'file' });
          volume.write(file, 0, random.bytes(1 + random.below(30_000)));
          if (random.below(3) === 0) volume.unlink(volume.root, `fresh${i}`);
        }
        volume.sync();
        const first = device.flushes;
        const tree = treeOfVolume(volume);
        volume.grow!(blockCount - random.below(3000));
        const last = device.flushes;
        expect(treeOfVolume(volume)).toEqual(tree);
        volume.close();
        device.forEachCut(
          random,
          (epoch) => (epoch >= first && epoch <= last ? cutKinds(random, 2) : []),
          (cut, epoch, kind) => {
            const what = `seed ${SEED + round}, ${kind} of the writes after flush ${epoch}`;
            const copy = path.join(folder, 'copy.img');
            fs.writeFileSync(copy, cut);
            const mended = runTool('e2fsck', ['-fy', copy]);
            expect(mended.status, `${what}: ${mended.stdout}`).toBeLessThan(4);
            const device = MemoryDevice.from(new Uint8Array(fs.readFileSync(copy)), { readOnly: true });
            expect(
              treeOfVolume(extDriver.open(device, { readOnly: true })),
              `${what}: ${mended.stdout}`,
            ).toEqual(tree);
          },
        );
      }
    },
  );
});

/** Repairs a copy, here only, and compares the tree. */
function expectWhole(bytes: Uint8Array, cut: number): void {
  const copy = path.join(folder, 'copy.img');
  const out = path.join(folder, 'out');
  fs.writeFileSync(copy, bytes);
  const mended = runTool('e2fsck', ['-fy', copy]);
  expect(mended.status, `write ${cut}: ${mended.stdout}`).toBeLessThan(4);
  fs.rmSync(out, { recursive: true, force: true });
  fs.mkdirSync(out);
  runTool('debugfs', ['-R', `rdump / ${out}`, copy]);
  fs.rmSync(path.join(out, 'lost+found'), { recursive: true });
  const difference = runTool('diff', ['-r', '--no-dereference', path.join(folder, 'tree'), out]);
  expect(difference.stdout + difference.stderr, `write ${cut}: ${mended.stdout}`).toBe('');
}
