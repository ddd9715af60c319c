import path from 'node:path';
import { expect, test } from 'vitest';
import { userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';
import { makeTree, makeTunable, TuneRuns } from '../support/tune2fs-runs.ts';

const UUID = '-U 99999999-8888-7777-6666-555555555555';

const cases: readonly (readonly [options: string, size: string, args: string])[] = [
  ['-t ext4 -b 1024', '20M', UUID],
  ['-t ext4 -b 4096', '40M', UUID],
  ['-t ext4 -b 1024', '20M', '-U clear -L x -l'],
  ['-t ext4 -b 1024', '20M', '-U nonsense'],
  ['-t ext4 -b 1024 -O inline_data -I 256', '20M', UUID],
  ['-t ext4 -b 1024 -O ^extent,^64bit', '20M', UUID],
  ['-t ext4 -b 1024 -I 128 -g 512 -O meta_bg,^resize_inode', '40M', UUID],
  ['-t ext4 -b 1024 -O uninit_bg,^metadata_csum', '20M', UUID],
  ['-t ext4 -b 1024', '20M', '-O ^metadata_csum'],
  ['-t ext4 -b 4096', '40M', '-O ^metadata_csum'],
  ['-t ext4 -b 1024 -O inline_data -I 256', '20M', '-O ^metadata_csum -l'],
  ['-t ext4 -b 1024 -g 512 -O meta_bg,^resize_inode', '40M', '-O ^metadata_csum'],
  ['-t ext4 -b 1024 -O metadata_csum_seed', '20M', '-O ^metadata_csum'],
  ['-t ext4 -b 1024 -O metadata_csum_seed', '20M', '-O ^metadata_csum_seed,^metadata_csum'],
];

describeWithTools(['mke2fs', 'tune2fs', 'debugfs', 'e2fsck'], 'tune2fs and checksums', () => {
  const folder = memoryFolder();
  const tree = makeTree(folder);
  const runs = new TuneRuns();
  const image = path.join(folder, 'before.img');

  for (const [options, size, args] of cases) {
    test(`say and write the same: ${options}, ${size}: ${args}`, async () => {
      makeTunable(tree, image, options, size);
      await runs.compare(image, args.split(' '));
    });
  }

  test('say and write the same: metadata_csum_seed that is cleared after the UUID has changed', async () => {
    makeTunable(tree, image, '-t ext4 -b 1024 -O metadata_csum_seed', '20M');
    expect(runTool('tune2fs', [...UUID.split(' '), image]).status).toBe(0);
    await runs.compare(image, ['-O', '^metadata_csum_seed']);
  });

  test('say and write the same: a volume that was mounted since it was checked', async () => {
    makeTunable(tree, image, '-t ext4 -b 1024', '20M');
    runTool('debugfs', ['-w', '-R', 'ssv mtime 20991111', image]);
    for (const args of [UUID, '-O ^metadata_csum']) {
      await runs.compare(image, args.split(' '), { clean: false });
    }
  });

  test('The file of orphans follows the UUID, which it does not with the real tool', async () => {
    makeTunable(tree, image, '-t ext4 -b 1024 -O orphan_file', '20M');
    expect((await userloop(['tune2fs', ...UUID.split(' '), image])).status).toBe(0);
    const checked = runTool('e2fsck', ['-fn', image]);
    expect(checked.status, checked.stdout).toBe(0);
  });
});
