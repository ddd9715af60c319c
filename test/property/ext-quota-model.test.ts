import path from 'node:path';
import { expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import type { FileSystem } from '../../src/filesystem/file-system.ts';
import { expectClean, loadImage, steppingClock } from '../support/ext-driver-images.ts';
import { ExtModel } from '../support/ext-driver-model.ts';
import { Random } from '../support/random.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

/**
 * Random operations of many owners on volumes with quotas, against a tree in memory; e2fsck counts what each owner uses.
 * USERLOOP_SEED runs other operations, USERLOOP_ROUNDS more of them.
 */
const SEED = Number(process.env['USERLOOP_SEED'] ?? 61_300);
const ROUNDS = Number(process.env['USERLOOP_ROUNDS'] ?? 1);
const OPERATIONS = 400;

const NAMES = ['a', 'file', 'n'.repeat(200), 'directory-with-a-longer-name-', 'ü'.repeat(100)];
const TYPES = 'quotatype=usrquota:grpquota:prjquota';

const cases: { name: string; size: string; args: readonly string[] }[] = [
  { name: 'ext4', size: '32M', args: ['-t', 'ext4', '-b', '4096', '-O', 'quota,project', '-E', TYPES] },
  { name: '1 KiB blocks', size: '24M', args: ['-t', 'ext4', '-b', '1024', '-O', 'quota'] },
  { name: 'block maps', size: '24M', args: ['-t', 'ext3', '-b', '1024', '-O', 'quota'] },
  { name: 'no journal', size: '24M', args: ['-t', 'ext2', '-b', '2048', '-O', 'quota'] },
  {
    name: 'values and data in inodes',
    size: '24M',
    args: ['-t', 'ext4', '-b', '1024', '-I', '512', '-O', 'quota,project,inline_data,ea_inode', '-E', TYPES],
  },
  {
    name: 'small groups and a small journal',
    size: '24M',
    args: ['-t', 'ext4', '-b', '1024', '-g', '1024', '-J', 'size=1', '-O', 'quota,orphan_file,^64bit'],
  },
  {
    name: 'clusters',
    size: '40M',
    args: ['-t', 'ext4', '-b', '1024', '-C', '8192', '-O', 'bigalloc,quota,project,ea_inode', '-E', TYPES],
  },
];

const folder = memoryFolder();

describeWithTools(['mke2fs', 'e2fsck'], 'Volumes with quotas', () => {
  for (const [index, { name, size, args }] of cases.entries()) {
    test(`e2fsck counts as we do after random operations: ${name} (seed ${SEED})`, () => {
      const file = path.join(folder, `${index}.img`);
      const made = runTool('mke2fs', ['-q', '-F', ...args, file, size]);
      expect(made.status, made.stderr).toBe(0);
      for (let round = 0; round < ROUNDS; round++) {
        const image = loadImage(file);
        const seed = SEED + 1000 * index + round;
        const random = new Random(seed);
        const clock = steppingClock();
        let volume = extDriver.open(image, { clock });
        expect(volume.readOnlyReason).toBeUndefined();
        const model = new ExtModel(volume, random, { largest: 100_000, names: NAMES });
        for (let i = 0; i < OPERATIONS; i++) {
          model.numberedStep(i, seed);
          if (volume.features.includes('project') && random.below(6) === 0) changeProject(volume, random);
          const roll = random.below(40);
          if (roll < 3) volume.sync();
          else if (roll === 3) volume.settle();
          if (i % 50 === 49) {
            volume.close();
            expectClean(image, `${file}.done`, `seed ${seed}, operation ${i}`);
            volume = extDriver.open(image, { clock });
            expect(volume.readOnlyReason).toBeUndefined();
            model.reopen(volume);
          }
        }
        model.verify();
        volume.close();
        model.verify(extDriver.open(image, { readOnly: true }));
      }
    });
  }
});

/** Gives a node of the root directory another project; nothing inherits it, so the model need not know. */
function changeProject(volume: FileSystem, random: Random): void {
  const { node } = random.pick([...volume.entries(volume.root)]);
  volume.setFlags!(node, { project: random.pick([0, 1, random.below(2 ** 32)]) });
}
