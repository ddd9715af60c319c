import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import type { FileSystem, NodeId } from '../../src/filesystem/file-system.ts';
import { loadImage, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { ExtModel } from '../support/ext-driver-model.ts';
import { Random } from '../support/random.ts';
import {
  type TreeLines,
  canMount,
  treeOfHost,
  treeOfVolume,
  withMount,
} from '../support/ext-driver-trees.ts';
import { newFolder } from '../support/new-folder.ts';
import { execFileSync } from '../support/programs.ts';
import { findTool, runTool, temporaryFolder } from '../support/tools.ts';

/** USERLOOP_SEED runs other operations, USERLOOP_ROUNDS more of them. */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 5_500);
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 1);

const cases: readonly string[][] = [
  ['-O', '^has_journal,^metadata_csum,^64bit', '-b', '1024'],
  ['-O', '^has_journal,inline_data', '-b', '1024', '-I', '256'],
  ['-O', 'inline_data,ea_inode,large_dir', '-b', '4096', '-I', '512'],
  ['-O', '^has_journal,ea_inode', '-b', '2048'],
  ['-b', '1024', '-g', '2048', '-G', '4', '-O', '^resize_inode'],
  ['-O', 'bigalloc', '-b', '1024', '-C', '8192'],
  ['-O', 'bigalloc,inline_data,^has_journal', '-b', '4096', '-C', '16384'],
];

const OPTIONS = { times: true, xattrs: true } as const;
const folder = temporaryFolder();
const tools = ['mke2fs', 'e2fsck', 'setfattr', 'fallocate'];
const possible = canMount() && tools.every((tool) => findTool(tool) !== undefined);

/** Linux shows no `user.` attributes of anything but files and directories. */
function comparable(lines: TreeLines): TreeLines {
  const result: TreeLines = {};
  for (const [name, line] of Object.entries(lines)) {
    result[name] = /^[fd]/.test(line) ? line : line.replaceAll(/ user\.[^ ]*/g, '');
  }
  return result;
}

function requireClean(image: string): void {
  const result = runTool('e2fsck', ['-fn', image]);
  const told = (result.stdout + result.stderr).replaceAll(/^.* could be (narrower|shorter)\..*$/gm, '');
  expect(told).not.toMatch(/\? no\n|WARNING/);
  expect(result.status, result.stdout).toBe(0);
}

/** What the kernel does with files that extents, inline data and values in inodes are made for. */
function changeByKernel(mounted: string, random: Random): void {
  const at = (name: string): string => path.join(mounted, name);
  fs.mkdirSync(at('kernel'));
  for (let i = 0; i < 60; i++) {
    const file = at(`kernel/file ${i}`);
    fs.writeFileSync(file, random.bytes(random.pick([0, 10, 59, 60, 61, 100, 160, 300, 5000, 60_000])));
    if (i % 4 === 0) fs.truncateSync(file, random.below(70_000));
    if (i % 6 === 0) fs.appendFileSync(file, random.bytes(random.below(3000)));
    if (i % 7 === 0) execFileSync('fallocate', ['-l', `${random.below(300_000) + 1}`, file]);
    if (i % 9 === 0)
      execFileSync('fallocate', ['-p', '-o', '3000', '-l', `${random.below(40_000) + 1}`, file]);
    if (i % 5 === 0) {
      const value = 'v'.repeat(random.pick([5, 60, 700, 900]));
      execFileSync('setfattr', ['-n', `user.${i}`, '-v', value, file]);
    }
    fs.mkdirSync(at(`kernel/directory ${i}`));
    for (let j = 0; j < i % 8; j++) fs.writeFileSync(at(`kernel/directory ${i}/${j}-${'n'.repeat(j)}`), '');
  }
  const fd = fs.openSync(at('kernel/fragments'), 'w');
  for (let i = 0; i < 700; i++) fs.writeSync(fd, `piece ${i}`, random.below(700) * 8192);
  fs.closeSync(fd);
  fs.symlinkSync('x/'.repeat(100), at('kernel/link'));
}

/** Changes what the kernel has made. */
function changeByDriver(volume: FileSystem, random: Random): void {
  const kernel = volume.lookup(volume.root, 'kernel')!;
  const file = (i: number): NodeId => volume.lookup(kernel, `file ${i}`)!;
  for (let i = 0; i < 60; i++) {
    const node = file(i);
    const { size } = volume.attributes(node);
    volume.write(node, random.below(size + 1), random.bytes(random.pick([1, 50, 2000, 20_000])));
    if (i % 3 === 0) volume.punch!(node, random.below(size + 1), 1 + random.below(9000));
    if (i % 4 === 0) volume.setAttributes(node, { size: random.below(size + 100) });
    if (i % 5 === 0) volume.setXattr(node, `user.${i}`, random.bytes(random.pick([0, 40, 500])));
    if (i % 10 === 0) volume.removeXattr(node, `user.${i}`);
    const directory = volume.lookup(kernel, `directory ${i}`)!;
    for (let j = 0; j < 6; j++) volume.create(directory, `ours ${j}`, { kind: 'fifo' });
    if (i % 8 > 1) volume.unlink(directory, '1-n');
  }
  const fragments = volume.lookup(kernel, 'fragments')!;
  for (let i = 0; i < 300; i++) {
    volume.write(fragments, random.below(700) * 8192 + random.below(5000), random.bytes(3000));
    volume.punch!(fragments, random.below(5_000_000), 1 + random.below(20_000));
  }
  volume.unlink(kernel, 'link');
  for (let i = 0; i < 60; i += 7) volume.unlink(kernel, `file ${i}`);
}

describe.skipIf(!possible)(`ext4 and the kernel [root, ${tools.join(', ')}]`, () => {
  for (const [index, args] of cases.entries()) {
    test(`show the same after each other's changes: mke2fs ${args.join(' ')} (seed ${SEED})`, () => {
      for (let round = 0; round < ROUNDS; round++) {
        const random = new Random(SEED + 1000 * index + round);
        const file = path.join(folder, `${index}.img`);
        fs.rmSync(file, { force: true });
        const made = runTool('mke2fs', ['-q', '-F', '-t', 'ext4', ...args, file, '40M']);
        expect(made.status, made.stderr).toBe(0);
        const clock = steppingClock();
        const device = loadImage(file);
        const volume = extDriver.open(device, { clock });
        expect(volume.readOnlyReason).toBe(undefined);
        const names = ['a', 'file', 'n'.repeat(200), 'directory-with-a-longer-name-'];
        const model = new ExtModel(volume, random, { largest: 60_000, names });
        for (let i = 0; i < 300; i++) model.step();
        const tree = comparable(treeOfVolume(volume, OPTIONS));
        volume.close();
        saveImage(device, file);
        requireClean(file);

        withMount(file, 'rw', (mounted) => {
          expect(comparable(treeOfHost(mounted, OPTIONS))).toEqual(tree);
          changeByKernel(mounted, random);
        });
        requireClean(file);
        // Mounted anew: before, the kernel counts blocks that it has not taken yet.
        const kernel = withMount(file, 'ro', (mounted) => comparable(treeOfHost(mounted, OPTIONS)));
        const back = loadImage(file);
        const again = extDriver.open(back, { clock });
        expect(comparable(treeOfVolume(again, OPTIONS))).toEqual(kernel);
        changeByDriver(again, random);
        const changed = comparable(treeOfVolume(again, OPTIONS));
        again.close();
        saveImage(back, file);
        requireClean(file);
        expect(withMount(file, 'ro', (mounted) => comparable(treeOfHost(mounted, OPTIONS)))).toEqual(changed);
      }
    });
  }

  test('show the same in what mke2fs -d has filled, and the driver has changed', () => {
    const source = newFolder(path.join(folder, 'source-'));
    const random = new Random(SEED);
    changeByKernel(source, random);
    for (const args of cases) {
      const file = path.join(folder, 'filled.img');
      fs.rmSync(file, { force: true });
      const made = runTool('mke2fs', ['-q', '-F', '-t', 'ext4', ...args, '-d', source, file, '40M']);
      expect(made.status, made.stderr).toBe(0);
      const device = loadImage(file);
      const volume = extDriver.open(device, { clock: steppingClock() });
      const options = { xattrs: true };
      const ours = comparable(treeOfVolume(volume, options));
      expect(withMount(file, 'ro', (mounted) => comparable(treeOfHost(mounted, options)))).toEqual(ours);
      changeByDriver(volume, random);
      const changed = comparable(treeOfVolume(volume, options));
      volume.close();
      saveImage(device, file);
      requireClean(file);
      expect(withMount(file, 'ro', (mounted) => comparable(treeOfHost(mounted, options)))).toEqual(changed);
    }
  });
});
