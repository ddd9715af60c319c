import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { loadImage, saveImage, steppingClock } from '../support/ext-driver-images.ts';
import { ExtModel, Random } from '../support/ext-driver-model.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

/**
 * Random operations on volumes of mke2fs whose metadata has checksums or whose groups are initialised when first used,
 * against a tree in memory. USERLOOP_SEED runs other operations, USERLOOP_ROUNDS more of them.
 */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 31_400);
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 1);
const OPERATIONS = 450;

const NAMES = ['a', 'file', 'n'.repeat(200), 'directory-with-a-longer-name-', 'ü'.repeat(100)];

const CHECKSUMS = '^has_journal,^extent,^64bit';

const cases: { name: string; size: string; args: readonly string[] }[] = [
  { name: 'metadata_csum, 4 KiB blocks', size: '32M', args: ['-O', `${CHECKSUMS}`, '-b', '4096'] },
  { name: '64bit, 1 KiB blocks, flexible groups', size: '40M', args: ['-O', `${CHECKSUMS}`, '-b', '1024'] },
  {
    name: 'a stored seed, 2 KiB blocks',
    size: '24M',
    args: ['-O', `${CHECKSUMS},metadata_csum_seed`, '-b', '2048'],
  },
  { name: 'small inodes', size: '24M', args: ['-O', `${CHECKSUMS}`, '-b', '1024', '-I', '128'] },
  {
    name: 'uninit_bg, 64bit, without flexible groups',
    size: '40M',
    args: ['-O', `${CHECKSUMS},^metadata_csum,uninit_bg,^flex_bg`, '-b', '1024', '-g', '4096'],
  },
  {
    name: 'uninit_bg, 32-bit descriptors',
    size: '24M',
    args: ['-O', `${CHECKSUMS},^metadata_csum,uninit_bg`, '-b', '1024', '-g', '2048'],
  },
  {
    name: 'meta groups, blocks of 1 KiB, no backups but two',
    size: '60M',
    args: ['-O', `${CHECKSUMS},meta_bg,^resize_inode,sparse_super2`, '-b', '1024', '-g', '1024'],
  },
  { name: 'no index', size: '24M', args: ['-O', `${CHECKSUMS},^dir_index`, '-b', '1024'] },
  { name: '64 KiB blocks', size: '160M', args: ['-O', `${CHECKSUMS}`, '-b', '65536'] },
  {
    name: 'few inodes a group and two groups a flexible one',
    size: '24M',
    args: ['-O', `${CHECKSUMS}`, '-b', '1024', '-g', '2048', '-G', '2', '-N', '400'],
  },
];

const folder = temporaryFolder();

describeWithTools(['mke2fs', 'e2fsck'], 'Volumes with checksums', () => {
  for (const [index, { name, size, args }] of cases.entries()) {
    test(`random operations with ${name} agree with the model, and e2fsck finds nothing (seed ${SEED})`, () => {
      const file = path.join(folder, `${index}.img`);
      // What mke2fs leaves to be initialised later holds garbage here.
      fs.writeFileSync(file, new Uint8Array(Number.parseInt(size, 10) << 20).fill(0xa5));
      const options = ['-q', '-F', '-t', 'ext4', '-E', 'nodiscard,lazy_itable_init=1', ...args];
      const made = runTool('mke2fs', [...options, file, size]);
      expect(made.status, made.stderr).toBe(0);
      for (let round = 0; round < ROUNDS; round++) {
        const image = loadImage(file);
        const seed = SEED + 1000 * index + round;
        const random = new Random(seed);
        const clock = steppingClock();
        let volume = extDriver.open(image, { clock });
        expect(volume.readOnlyReason).toBeUndefined();
        const model = new ExtModel(volume, random, { largest: 150_000, names: NAMES });
        for (let i = 0; i < OPERATIONS; i++) {
          try {
            model.step();
          } catch (error) {
            throw new Error(`Operation ${i} of seed ${seed} failed`, { cause: error });
          }
          if (i % 150 === 149) {
            volume.close();
            volume = extDriver.open(image, { clock });
            model.reopen(volume);
          }
        }
        model.verify();
        volume.close();
        model.verify(extDriver.open(image, { readOnly: true }));
        saveImage(image, `${file}.done`);
        const result = runTool('e2fsck', ['-fn', `${file}.done`]);
        expect(result.stdout + result.stderr, `e2fsck of seed ${seed}`).not.toMatch(/\? no\n|WARNING/);
        expect(result.status, `e2fsck of seed ${seed}: ${result.stdout}`).toBe(0);
      }
      fs.rmSync(file);
      fs.rmSync(`${file}.done`);
    });
  }
});
