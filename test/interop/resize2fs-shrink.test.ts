import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import type { FileSystem } from '../../src/filesystem/file-system.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { RESIZE_CLOCK, resizeOurs, resizeTheirs } from '../support/resize-runs.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();
const NAME = 'volume.img';
const image = path.join(folder, NAME);

/** Files of many sizes, names that need an index, links of both kinds, holes. */
function makeTree(): string {
  const tree = path.join(folder, 'tree');
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let directory = 0; directory < 6; directory++) {
    const at = path.join(tree, `directory ${directory}`, 'below');
    fs.mkdirSync(at, { recursive: true });
    for (let file = 0; file < 30; file++) {
      fs.writeFileSync(path.join(at, `${file}`), Buffer.alloc(random(20000), 1 + random(250)));
    }
    fs.writeFileSync(path.join(at, 'large'), Buffer.alloc(500_000 + random(500_000), directory + 1));
    fs.linkSync(path.join(at, '1'), path.join(at, '..', 'hard'));
    fs.symlinkSync(`${'long/'.repeat(20)}${directory}`, path.join(at, 'soft'));
  }
  const holes = fs.openSync(path.join(tree, 'holes'), 'w');
  for (let piece = 0; piece < 200; piece++)
    fs.writeSync(holes, Buffer.alloc(2500, piece), 0, 2500, piece * 20480);
  fs.closeSync(holes);
  return tree;
}

/** From 2 on, all sequences. */
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 1);

/** Block size, blocks at first, sizes, arguments of mke2fs. */
const sequences: readonly (readonly [number, number, string, string])[] = [
  [4096, 70000, '33000 -M 90000 -M', '-t ext4'],
  [1024, 60000, '40001 -M 90000 30000', '-t ext4'],
  [1024, 60000, '40001 -M 90000 30000', '-t ext3'],
  [1024, 60000, '40001 -M 90000 30000', '-t ext2 -I 128'],
  [2048, 60000, '20000 -M 40000', '-t ext4 -O ^flex_bg,^metadata_csum'],
  [1024, 60000, '40001 -M 90000 20000', '-t ext4 -O sparse_super2,^has_journal'],
  [1024, 60000, '-M 60000 200000', '-t ext4 -O meta_bg,^resize_inode'],
  [1024, 30000, '400000 25000', '-t ext4 -O ^resize_inode'],
  [1024, 30000, '400000 25000', '-t ext2 -O ^resize_inode'],
];

afterEach(() => fs.rmSync(image, { force: true }));

describeWithTools(['resize2fs', 'mke2fs', 'e2fsck', 'debugfs'], 'resize2fs with a tree inside', () => {
  const tree = makeTree();

  test.each(ROUNDS > 1 ? sequences : sequences.slice(1, 5))(
    'blocks of %i: %i become %s, %s',
    async (blockSize, before, sizes, options) => {
      makeImage(blockSize, before, options, tree);
      for (const size of sizes.split(' ')) {
        const { status, stderr } = await resizeOurs(folder, [NAME, size]);
        expect(`${status} ${stderr}`, size).toBe('0 resize2fs 1.47.0 (5-Feb-2023)\n');
        expectWhole(tree);
      }
    },
  );

  test('the real tool goes on from ours, and ours from its', async () => {
    makeImage(1024, 60000, '-t ext4', tree);
    for (const size of ['35000', '80000', '30000', '70000']) {
      const step = size.endsWith('5000') || size === '30000' ? resizeOurs : resizeTheirs;
      expect((await step(folder, [NAME, size])).status, size).toBe(0);
      expectWhole(tree);
    }
  });

  test('bars tell the same as those of the real tool', async () => {
    makeImage(1024, 30000, '-t ext2 -g 2048 -N 2000', tree);
    spread();
    const copy = path.join(folder, 'copy.img');
    fs.copyFileSync(image, copy);
    for (const size of ['20000', '10000']) {
      const expected = resizeTheirs(folder, ['-p', NAME, size]);
      fs.copyFileSync(copy, image);
      const { status, stdout, stderr } = await resizeOurs(folder, ['-p', NAME, size]);
      expect({ status, stdout, stderr }, size).toEqual(expected);
      expect(stdout).toContain(size === '10000' ? 'Begin pass 4 (max = ' : 'Begin pass 2 (max = ');
      fs.copyFileSync(copy, image);
    }
  });

  test('what is too small is refused with the number, and nothing is written', async () => {
    makeImage(1024, 60000, '-t ext4', tree);
    const before = fs.readFileSync(image);
    const result = await resizeOurs(folder, [NAME, '9000']);
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/^resize2fs 1.*\nresize2fs: New size smaller than minimum \(\d+\)\n\n$/);
    expect(before.equals(fs.readFileSync(image))).toBe(true);
  });
});

/** Gives the last groups files and directories: those before are full when they are made. */
function spread(): void {
  const { freeBlocks, blockSize, freeNodes } = onVolume((volume) => volume.usage());
  onVolume((volume) => {
    const filler = volume.create(volume.root, 'filler', { kind: 'file', mode: 0o644 });
    volume.write(filler, 0, new Uint8Array((freeBlocks - 6000) * blockSize).fill(1));
    for (let file = 0; file < freeNodes - 400; file++) {
      volume.create(volume.root, `none${file}`, { kind: 'file', mode: 0o644 });
    }
    for (let directory = 0; directory < 20; directory++) {
      const made = volume.create(volume.root, `spread${directory}`, { kind: 'directory', mode: 0o755 });
      const file = volume.create(made, 'file', { kind: 'file', mode: 0o644 });
      volume.write(file, 0, new Uint8Array(30_000).fill(directory));
    }
    volume.unlink(volume.root, 'filler');
    for (let file = 0; file < freeNodes - 400; file++) volume.unlink(volume.root, `none${file}`);
  });
}

function onVolume<T>(body: (volume: FileSystem) => T): T {
  const device = FileDevice.open(image);
  const clock = () => ({ seconds: Number(RESIZE_CLOCK.E2FSPROGS_FAKE_TIME), nanoseconds: 0 });
  const volume = extDriver.open(device, { clock });
  try {
    return body(volume);
  } finally {
    volume.close();
    device.close();
  }
}

function makeImage(blockSize: number, blocks: number, options: string, tree: string): void {
  fs.writeFileSync(image, '');
  fs.truncateSync(image, blocks * blockSize);
  const made = runTool(
    'mke2fs',
    ['-q', '-F', '-b', `${blockSize}`, ...options.split(' '), '-d', tree, image, `${blocks}`],
    { env: RESIZE_CLOCK },
  );
  expect(made.status, made.stderr).toBe(0);
}

function expectWhole(tree: string): void {
  const check = runTool('e2fsck', ['-fn', image], { env: RESIZE_CLOCK });
  expect(check.status, check.stdout).toBe(0);
  const out = path.join(folder, 'out');
  fs.rmSync(out, { recursive: true, force: true });
  fs.mkdirSync(out);
  runTool('debugfs', ['-R', `rdump / ${out}`, image]);
  fs.rmSync(path.join(out, 'lost+found'), { recursive: true });
  const difference = runTool('diff', ['-r', '--no-dereference', tree, out]);
  expect(difference.stdout + difference.stderr).toBe('');
}
