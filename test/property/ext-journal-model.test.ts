import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { expectClean, loadImage, steppingClock } from '../support/ext-driver-images.ts';
import { ExtModel } from '../support/ext-driver-model.ts';
import { Random } from '../support/random.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/**
 * Random operations on volumes with a journal, against a tree in memory, with fsync and settling in between.
 * USERLOOP_SEED runs other operations, USERLOOP_ROUNDS more of them.
 */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 52_700);
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 1);
const OPERATIONS = 450;

const NAMES = ['a', 'file', 'n'.repeat(200), 'directory-with-a-longer-name-', 'ü'.repeat(100)];

const cases: { name: string; size: string; args: readonly string[] }[] = [
  { name: 'ext3, 1 KiB blocks', size: '24M', args: ['-t', 'ext3', '-b', '1024'] },
  { name: 'ext3, 4 KiB blocks, small inodes', size: '32M', args: ['-t', 'ext3', '-b', '4096', '-I', '128'] },
  { name: 'ext4', size: '32M', args: ['-t', 'ext4', '-b', '4096'] },
  { name: 'ext4, 1 KiB blocks', size: '24M', args: ['-t', 'ext4', '-b', '1024'] },
  {
    name: 'ext4 without checksums and 64bit',
    size: '24M',
    args: ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,^64bit'],
  },
  { name: 'ext4 with block maps', size: '24M', args: ['-t', 'ext4', '-b', '2048', '-O', '^extent,^64bit'] },
  {
    name: 'ext4 with inline data and small groups',
    size: '24M',
    args: ['-t', 'ext4', '-b', '1024', '-O', 'inline_data', '-I', '512', '-g', '1024'],
  },
  {
    name: 'ext4 with fast_commit and orphan_file',
    size: '40M',
    args: ['-t', 'ext4', '-b', '4096', '-O', 'fast_commit,orphan_file', '-J', 'size=6'],
  },
  {
    name: 'ext4 with clusters of 8 blocks of 1 KiB',
    size: '32M',
    args: ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc', '-C', '8192'],
  },
  {
    name: 'ext4 with clusters of 16 blocks of 4 KiB',
    size: '96M',
    args: ['-t', 'ext4', '-b', '4096', '-O', 'bigalloc,inline_data', '-C', '65536'],
  },
];

const folder = memoryFolder();

describeWithTools(['mke2fs', 'e2fsck'], 'Volumes with a journal', () => {
  for (const [index, { name, size, args }] of cases.entries()) {
    test(`random operations with ${name} agree with the model, and e2fsck finds nothing (seed ${SEED})`, () => {
      const file = path.join(folder, `${index}.img`);
      const made = runTool('mke2fs', ['-q', '-F', ...args, file, size]);
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
          const roll = random.below(40);
          if (roll < 3) volume.sync();
          else if (roll === 3) volume.settle();
          // What is committed and not in its place yet is what another open of the device replays.
          if (i % 150 === 75) {
            volume.sync();
            model.verify(extDriver.open(image, { readOnly: true }));
          }
          if (i % 150 === 149) {
            volume.close();
            expectClean(image, `${file}.done`, `seed ${seed}`);
            volume = extDriver.open(image, { clock });
            model.reopen(volume);
          }
        }
        model.verify();
        volume.close();
        expect(volume.features).not.toContain('needs_recovery');
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
