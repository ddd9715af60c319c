import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { MountedImage, describeWithMounts } from '../support/mounted.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';

const MIB = 1 << 20;
const KIB = 1 << 10;

let mounted: MountedImage | undefined;

afterEach(async () => {
  await mounted?.close();
  mounted = undefined;
});

/**
 * In a process of its own: whatever else this one starts would have the files open for a moment, too. A thread keeps the queue of
 * requests from being empty: the kernel lets others pass before what it forgets then.
 */
const SCRIPT = `
  const fs = require('node:fs');
  const { Worker, isMainThread, workerData } = require('node:worker_threads');
  const directory = isMainThread ? process.argv[1] : workerData;
  const content = Buffer.alloc(Number(process.argv[2]), 7);
  const name = (each) => directory + '/' + each;
  if (!isMainThread) {
    for (;;) fs.statfsSync(directory);
  }
  const asker = new Worker(process.env.SCRIPT, { eval: true, workerData: directory });
  asker.once('online', () => {
    fs.writeFileSync(name('file'), content);
    const growing = fs.openSync(name('growing'), 'w');
    for (let i = 0; i < 200; i++) {
      fs.unlinkSync(name('file'));
      fs.writeSync(growing, content, 0, content.length, 0);
      fs.ftruncateSync(growing);
      fs.writeFileSync(name('file'), content);
    }
    // What is open keeps its space.
    const open = fs.openSync(name('file'), 'r');
    fs.unlinkSync(name('file'));
    let code;
    try {
      fs.writeFileSync(name('other'), content);
    } catch (error) {
      ({ code } = error);
    }
    fs.closeSync(open);
    fs.writeFileSync(name('other'), content);
    console.log(code);
    process.exit();
  });`;

const VOLUMES = [
  { type: 'ext2', tool: 'mke2fs', args: ['-q', '-F', '-t', 'ext2', '-m', '0'] },
  { type: 'ext4', tool: 'mke2fs', args: ['-q', '-F', '-t', 'ext4', '-m', '0'] },
  { type: 'FAT', tool: 'mkfs.fat', args: [] },
] as const;

describeWithMounts(['mke2fs', 'mkfs.fat'], 'A full volume', () => {
  for (const { type, tool, args } of VOLUMES) {
    it(`has the space of what was removed at once, while others ask much (${type})`, async () => {
      const image = path.join(temporaryFolder(), 'disk.img');
      fs.writeFileSync(image, '');
      fs.truncateSync(image, 8 * MIB);
      expect(runTool(tool, [...args, image]).status).toBe(0);
      mounted = new MountedImage(image);
      const { directory } = await mounted.mount();
      // Leaves room for the file, but not for it twice.
      const length = 96 * KIB;
      const { bavail, bsize } = fs.statfsSync(directory);
      fs.writeFileSync(path.join(directory, 'filler'), Buffer.alloc(bavail * bsize - 160 * KIB));
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ['-e', SCRIPT, directory, String(length)],
        {
          env: { ...process.env, SCRIPT },
        },
      );
      expect(stdout).toBe('ENOSPC\n');
      expect(mounted.log).toEqual([]);
    });
  }
});
