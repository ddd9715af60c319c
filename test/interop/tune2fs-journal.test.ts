import path from 'node:path';
import { test } from 'vitest';
import { describeWithTools, memoryFolder } from '../support/tools.ts';
import { makeTree, makeTunable, TuneRuns } from '../support/tune2fs-runs.ts';

const NONE = '-t ext4 -O ^has_journal';

const cases: readonly (readonly [options: string, size: string, args: string])[] = [
  ['-t ext2 -b 1024', '20M', '-j'],
  ['-t ext2 -b 1024 -m 0', '14M', '-J size=2'],
  ['-t ext2 -b 2048 -I 128', '30M', '-J size=4'],
  ['-t ext2 -b 4096', '40M', '-O has_journal'],
  ['-t ext2 -b 1024 -O ^sparse_super,^resize_inode', '40M', '-j'],
  ['-t ext2 -r 0 -b 1024', '20M', '-j'],
  ['-t ext2 -b 1024', '20M', '-J size=4,location=9000'],
  ['-t ext2 -b 1024', '20M', '-O extent -j'],
  ['-t ext2 -b 1024', '20M', '-c 10 -i 30 -j -L x -l'],
  ['-t ext2 -b 1024', '20M', '-c 10 -j'],
  ['-t ext2', '20M', '-J size=0'],
  ['-t ext2', '20M', '-J size=100'],
  ['-t ext2', '20M', '-J size=x'],
  ['-t ext2', '20M', '-J foo'],
  [`${NONE} -b 1024`, '20M', '-J size=2'],
  [`${NONE} -b 1024 -m 0`, '14M', '-J size=3'],
  [`${NONE} -b 4096`, '60M', '-J size=16'],
  [`${NONE} -b 1024 -g 1024 -G 4`, '30M', '-j'],
  [`${NONE} -b 1024`, '20M', '-J size=4,location=3000'],
  [`${NONE} -b 1024`, '20M', '-J size=4,location=3M'],
  [`${NONE} -b 1024`, '20M', '-J fast_commit_size=20 -O fast_commit'],
  [`${NONE} -b 1024`, '20M', '-j -J fast_commit_size=20 -O fast_commit'],
  [`${NONE} -b 1024`, '20M', '-O has_journal,fast_commit'],
  [`${NONE},meta_bg,^resize_inode -b 1024 -g 256`, '30M', '-j'],
  [`${NONE},sparse_super2 -b 1024`, '50M', '-j'],
  [`${NONE},uninit_bg,^metadata_csum -b 1024`, '50M', '-j'],
  ['-t ext4', '20M', '-j'],
  ['-t ext4 -b 1024', '20M', '-O ^has_journal'],
  ['-t ext4 -b 4096', '40M', '-O ^has_journal'],
  ['-t ext4 -b 1024 -O fast_commit', '20M', '-O ^has_journal'],
  ['-t ext4 -b 1024 -O uninit_bg,^metadata_csum', '20M', '-O ^has_journal -l'],
  ['-t ext4 -b 1024 -O ^resize_inode,meta_bg -J size=4', '30M', '-O ^has_journal'],
  ['-t ext3 -b 1024', '20M', '-O ^has_journal'],
  ['-t ext3 -b 1024 -J size=9', '40M', '-O ^has_journal'],
  ['-t ext3 -b 1024', '20M', '-j -O ^has_journal'],
  ['-t ext3 -I 128 -b 1024', '20M', '-J size=3 -O ^has_journal,large_dir'],
  ['-t ext4 -b 1024', '30M', '-J size=3 -O ^has_journal'],
  ['-t ext4 -b 4096', '60M', '-J size=32 -O ^has_journal'],
];

describeWithTools(['mke2fs', 'tune2fs', 'debugfs', 'e2fsck'], 'tune2fs and journals', () => {
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
});
