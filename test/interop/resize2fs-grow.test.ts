import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import {
  firstUnexpectedDifference,
  makeImages,
  RESIZE_CLOCK,
  resizeOurs,
  resizeTheirs,
} from '../support/resize-runs.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();
const NAME = 'volume.img';
const ours = path.join(folder, 'ours');
const theirs = path.join(folder, 'theirs');
fs.mkdirSync(ours);
fs.mkdirSync(theirs);

/** Block size, blocks before, size after, arguments of mke2fs. */
const growths: readonly (readonly [number, number, string, string])[] = [
  [4096, 51200, '102400', '-t ext4'],
  [4096, 32768, '65536', '-t ext4'],
  [4096, 40000, '1000000', '-t ext4'],
  [4096, 90000, '300001', '-t ext4'],
  [1024, 8193, '100000', '-t ext4'],
  [1024, 8192, '8193', '-t ext4'],
  [1024, 8193, '24577', '-t ext4'],
  [1024, 20000, '100000', '-t ext4'],
  [1024, 20000, '98M', '-t ext2'],
  [1024, 2000, '4000k', '-t ext2 -I 128'],
  [2048, 20000, '200001', '-t ext3'],
  [4096, 100000, '500001', '-t ext3'],
  [4096, 100000, '500001', '-t ext2 -I 128'],
  [4096, 100000, '500001', '-t ext4 -O ^metadata_csum'],
  [4096, 100000, '500001', '-t ext4 -O ^metadata_csum,uninit_bg'],
  [4096, 100000, '500001', '-t ext4 -O ^64bit'],
  [4096, 100000, '500001', '-t ext4 -O meta_bg,^resize_inode'],
  [1024, 100000, '500001', '-t ext4 -O meta_bg,^resize_inode'],
  [4096, 100000, '500001', '-t ext4 -O ^flex_bg'],
  [4096, 90000, '500001', '-t ext4 -O ^flex_bg'],
  [4096, 100000, '500001', '-t ext4 -O sparse_super2'],
  [4096, 100000, '500001', '-t ext4 -O ^sparse_super,^resize_inode'],
  [1024, 100000, '500001', '-t ext4 -G 4'],
  [4096, 33000, '500001', '-t ext4 -O sparse_super2'],
  [4096, 190000, '500001', '-t ext4 -G 1'],
  [4096, 5000, '2G', '-t ext4 -O quota,project'],
  [4096, 32768, '32769', '-t ext4'],
  [4096, 32768, '33000', '-t ext4'],
];

afterEach(() => {
  fs.rmSync(path.join(ours, NAME), { force: true });
  fs.rmSync(path.join(theirs, NAME), { force: true });
});

describeWithTools(['resize2fs', 'mke2fs', 'e2fsck'], 'resize2fs beside the real tool, growing', () => {
  test.each(growths)('blocks of %i: %i become %s, %s', async (blockSize, before, size, options) => {
    makeImages([ours, theirs], NAME, blockSize, before, options.split(' '));
    const expected = resizeTheirs(theirs, ['-p', NAME, size]);
    expect(await resizeOurs(ours, ['-p', NAME, size])).toEqual(expected);
    const check = runTool('e2fsck', ['-fn', path.join(ours, NAME)], { env: RESIZE_CLOCK });
    expect(check.status, check.stdout).toBe(0);
    if (expected.stderr.includes('Nothing to do')) return;
    expect(firstUnexpectedDifference(path.join(ours, NAME), path.join(theirs, NAME))).toBeUndefined();
  });
});
