import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { serialMenu } from '../support/boot-emulator.ts';
import { stageFolder } from '../support/boot-images.ts';
import { runTool, type ToolResult } from '../support/tools.ts';
import { describeInShell, ShellUser } from '../support/user-shell.ts';

/**
 * The OSDev wiki's page "Loopback Device", every command of its three systems as it is printed there, run by an ordinary user in
 * `userloop shell`: losetup, mount, umount, fdisk, mdconfig, newfs_msdos and vnconfig are ours, every other program is the machine's.
 * What differs from the page: the paths of the reader's own choosing, `#cylinders` and `#blocks` filled in, and today's name of QEMU.
 * Commands for looking are in between.
 */

let user: ShellUser;

beforeAll(() => {
  user = new ShellUser();
});

afterAll(() => {
  user?.end();
});

/** Runs the commands in one shell; all of them must succeed, and leave nothing. */
function session(commands: string): ToolResult {
  const result = user.script(commands);
  expect({ status: result.status, stderr: result.stderr, stdout: result.stdout }).toMatchObject({
    status: 0,
  });
  expect({ shells: user.shells(), processes: user.processes() }).toEqual({ shells: [], processes: [] });
  return result;
}

function image(name: string): string {
  return path.join(user.home, name);
}

/** The lines of `df -Th` for a device, without the multiple blanks. */
function usage(stdout: string, device: string): string[] {
  const found = stdout.split('\n').filter((line) => line.startsWith(`${device} `));
  return found.map((line) => line.replaceAll(/ +/g, ' '));
}

/** A file from inside of an ext file system. */
function extFile(name: string, file: string): string {
  return runTool('debugfs', ['-R', `cat ${file}`, image(name)]).stdout;
}

/** The partition of the page's disk, as an image of its own. */
function cutPartition(): string {
  const partition = image('partition.img');
  runTool('dd', [`if=${image('c.img')}`, `of=${partition}`, 'bs=512', 'skip=63', 'conv=sparse']);
  return partition;
}

/** It fails for what somebody else has mounted where we may not look. */
const DF = 'df -Th || true';
const CREATE = 'dd if=/dev/zero of=floppy.img bs=512 count=2880';

describeInShell(
  ['mkfs', 'mkfs.ext2', 'e2fsck', 'debugfs', 'grub', 'qemu-system-i386'],
  'the page: Linux',
  () => {
    it.skipIf(stageFolder() === undefined)('floppy disk images with GRUB and EXT2', () => {
      const menu = serialMenu('The menu of the page', 'root (fd0)');
      fs.writeFileSync(image('menu.lst'), menu);
      const { stdout } = session(`
      ${CREATE}
      losetup /dev/loop0 floppy.img
      mkfs -t ext2 /dev/loop0
      mkdir /mnt/myfloppy
      mount -t ext2 /dev/loop0 /mnt/myfloppy
      here=$PWD
      cd /mnt/myfloppy
      mkdir grub
      cp ${stageFolder()}/stage[12] /mnt/myfloppy/grub
      cp "$here/menu.lst" grub
      echo "(fd0) /dev/loop0" > /mnt/myfloppy/grub/device.map
      printf '%s\\n' 'root (fd0)' 'setup (fd0)' quit |
        grub --device-map=/mnt/myfloppy/grub/device.map /dev/loop0
      # Changed after GRUB has written its blocks: both must be there.
      echo "# changed" >> grub/menu.lst
      ${DF}
      cd "$here"
      umount /mnt/myfloppy
      e2fsck -fn /dev/loop0
      qemu-system-i386 -fda /dev/loop0 -snapshot -display none -monitor none -serial file:serial.log &
      for round in $(seq 300); do grep -q 'The menu of the page' serial.log && break; sleep 0.2; done
      kill $!
      wait $! || true
      losetup -d /dev/loop0`);
      expect(stdout).toContain('Filesystem type is ext2fs, using whole disk');
      expect(stdout).toMatch(
        /Running "install \/grub\/stage1 \(fd0\) \/grub\/stage2 p \/grub\/menu.lst "... succeeded/,
      );
      expect(usage(stdout, '/dev/loop0')).toEqual([
        expect.stringMatching(/^\/dev\/loop0 \S*ext2 1\.4M \d+K 1\.\dM \d+% \/mnt\/myfloppy$/),
      ]);
      expect(fs.readFileSync(image('serial.log'), 'latin1')).toContain('The menu of the page');
      expect(runTool('e2fsck', ['-fn', image('floppy.img')]).status).toBe(0);
      expect(extFile('floppy.img', '/grub/device.map')).toBe('(fd0) /dev/loop0\n');
      expect(extFile('floppy.img', '/grub/menu.lst')).toBe(`${menu}# changed\n`);
    });
  },
);

function expectFat(name: string, content: string): void {
  expect(runTool('fsck.fat', ['-n', image(name)]).status).toBe(0);
  expect(runTool('mtype', ['-i', image(name), '::readme.txt']).stdout).toBe(content);
}

describeInShell(['mkdosfs', 'fsck.fat', 'mtype'], 'the page: Linux, FAT', () => {
  it('floppy disk images with FAT16', () => {
    const { stdout } = session(`
      ${CREATE}
      losetup /dev/loop0 floppy.img
      mkdosfs /dev/loop0
      mkdir /mnt/myfloppy
      mount -t msdos /dev/loop0 /mnt/myfloppy
      echo written > /mnt/myfloppy/readme.txt
      ${DF}
      umount /mnt/myfloppy
      losetup -d /dev/loop0`);
    expect(usage(stdout, '/dev/loop0')).toEqual([
      expect.stringMatching(/^\/dev\/loop0 \S+ 1\.4M \S+ 1\.4M 1% \/mnt\/myfloppy$/),
    ]);
    expectFat('floppy.img', 'written\n');
  });

  it('floppy disk images with FAT12', () => {
    session(`
      ${CREATE}
      losetup /dev/loop0 floppy.img
      mkdosfs -F 12 /dev/loop0
      mount /dev/loop0 /mnt -t msdos -o "fat=12"
      echo twelve > /mnt/readme.txt
      umount /mnt
      losetup -d /dev/loop0`);
    expectFat('floppy.img', 'twelve\n');
  });
});

describeInShell(
  ['mke2fs', 'mkdosfs', 'e2fsck', 'debugfs', 'fsck.fat', 'mtype'],
  'the page: Linux, hard disks',
  () => {
    it('hard disk images, up to the formatted and mounted partition', () => {
      const { stdout } = session(`
        dd if=/dev/zero of=$PWD/c.img bs=516096c count=1000
        printf '%s\\n' o n p 1 '' '' a p w | fdisk -u -C1000 -S63 -H16 $PWD/c.img
        losetup -o32256 /dev/loop0 $PWD/c.img
        mke2fs -b1024 /dev/loop0 503968
        mkdir /mnt/wherever
        mount -text2 /dev/loop0 /mnt/wherever
        ${DF}
        umount /dev/loop0
        mkdosfs -F32 /dev/loop0 503968
        mount -tvfat /dev/loop0 /mnt/wherever
        ${DF}
        echo data > /mnt/wherever/readme.txt
        sync
        umount /dev/loop0
        losetup -d /dev/loop0`);
      expect(stdout).toMatch(
        /c\.img: 516 MB, 516096000 bytes\n16 heads, 63 sectors\/track, 1000 cylinders, total 1008000 sectors\n/,
      );
      expect(stdout).toMatch(/c\.img1 +\* +63 +1007999 +503968\+ +83 +Linux/);
      const [ext, fat] = usage(stdout, '/dev/loop0');
      // Inodes of 256 bytes take more than those of the page's time, when it was 477M and 452M.
      expect(ext).toMatch(/^\/dev\/loop0 \S*ext2 459M 1\dK 435M 1% \/mnt\/wherever$/);
      expect(fat).toMatch(/^\/dev\/loop0 \S*vfat 492M 4\.0K 492M 1% \/mnt\/wherever$/);
      cutPartition();
      expectFat('partition.img', 'data\n');
    });

    it('making it easier: mount and umount of the image itself', () => {
      const { stdout } = session(`
        losetup -o32256 /dev/loop0 $PWD/c.img
        mke2fs -q -b1024 /dev/loop0 503968
        losetup -d /dev/loop0
        mkdir /mnt/wherever
        mount -text2 -oloop=/dev/loop0,offset=32256 $PWD/c.img /mnt/wherever
        echo easier > /mnt/wherever/readme.txt
        ${DF}
        umount $PWD/c.img
        losetup -a`);
      expect(usage(stdout, '/dev/loop0')).toHaveLength(1);
      expect(stdout).not.toContain('/dev/loop0: ');
      expect(runTool('e2fsck', ['-fn', cutPartition()]).status).toBe(0);
      expect(extFile('partition.img', '/readme.txt')).toBe('easier\n');
      for (const name of ['partition.img', 'c.img']) fs.rmSync(image(name));
    });

    it('a line in /etc/fstab', () => {
      // The line of the page has no offset: it is for an image without a partition table.
      const { stdout } = session(`
        truncate -s 4M whole.img
        mke2fs -q whole.img
        mkdir /mnt/wherever
        echo "$PWD/whole.img    /mnt/wherever    ext2    user,loop    0 0" >> /etc/fstab
        mount /mnt/wherever
        echo table > /mnt/wherever/readme.txt
        df -Th /mnt/wherever
        umount /mnt/wherever
        losetup -a`);
      expect(stdout).toMatch(/ext2 .* \/mnt\/wherever\n$/);
      expect(runTool('e2fsck', ['-fn', image('whole.img')]).status).toBe(0);
      expect(extFile('whole.img', '/readme.txt')).toBe('table\n');
    });
  },
);

describeInShell(['fsck.fat', 'mtype'], 'the page: the BSDs', () => {
  it('FreeBSD', () => {
    const { stdout } = session(`
      dd if=/dev/zero of=floppy.img bs=512 count=2880
      mdconfig -a -t vnode -f floppy.img
      newfs_msdos -f 1440 /dev/md0
      mkdir /mnt/myfloppy
      mount -t msdosfs /dev/md0 /mnt/myfloppy
      echo FreeBSD > /mnt/myfloppy/readme.txt
      ${DF}
      umount /mnt/myfloppy
      mdconfig -d -u md0
      ls /dev/md* || true`);
    expect(stdout).toMatch(/^md0\n\/dev\/md0: 2847 sectors in 2847 FAT12 clusters/);
    expect(usage(stdout, '/dev/md0')).toEqual([expect.stringMatching(/ \/mnt\/myfloppy$/)]);
    expectFat('floppy.img', 'FreeBSD\n');
  });

  it('OpenBSD', () => {
    const { stdout } = session(`
      dd if=/dev/zero of=$PWD/floppy.img bs=512 count=2880
      vnconfig vnd0 $PWD/floppy.img
      vnconfig -l
      newfs_msdos -F 12 -f 1440 /dev/rvnd0c
      mkdir /mnt/floppy
      mount -t msdos /dev/vnd0i /mnt/floppy
      echo OpenBSD > /mnt/floppy/readme.txt
      ${DF}
      umount /mnt/floppy
      vnconfig -u vnd0
      vnconfig -l`);
    const { ino } = fs.statSync(image('floppy.img'));
    const rest = ['vnd1: not in use', 'vnd2: not in use', 'vnd3: not in use'];
    const lines = stdout.split('\n');
    expect(lines.slice(0, 4)).toEqual([
      expect.stringMatching(new RegExp(`^vnd0: covering floppy\\.img on \\S+, inode ${ino}$`)),
      ...rest,
    ]);
    expect(lines.slice(-5)).toEqual(['vnd0: not in use', ...rest, '']);
    expect(usage(stdout, '/dev/vnd0i')).toEqual([expect.stringMatching(/ \/mnt\/floppy$/)]);
    expectFat('floppy.img', 'OpenBSD\n');
  });
});
