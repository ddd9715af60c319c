import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { expectClean, loadImage, steppingClock } from '../support/ext-driver-images.ts';
import { ExtModel } from '../support/ext-driver-model.ts';
import { Random } from '../support/random.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/**
 * Random operations on volumes of mke2fs whose metadata has checksums or whose groups are initialised when first used,
 * against a tree in memory. USERLOOP_SEED runs other operations, USERLOOP_ROUNDS more of them.
 */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 31_400);
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 1);
const OPERATIONS = 450;

const NAMES = ['a', 'file', 'n'.repeat(200), 'directory-with-a-longer-name-', 'ü'.repeat(100)];

const MAPS = '^has_journal,^extent,^64bit';

const cases: { name: string; size: string; args: readonly string[] }[] = [
  { name: 'every default of ext4', size: '32M', args: ['-b', '1024'] },
  {
    name: 'every feature that ext4 has besides',
    size: '32M',
    args: [
      '-O',
      'metadata_csum_seed,orphan_file,fast_commit,inline_data,large_dir,ea_inode,mmp',
      '-b',
      '4096',
    ],
  },
  { name: 'every default of ext4 but the journal', size: '32M', args: ['-O', '^has_journal', '-b', '4096'] },
  { name: 'extents in blocks of 1 KiB', size: '40M', args: ['-O', '^has_journal', '-b', '1024'] },
  {
    name: 'extents and a stored seed, large inodes',
    size: '24M',
    args: ['-O', '^has_journal,metadata_csum_seed', '-b', '2048', '-I', '512'],
  },
  {
    name: 'extents in small groups, small inodes, without resize_inode',
    size: '24M',
    args: ['-O', '^has_journal,^resize_inode', '-b', '1024', '-g', '2048', '-I', '128'],
  },
  {
    name: 'extents, 64bit and uninit_bg',
    size: '40M',
    args: ['-O', '^has_journal,^metadata_csum,uninit_bg', '-b', '1024', '-g', '4096', '-G', '4'],
  },
  {
    name: 'extents and meta groups of 64-bit descriptors',
    size: '60M',
    args: ['-O', '^has_journal,meta_bg,^resize_inode,sparse_super2', '-b', '1024', '-g', '1024'],
  },
  { name: 'block maps, metadata_csum, 4 KiB blocks', size: '32M', args: ['-O', MAPS, '-b', '4096'] },
  { name: 'block maps, small inodes', size: '24M', args: ['-O', MAPS, '-b', '1024', '-I', '128'] },
  {
    name: 'block maps, uninit_bg, 32-bit descriptors without flexible groups',
    size: '24M',
    args: ['-O', `${MAPS},^metadata_csum,uninit_bg,^flex_bg`, '-b', '1024', '-g', '2048'],
  },
  {
    name: 'block maps, meta groups, no backups but two',
    size: '60M',
    args: ['-O', `${MAPS},meta_bg,^resize_inode,sparse_super2`, '-b', '1024', '-g', '1024'],
  },
  { name: 'block maps, no index', size: '24M', args: ['-O', `${MAPS},^dir_index`, '-b', '1024'] },
  { name: 'extents in blocks of 64 KiB', size: '160M', args: ['-O', '^has_journal', '-b', '65536'] },
  {
    name: 'few inodes a group and two groups a flexible one',
    size: '24M',
    args: ['-O', '^has_journal', '-b', '1024', '-g', '2048', '-G', '2', '-N', '400'],
  },
];

const folder = memoryFolder();

describeWithTools(['mke2fs', 'e2fsck'], 'Volumes with checksums', () => {
  for (const [index, { name, size, args }] of cases.entries()) {
    test(`random operations with ${name} agree with the model, and e2fsck finds nothing (seed ${SEED})`, () => {
      const file = path.join(folder, `${index}.img`);
      // What mke2fs leaves to be initialised later holds garbage here.
      fs.writeFileSync(file, new Uint8Array(Number.parseInt(size, 10) << 20).fill(0xa5));
      const options = ['-q', '-F', '-t', 'ext4', '-E', 'nodiscard,lazy_itable_init=1', ...args];
      const made = runTool('mke2fs', [...options, file, size]);
      expect(made.status, made.stderr).toBe(0);
      let operations = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const image = loadImage(file);
        const seed = SEED + 1000 * index + round;
        const random = new Random(seed);
        const clock = steppingClock();
        let volume = extDriver.open(image, { clock });
        expect(volume.readOnlyReason).toBeUndefined();
        const model = new ExtModel(volume, random, { largest: 150_000, names: NAMES });
        for (let i = 0; i < OPERATIONS; i++) {
          model.numberedStep(i, seed);
          if (i % 150 === 149) {
            volume.close();
            volume = extDriver.open(image, { clock });
            model.reopen(volume);
          }
        }
        model.verify();
        volume.close();
        model.verify(extDriver.open(image, { readOnly: true }));
        expectClean(image, `${file}.done`, `seed ${seed}`);
        operations += model.operations;
      }
      if (ROUNDS > 1) process.stderr.write(`${name}: ${operations} operations in ${ROUNDS} sequences\n`);
      fs.rmSync(file);
      fs.rmSync(`${file}.done`);
    });
  }
});
