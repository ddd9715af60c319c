import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { extDriver } from '../../src/filesystem/ext/driver.ts';
import { FileDevice } from '../../src/host/file-device.ts';
import { canMount, withMount } from '../support/ext-driver-trees.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';

const cases: readonly (readonly [size: string, args: string])[] = [
  ['32M', '-t ext4'],
  ['300M', '-t ext4'],
  ['3G', '-t ext4'],
  ['20G', '-t ext4'],
  ['64M', '-t ext3'],
  ['64M', '-t ext3 -O ^resize_inode -m 0'],
  ['64M', '-t ext2'],
  ['64M', '-t ext4 -b 1024 -O ^resize_inode,meta_bg'],
  ['64M', '-t ext4 -O sparse_super2'],
  ['64M', '-t ext4 -b 1024 -g 1024 -O ^sparse_super,^resize_inode'],
  ['64M', '-t ext4 -b 1024 -O orphan_file'],
  ['64M', '-t ext4 -O ^has_journal,inline_data'],
  ['64M', '-t ext4 -b 1024 -O ^extent,^64bit'],
  ['200M', '-t ext4 -O bigalloc'],
];

describe.skipIf(!canMount())('df shows of a volume', () => {
  test.each(cases)('what the kernel shows: %s, mke2fs %s', (size, args) => {
    const image = path.join(temporaryFolder(), 'disk.img');
    fs.writeFileSync(image, '');
    const made = runTool('mke2fs', ['-q', '-F', ...args.split(' '), image, size]);
    expect(made.status, made.stderr).toBe(0);
    const kernel = withMount(image, 'ro', (folder) => fs.statfsSync(folder));
    const device = FileDevice.open(image, { readOnly: true });
    const usage = extDriver.open(device, { readOnly: true }).usage();
    device.close();
    fs.rmSync(image);
    expect(usage).toEqual({
      blockSize: kernel.bsize,
      totalBlocks: kernel.blocks,
      freeBlocks: kernel.bfree,
      availableBlocks: kernel.bavail,
      totalNodes: kernel.files,
      freeNodes: kernel.ffree,
    });
  });
});
