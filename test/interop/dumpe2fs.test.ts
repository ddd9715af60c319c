import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { steppingClock } from '../support/ext-driver-images.ts';
import { ExtModel } from '../support/ext-driver-model.ts';
import { Random } from '../support/random.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

const folder = memoryFolder();
const SEED = 5150;

const images: readonly (readonly [size: string, ...args: string[]])[] = [
  ['64M', '-t', 'ext4'],
  ['64M', '-t', 'ext4', '-O', '^has_journal', '-b', '1024'],
  ['24M', '-t', 'ext4', '-O', 'metadata_csum_seed,^has_journal', '-b', '2048', '-E', 'lazy_itable_init=1'],
  ['64M', '-t', 'ext4', '-O', '^metadata_csum,uninit_bg', '-G', '4'],
  ['64M', '-t', 'ext4', '-O', 'bigalloc', '-C', '8192'],
  ['24M', '-t', 'ext4', '-O', 'fast_commit,mmp'],
  ['24M', '-t', 'ext2', '-b', '1024', '-L', 'a label'],
  ['24M', '-t', 'ext2', '-b', '4096', '-r', '0'],
  ['24M', '-t', 'ext2', '-O', 'meta_bg,^resize_inode', '-g', '1024', '-b', '1024'],
  ['24M', '-t', 'ext4', '-O', 'meta_bg,^resize_inode,^has_journal', '-g', '512', '-b', '1024'],
  ['24M', '-t', 'ext2', '-O', 'sparse_super2', '-g', '2048', '-b', '1024'],
  ['24M', '-t', 'ext3', '-O', '^sparse_super,^resize_inode', '-g', '2048', '-b', '1024'],
  ['25001', '-t', 'ext4', '-b', '1024', '-J', 'size=4', '-E', 'packed_meta_blocks=1'],
];

describeWithTools(['mke2fs', 'dumpe2fs'], 'dumpe2fs', () => {
  for (const [index, [size, ...args]] of images.entries()) {
    test(`prints the same: ${args.join(' ')}`, async () => {
      const name = `${index}.img`;
      const file = path.join(folder, name);
      const made = runTool('mke2fs', ['-q', '-F', ...args, file, size]);
      expect(made.status, made.stderr).toBe(0);
      for (let round = 0; round < 2; round++) {
        for (const options of [[], ['-h'], ['-x']]) {
          const theirs = runTool('dumpe2fs', [...options, name], { cwd: folder });
          const ours = await userloop(['dumpe2fs', ...options, name], { cwd: folder });
          expect(ours.stdout).toBe(theirs.stdout);
          expect(ours.stderr).toBe(theirs.stderr);
          expect(ours.status).toBe(theirs.status);
        }
        if (round > 0) break;
        // Again after some use.
        const device = FileDevice.open(file, {});
        const volume = extDriver.open(device, { clock: steppingClock() });
        if (!volume.readOnly) {
          const model = new ExtModel(volume, new Random(SEED + index), {
            largest: 100_000,
            names: ['a', 'file', 'ä'],
          });
          for (let i = 0; i < 200; i++) model.step();
        }
        volume.close();
        device.close();
      }
      fs.rmSync(file);
    });
  }

  test('fails alike', async () => {
    fs.writeFileSync(path.join(folder, 'zeros.img'), new Uint8Array(1 << 20));
    for (const args of [['zeros.img'], ['absent.img'], ['-h'], [], ['-V'], ['-X', 'zeros.img']]) {
      const theirs = runTool('dumpe2fs', args, { cwd: folder });
      const ours = await userloop(['dumpe2fs', ...args], { cwd: folder });
      expect(ours.stderr).toBe(theirs.stderr.replaceAll(/\/\S*\/dumpe2fs/g, 'dumpe2fs'));
      expect(ours.stdout).toBe(theirs.stdout);
      expect(ours.status).toBe(theirs.status);
    }
  });
});
