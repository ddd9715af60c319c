import path from 'node:path';
import { expect, test } from 'vitest';
import { userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';
import { makeTree, makeTunable, TuneRuns } from '../support/tune2fs-runs.ts';

const cases: readonly (readonly [options: string, size: string, args: string])[] = [
  ['-t ext4 -b 1024', '20M', '-O orphan_file'],
  ['-t ext4 -b 4096', '80M', '-O orphan_file -E orphan_file_size=64'],
  ['-t ext3 -b 1024', '20M', '-O orphan_file'],
  ['-t ext4 -b 1024 -O ^has_journal', '20M', '-O orphan_file'],
  ['-t ext4 -b 1024 -O ^has_journal', '20M', '-O orphan_file,has_journal -l'],
  ['-t ext4 -b 1024 -O uninit_bg,^metadata_csum', '20M', '-O orphan_file'],
  ['-t ext4 -b 1024 -O orphan_file', '20M', '-O ^orphan_file'],
  ['-t ext4 -b 1024 -O orphan_file', '20M', '-O ^orphan_file,^has_journal'],
  ['-t ext4 -b 1024 -O orphan_file', '20M', '-O orphan_file'],
];

describeWithTools(['mke2fs', 'tune2fs', 'debugfs', 'e2fsck'], 'tune2fs and files with a fixed job', () => {
  const folder = memoryFolder();
  const tree = makeTree(folder);
  const runs = new TuneRuns();
  const image = path.join(folder, 'before.img');

  for (const [options, size, args] of cases) {
    test(`say and write the same: ${options}, ${size}: ${args}`, async () => {
      // The real tool takes the inode of a file that was removed for a file of orphans with blocks, and fails.
      makeTunable(tree, image, options, size, true);
      await runs.compare(image, args.split(' '));
    });
  }

  test('The file of orphans gets the inode of a file that was removed', async () => {
    for (const options of [
      '-t ext4 -b 1024',
      '-t ext3 -b 1024',
      '-t ext4 -b 1024 -O uninit_bg,^metadata_csum',
    ]) {
      makeTunable(tree, image, options, '20M');
      expect((await userloop(['tune2fs', '-O', 'orphan_file', image])).status).toBe(0);
      const checked = runTool('e2fsck', ['-fn', image]);
      expect(checked.status, checked.stdout).toBe(0);
    }
  });

  test('Multiple-mount protection is set and cleared: the same but for who held the block, and when', async () => {
    for (const [options, args] of [
      ['-t ext4 -b 1024', '-O mmp'],
      ['-t ext4 -b 1024', '-O mmp -E mmp_update_interval=9'],
      ['-t ext2 -b 1024', '-O mmp'],
    ] as const) {
      makeTunable(tree, image, options, '20M');
      await runs.compare(image, args.split(' '));
      const made = runs.ours;
      // What fails lets the volume go.
      expect((await userloop(['tune2fs', '-O', '^mmp', '-U', 'nonsense', made])).status).toBe(1);
      expect((await userloop(['tune2fs', '-O', '^mmp', made])).status).toBe(0);
      const checked = runTool('e2fsck', ['-fn', made]);
      expect(checked.status, checked.stdout).toBe(0);
      expect(runTool('dumpe2fs', ['-h', made]).stdout).not.toMatch(/mmp/i);
    }
  });
});
