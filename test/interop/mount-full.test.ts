import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { MountedImage, describeWithMounts } from '../support/mounted.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';
import { describeInShell, ShellUser } from '../support/user-shell.ts';

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
      const { bfree, bsize } = fs.statfsSync(directory);
      fs.writeFileSync(path.join(directory, 'filler'), Buffer.alloc(bfree * bsize - 160 * KIB));
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

describeInShell(
  ['mkfs.ext4', 'e2fsck', 'mount'],
  'an image that cannot grow, since the disk below it is full',
  () => {
    it('tells programs and whoever unmounts it, and stays whole', () => {
      const user = new ShellUser();
      try {
        const { status, stdout } = user.script(`
        /bin/mount -t tmpfs -o size=12m none /mnt
        cd /mnt
        truncate -s 64M d.img
        mkfs.ext4 -q d.img
        mkdir m
        for end in 'umount m' 'userloop detach --force d.img'; do
          mount d.img m
          dd if=/dev/zero of=m/big bs=1M count=40 conv=fsync 2>&1 | head -n 1
          echo more > m/more
          sync m/more 2>&1 || true
          $end 2>&1 || echo "status $?"
          losetup -a
          e2fsck -fn d.img
        done`);
        const full = 'No space left on device';
        const told = stdout
          .split('\n')
          .filter((line) => /^(dd|sync|umount| {7}|userloop|status|\/dev)/.test(line));
        expect({ status, told }).toEqual({
          status: 0,
          told: [
            `dd: error writing 'm/big': ${full}`,
            `sync: error syncing 'm/more': ${full}`,
            "umount: /mnt/m: can't write superblock.",
            `       It is unmounted, but not everything could be written: ${full}`,
            'status 32',
            `dd: error writing 'm/big': ${full}`,
            `sync: error syncing 'm/more': ${full}`,
            expect.stringMatching(
              /^userloop detach: .* unmounted, but not everything could be written: No space left on device/,
            ),
            'status 1',
          ],
        });
      } finally {
        user.end();
      }
    });
  },
);
