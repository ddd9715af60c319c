import fs from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { execFileSync } from '../support/programs.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

/**
 * The OSDev wiki's page "Loopback Device", its first half: the commands that make images, on plain files and without
 * privilege. Where the page names a loop device at an offset, the tool's own offset option stands in for it.
 */

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
});

/** Runs one command line of the page; quotes are the only shell syntax that it uses. */
async function run(line: string, stdin = ''): Promise<string> {
  const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2]!);
  const result = await userloop(words, { cwd: folder, stdin });
  expect({ line, status: result.status, stderr: result.stderr }).toMatchObject({ status: 0 });
  return result.stdout;
}

function dd(line: string): void {
  execFileSync('dd', line.split(' '), { cwd: folder, stdio: 'ignore' });
}

describe('floppy images', () => {
  it('carry ext2 and files of any kind', async () => {
    dd('if=/dev/zero of=floppy.img bs=512 count=2880');
    await run('mkfs -t ext2 floppy.img');
    await run('mkdir floppy.img:/grub');
    fs.writeFileSync(path.join(folder, 'device.map'), '(fd0) floppy.img\n');
    await run('cp device.map floppy.img:/grub');
    expect(await run('cat floppy.img:/grub/device.map')).toBe('(fd0) floppy.img\n');
    expect(await run('ls -1 floppy.img:/')).toBe('grub\nlost+found\n');
  });

  it('are FAT12 by default, as mkdosfs makes them, and with -F 12', async () => {
    for (const command of [
      'mkdosfs floppy.img',
      'mkdosfs -F 12 floppy.img',
      'newfs_msdos -F 12 -f 1440 ./floppy.img',
    ]) {
      dd('if=/dev/zero of=floppy.img bs=512 count=2880');
      await run(command);
      const report = JSON.parse(await run('inspect --json floppy.img')) as unknown;
      expect(JSON.stringify(report)).toContain('"fat12"');
    }
  });
});

/** `o n p 1 (default) (default) a p w`, as the page tells to type. */
const KEYSTROKES = 'o\nn\np\n1\n\n\na\np\nw\n';

describe('hard disk images', () => {
  it('come out of fdisk with the figures of the page', async () => {
    dd('if=/dev/zero of=c.img bs=516096c seek=1000 count=0');
    const listing = await run('fdisk -u -C1000 -S63 -H16 c.img', KEYSTROKES);
    expect(listing).toContain('Disk c.img: 516 MB, 516096000 bytes\n');
    expect(listing).toContain('16 heads, 63 sectors/track, 1000 cylinders, total 1008000 sectors\n');
    expect(listing).toContain('Units = sectors of 1 * 512 = 512 bytes\n');
    expect(listing).toMatch(/^c\.img1 +\* +63 +1007999 +503968\+ +83 +Linux$/m);
  });

  it('hold ext2 in the partition, made with the block count of the page', async () => {
    dd('if=/dev/zero of=c.img bs=516096c seek=1000 count=0');
    await run('fdisk -u -C1000 -S63 -H16 c.img', KEYSTROKES);
    await run('mke2fs -b1024 -E offset=32256 c.img 503968');
    await run('mkdir -p c.img:1:/boot/grub');
    expect(await run('ls -1 c.img:1:/')).toBe('boot\nlost+found\n');
    expect(await run('ls -1 c.img@32256:/boot')).toBe('grub\n');
  });

  it('hold FAT32 in the partition, made with the block count of the page', async () => {
    dd('if=/dev/zero of=c.img bs=516096c seek=1000 count=0');
    await run('fdisk -u -C1000 -S63 -H16 c.img', KEYSTROKES.replace('a\np', 't\nc\na\np'));
    await run('mkdosfs -F32 --offset 63 c.img 503968');
    await run('mkdir c.img:1:/boot');
    expect(await run('ls -1 c.img:1:/')).toBe('boot\n');
  });
});

describeWithTools(['e2fsck', 'fsck.fat', 'mdir'], 'the images of the page', () => {
  it('are clean by the word of the reference tools', async () => {
    dd('if=/dev/zero of=c.img bs=516096c seek=1000 count=0');
    await run('fdisk -u -C1000 -S63 -H16 c.img', KEYSTROKES);
    await run('mke2fs -q -b1024 -E offset=32256 c.img 503968');
    fs.writeFileSync(path.join(folder, 'menu.lst'), 'timeout 3\n');
    await run('cp menu.lst c.img:1:/');
    dd('if=c.img of=partition.img bs=512 skip=63 conv=sparse');
    expect(runTool('e2fsck', ['-fn', 'partition.img'], { cwd: folder }).status).toBe(0);

    dd('if=/dev/zero of=floppy.img bs=512 count=2880');
    await run('mkdosfs -F 12 floppy.img');
    await run('cp menu.lst floppy.img:/');
    expect(runTool('fsck.fat', ['-n', 'floppy.img'], { cwd: folder }).status).toBe(0);
    expect(runTool('mtype', ['-i', 'floppy.img', '::menu.lst'], { cwd: folder }).stdout).toBe('timeout 3\n');
  });
});
