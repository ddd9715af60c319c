import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { Superblock } from '../../src/filesystem/ext/superblock.ts';
import { viewOf } from '../../src/bytes/struct.ts';
import { loadImage, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { ExtModel } from '../support/ext-driver-model.ts';
import { Random } from '../support/random.ts';
import { canMount, treeOfHost, treeOfVolume, withMount } from '../support/ext-driver-trees.ts';
import { findTool, runTool, temporaryFolder } from '../support/tools.ts';

/** USERLOOP_SEED runs other operations, USERLOOP_ROUNDS more of them. */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 77);
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 1);

const cases: readonly string[][] = [
  ['-O', '^has_journal', '-b', '1024'],
  ['-O', '^has_journal,metadata_csum_seed', '-b', '4096'],
  ['-O', '^has_journal,^metadata_csum,uninit_bg', '-b', '1024', '-g', '2048', '-G', '4'],
  ['-O', '^has_journal,^extent,^64bit', '-b', '2048'],
  ['-O', '^has_journal,meta_bg,^resize_inode', '-b', '1024', '-g', '1024', '-I', '128'],
];

const folder = temporaryFolder();
const possible = canMount() && ['mke2fs', 'e2fsck'].every((tool) => findTool(tool) !== undefined);

/** What the kernel found wrong, it has counted. */
function errorCount(image: string): number {
  const superblock = fs.readFileSync(image).subarray(1024, 2048);
  return Superblock.s_error_count.get(viewOf(superblock), 0);
}

function requireClean(image: string): void {
  const result = runTool('e2fsck', ['-fn', image]);
  expect(result.stdout).not.toMatch(/\? no\n|WARNING/);
  expect(result.status, result.stdout).toBe(0);
  expect(errorCount(image)).toBe(0);
}

describe.skipIf(!possible)('Checksummed volumes and the kernel [root, mke2fs, e2fsck]', () => {
  for (const [index, args] of cases.entries()) {
    test(`show the same tree after each other's changes: ${args.join(' ')} (seed ${SEED})`, () => {
      for (let round = 0; round < ROUNDS; round++) {
        const seed = SEED + 1000 * index + round;
        const file = path.join(folder, `${index}.img`);
        fs.writeFileSync(file, new Uint8Array(16 << 20).fill(0xa5));
        const options = ['-q', '-F', '-t', 'ext4', '-E', 'nodiscard,lazy_itable_init=1', ...args];
        expect(runTool('mke2fs', [...options, file]).status).toBe(0);
        const device = loadImage(file);
        const clock = steppingClock();
        const ours = extDriver.open(device, { clock });
        const names = ['a', 'file', 'n'.repeat(200), 'directory-with-a-longer-name-'];
        const model = new ExtModel(ours, new Random(seed), { largest: 60_000, names });
        for (let i = 0; i < 200; i++) model.step();
        const tree = treeOfVolume(ours, { times: true });
        ours.close();
        saveImage(device, file);
        requireClean(file);

        withMount(file, 'rw', (mounted) => {
          expect(treeOfHost(mounted, { times: true })).toEqual(tree);
          // The kernel adds a large directory and some content, and takes something away.
          for (let i = 0; i < 300; i++) {
            fs.writeFileSync(path.join(mounted, `kernel file number ${i}`), Buffer.alloc(i * 7, i));
          }
          fs.mkdirSync(path.join(mounted, 'kernel'));
          const own = fs.readdirSync(mounted).filter((name) => !/^kernel|^lost/.test(name));
          for (const name of own.slice(0, 3)) fs.rmSync(path.join(mounted, name), { recursive: true });
        });
        requireClean(file);
        const back = loadImage(file);
        const again = extDriver.open(back, { clock });
        const before = treeOfVolume(again);
        expect(Object.keys(before).length).toBeGreaterThan(300);
        for (let i = 1; i < 300; i += 2) again.unlink(again.root, `kernel file number ${i}`);
        for (let i = 0; i < 200; i++) again.create(again.root, `ours in turn ${i}`, { kind: 'file' });
        const after = treeOfVolume(again);
        again.close();
        saveImage(back, file);
        requireClean(file);
        withMount(file, 'ro', (mounted) => {
          expect(treeOfHost(mounted)).toEqual(after);
        });
        expect(errorCount(file)).toBe(0);
        fs.rmSync(file);
      }
    });
  }
});
