import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { MemoryDevice } from '../../src/device/memory-device.ts';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import type { FileSystem } from '../../src/filesystem/file-system.ts';
import { loadImage, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { ExtModel } from '../support/ext-driver-model.ts';
import { Random } from '../support/random.ts';
import {
  canMount,
  treeOfHost,
  treeOfVolume,
  type TreeLines,
  withMount,
} from '../support/ext-driver-trees.ts';
import { execFileSync } from '../support/programs.ts';
import { userloop } from '../support/run.ts';
import { findTool, memoryFolder, runTool } from '../support/tools.ts';

/**
 * USERLOOP_IMAGES: images that we write, and as many that the kernel and mke2fs -d write; USERLOOP_FIRST: the number of the first, which
 * decides its kind and its seed, so that a long run can be done in parts; USERLOOP_SEED runs other operations.
 */
const IMAGES = Number(process.env['USERLOOP_IMAGES'] ?? 4);
const FIRST = Number(process.env['USERLOOP_FIRST'] ?? 0);
const SEED = Number(process.env['USERLOOP_SEED'] ?? 86_000);
const OPERATIONS = 300;
const NAMES = ['a', 'file', 'n'.repeat(200), 'ü'.repeat(100)];

/** For mke2fs; each way of filling meets each of them, since there are seven of these. */
const FORMATS: readonly string[][] = [
  ['-t', 'ext2', '-b', '1024'],
  ['-t', 'ext2', '-b', '4096', '-I', '128'],
  ['-t', 'ext3', '-b', '1024'],
  ['-t', 'ext4', '-b', '1024'],
  ['-t', 'ext4', '-b', '4096'],
  ['-t', 'ext4', '-b', '1024', '-O', 'inline_data', '-g', '2048'],
  ['-t', 'ext4', '-b', '2048', '-O', '^extent,^64bit,^metadata_csum'],
];

const OPTIONS = { xattrs: true, times: true };

const folder = memoryFolder();
const possible = canMount() && ['mke2fs', 'e2fsck', 'getfattr'].every((tool) => findTool(tool) !== undefined);

interface Filling {
  readonly name: string;
  readonly fill: (volume: FileSystem, random: Random) => void;
}

const FILLINGS: readonly Filling[] = [
  { name: 'a tree', fill: fillTree },
  { name: 'random operations', fill: (volume, random) => operate(volume, random, 60_000) },
  { name: 'a nearly full volume', fill: fillUp },
  { name: 'a fragmented volume', fill: fillInPieces },
];

describe.skipIf(!possible)('Images of ours and of the kernel [root, mke2fs, e2fsck, getfattr]', () => {
  test(`${IMAGES} that we wrote are clean and show the kernel the same tree (seed ${SEED})`, async () => {
    for (let index = FIRST; index < FIRST + IMAGES; index++) {
      const { name, fill } = FILLINGS[index % FILLINGS.length]!;
      const format = FORMATS[index % FORMATS.length]!;
      const what = `image ${index}: ${name}, ${format.join(' ')}`;
      const image = path.join(folder, 'ours.img');
      fs.writeFileSync(image, '');
      fs.truncateSync(image, 16 << 20);
      expect((await userloop(['mke2fs', '-q', '-F', ...format, image])).status).toBe(0);
      const device = loadImage(image);
      const volume = extDriver.open(device, { clock: steppingClock() });
      fill(volume, new Random(SEED + index));
      const tree = asKernelShows(treeOfVolume(volume, OPTIONS));
      volume.close();
      saveImage(device, image);
      expectClean(image, what);
      withMount(image, 'ro', (mounted) => {
        expect(treeOfHost(mounted, OPTIONS), what).toEqual(tree);
      });
      fs.rmSync(image);
    }
  });

  test(`${IMAGES} that the kernel and mke2fs -d wrote show us the same tree, and are clean after our changes (seed ${SEED})`, () => {
    for (let index = FIRST; index < FIRST + IMAGES; index++) {
      const random = new Random(SEED + 100_000 + index);
      const format = FORMATS[index % FORMATS.length]!;
      const byTool = index % 2 === 1;
      const what = `image ${index} by ${byTool ? 'mke2fs' : 'the kernel'}, ${format.join(' ')}`;
      const image = path.join(folder, 'theirs.img');
      const source = path.join(folder, 'source');
      if (byTool) makeHostTree(source, random);
      const more = byTool ? ['-d', source] : [];
      const made = runTool('mke2fs', ['-q', '-F', ...format, ...more, image, '24M']);
      expect(made.status, made.stderr).toBe(0);
      if (!byTool) {
        withMount(image, 'rw', (mounted) => {
          makeHostTree(path.join(mounted, 'tree'), random);
          makeFragments(path.join(mounted, 'pieces'), random);
        });
      }
      const theirs = withMount(image, 'ro', (mounted) => treeOfHost(mounted, OPTIONS));
      const device = loadImage(image);
      let volume = extDriver.open(device, { readOnly: true });
      expect(treeOfVolume(volume, OPTIONS), what).toEqual(theirs);
      volume = extDriver.open(device, { clock: steppingClock() });
      change(volume, random);
      const ours = treeOfVolume(volume, OPTIONS);
      volume.close();
      saveChanged(device, image, what);
      withMount(image, 'ro', (mounted) => expect(treeOfHost(mounted, OPTIONS), what).toEqual(ours));
      fs.rmSync(image);
      fs.rmSync(source, { recursive: true, force: true });
    }
  });
});

/** It keeps what users attach to files and directories only, from others. */
function asKernelShows(tree: TreeLines): TreeLines {
  const lines = Object.entries(tree).map(([name, line]) => [
    name,
    /^[fd]/.test(line) ? line : line.replaceAll(/ user\.\S*=[0-9a-f]*/g, ''),
  ]);
  return Object.fromEntries(lines) as TreeLines;
}

function expectClean(image: string, what: string): void {
  const { status, stdout } = runTool('e2fsck', ['-fn', image]);
  // A tree that could have fewer nodes side by side is no fault: the kernel leaves such, too.
  const told = stdout.replaceAll(/^.* could be narrower\..*$/gm, '');
  expect(told, what).not.toMatch(/\? no\n|WARNING/);
  expect(status, `${what}: ${stdout}`).toBe(0);
}

function saveChanged(device: MemoryDevice, image: string, what: string): void {
  saveImage(device, image);
  expectClean(image, what);
}

function fillTree(volume: FileSystem, random: Random): void {
  let directory = volume.root;
  for (let level = 0; level < 8; level++) {
    directory = volume.create(directory, `level ${level}`, { kind: 'directory', mode: 0o2755, uid: level });
    for (let i = random.below(60); i >= 0; i--) {
      const file = volume.create(directory, `${i}${random.pick(NAMES)}`, { kind: 'file', uid: 70_000 + i });
      volume.write(file, random.below(3) * random.below(100_000), random.bytes(random.below(5000)));
      if (i % 5 === 0) volume.setXattr(file, 'user.größe', random.bytes(random.below(100)));
      if (i % 7 === 0) volume.link(file, volume.root, `link ${level} ${i}`);
    }
    volume.create(directory, 'symlink', { kind: 'symlink', target: 't'.repeat(1 + random.below(900)) });
    volume.create(directory, 'fifo', { kind: 'fifo', mode: 0o600 });
    volume.create(directory, 'device', {
      kind: 'block-device',
      device: { major: random.below(4096), minor: random.below(1 << 20) },
    });
  }
}

/** Random operations that agree with the model. */
function operate(volume: FileSystem, random: Random, largest: number): ExtModel {
  const model = new ExtModel(volume, random, { largest, names: NAMES });
  for (let i = 0; i < OPERATIONS; i++) model.step();
  model.verify();
  return model;
}

function fillUp(volume: FileSystem, random: Random): void {
  const model = new ExtModel(volume, random, { largest: 20_000, names: NAMES });
  model.fill(120_000);
  for (let i = 0; i < OPERATIONS; i++) model.step();
  model.verify();
}

/** Every second small file goes; what is written then lies in the gaps. */
function fillInPieces(volume: FileSystem, random: Random): void {
  const directory = volume.create(volume.root, 'small', { kind: 'directory' });
  for (let i = 0; i < 1500; i++) {
    const file = volume.create(directory, `${i}`, { kind: 'file' });
    volume.write(file, 0, random.bytes(1 + random.below(9000)));
  }
  for (let i = 0; i < 1500; i += 2) volume.unlink(directory, `${i}`);
  volume.sync();
  const files = ['one', 'two'].map((name) => volume.create(volume.root, name, { kind: 'file' }));
  for (let i = 0; i < 300; i++) {
    for (const file of files) {
      volume.write(file, i * 8192 + random.below(2) * 4096, random.bytes(1 + random.below(5000)));
    }
  }
}

function makeHostTree(tree: string, random: Random): void {
  fs.mkdirSync(tree);
  let directory = tree;
  for (let level = 0; level < 6; level++) {
    directory = path.join(directory, `${level}${random.pick(NAMES)}`);
    fs.mkdirSync(directory, { mode: 0o750 });
    for (let i = random.below(80); i >= 0; i--) {
      const file = path.join(directory, `file ${i}${random.pick(NAMES)}`);
      fs.writeFileSync(file, random.bytes(random.below(i % 9 === 0 ? 90_000 : 3000)));
      if (i % 6 === 0) fs.truncateSync(file, random.below(200_000));
      if (i % 8 === 0) fs.linkSync(file, path.join(tree, `link ${level} ${i}`));
      if (i % 5 === 0) fs.chownSync(file, 1000 + i, 70_000);
    }
    fs.symlinkSync('t'.repeat(1 + random.below(900)), path.join(directory, 'symlink'));
    execFileSync('mkfifo', [path.join(directory, 'fifo')]);
  }
}

/** By the kernel alone: two files that grow in turns, with holes, and what was taken ahead. */
function makeFragments(directory: string, random: Random): void {
  fs.mkdirSync(directory);
  const files = ['one', 'two'].map((name) => fs.openSync(path.join(directory, name), 'w'));
  for (let i = 0; i < 200; i++) {
    for (const file of files) {
      fs.writeSync(file, random.bytes(1 + random.below(4000)), 0, undefined, i * 8192);
      if (i % 20 === 0) fs.fsyncSync(file);
    }
  }
  for (const file of files) fs.closeSync(file);
  // Ext2 and ext3 cannot.
  runTool('fallocate', ['-l', '300000', path.join(directory, 'ahead')]);
}

/** Adds, changes and removes something in every directory. */
function change(volume: FileSystem, random: Random): void {
  const visit = (directory: FileSystem['root']): void => {
    const entries = [...volume.entries(directory)];
    for (const { name, node, kind } of entries) {
      if (kind === 'directory') {
        if (name !== 'lost+found') visit(node);
        continue;
      }
      const roll = random.below(6);
      if (roll === 0) volume.unlink(directory, name);
      else if (roll === 1) volume.rename(directory, name, volume.root, `moved ${node} ${name.slice(0, 50)}`);
      else if (kind !== 'file') continue;
      else if (roll === 2) volume.setAttributes(node, { size: random.below(50_000) });
      else if (roll === 3) volume.write(node, random.below(60_000), random.bytes(random.below(9000)));
    }
    for (let i = random.below(20); i >= 0; i--) {
      volume.write(
        volume.create(directory, `ours ${i}`, { kind: 'file' }),
        0,
        random.bytes(random.below(2000)),
      );
    }
  };
  visit(volume.root);
}
