import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { stageFolder } from '../support/boot-images.ts';
import { describeWithKernelLoops, detachKernelLoopsOf } from '../support/kernel-loops.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';

/**
 * The Linux part of the OSDev wiki's page "Loopback Device" for root, with the kernel's loop devices: losetup, mount and umount are ours, every
 * other program is the machine's. ext2 is mounted by the kernel, FAT too where it can. `$LOOP` is the first free device,
 * since this machine may have others in use. All of it happens in a mount namespace of its own.
 */

const PROGRAM = fileURLToPath(new URL('../../bin/userloop', import.meta.url));

describeWithKernelLoops(
  ['unshare', 'mkfs.ext2', 'mkdosfs', 'fdisk', 'e2fsck', 'fsck.fat', 'mtype', 'debugfs', 'grub'],
  'the page, for root: Linux',
  () => {
    let folder: string;

    beforeEach(() => {
      folder = fs.realpathSync(temporaryFolder());
      fs.mkdirSync(`${folder}/bin`);
      fs.mkdirSync(`${folder}/run`, { mode: 0o700 });
      for (const name of ['losetup', 'mount', 'umount']) fs.symlinkSync(PROGRAM, `${folder}/bin/${name}`);
    });

    afterEach(() => detachKernelLoopsOf(folder));

    /** Runs the commands in one shell; all of them must succeed, and leave no device. */
    function session(commands: string): string {
      const script = `set -e
        /bin/mount --make-rprivate /
        /bin/mount -t tmpfs tmpfs /mnt
        cp /etc/fstab fstab 2>/dev/null || : > fstab
        /bin/mount --bind fstab /etc/fstab
        PATH=${folder}/bin:$PATH
        LOOP=$(losetup -f)
        ${commands}`;
      const { status, stdout, stderr } = runTool('unshare', ['--mount', 'sh', '-c', script], {
        cwd: folder,
        env: { ...process.env, USERLOOP_BACKEND: 'kernel', USERLOOP_RUNTIME_DIR: `${folder}/run` },
      });
      expect({ status, stderr, stdout }).toMatchObject({ status: 0 });
      expect(runTool('losetup', ['-a']).stdout).not.toContain(folder);
      return stdout;
    }

    function image(name: string): string {
      return path.join(folder, name);
    }

    /** The partition of the page's disk, as an image of its own. */
    function partition(): string {
      runTool('dd', [`if=${image('c.img')}`, `of=${image('part.img')}`, 'bs=512', 'skip=63', 'conv=sparse']);
      return image('part.img');
    }

    const CREATE = 'dd if=/dev/zero of=floppy.img bs=512 count=2880';

    it.skipIf(stageFolder() === undefined)('floppy disk images with GRUB and EXT2', () => {
      const stdout = session(`
        ${CREATE}
        losetup $LOOP floppy.img
        mkfs -t ext2 $LOOP
        mkdir /mnt/myfloppy
        mount -t ext2 $LOOP /mnt/myfloppy
        here=$PWD
        cd /mnt/myfloppy
        mkdir grub
        cp ${stageFolder()}/stage[12] /mnt/myfloppy/grub
        echo "(fd0) $LOOP" > /mnt/myfloppy/grub/device.map
        printf '%s\\n' 'root (fd0)' 'setup (fd0)' quit |
          grub --batch --device-map=/mnt/myfloppy/grub/device.map $LOOP
        df -Th $LOOP
        cd "$here"
        umount /mnt/myfloppy
        e2fsck -fn $LOOP
        losetup -d $LOOP`);
      expect(stdout).toMatch(/grub\/stage2 p \/grub\/menu.lst "... succeeded/);
      expect(stdout).toMatch(/^\/dev\/loop\d+ +ext2 +1\.4M .* \/mnt\/myfloppy$/m);
      expect(runTool('e2fsck', ['-fn', image('floppy.img')]).status).toBe(0);
      const map = runTool('debugfs', ['-R', 'cat /grub/device.map', image('floppy.img')]).stdout;
      expect(map).toMatch(/^\(fd0\) \/dev\/loop\d+\n$/);
    });

    it('floppy disk images with FAT', () => {
      const stdout = session(`
        ${CREATE}
        losetup $LOOP floppy.img
        mkdosfs $LOOP
        mkdir /mnt/myfloppy
        mount -t msdos $LOOP /mnt/myfloppy
        echo written > /mnt/myfloppy/readme.txt
        df -Th /mnt/myfloppy
        umount /mnt/myfloppy
        mkdosfs -F 12 $LOOP
        mount $LOOP /mnt/myfloppy -t msdos -o "fat=12"
        echo twelve > /mnt/myfloppy/readme.txt
        umount /mnt/myfloppy
        losetup -d $LOOP`);
      expect(stdout).toMatch(/^\/dev\/loop\d+ +\S+ +1\.4M +\S+ +1\.4M +1% \/mnt\/myfloppy$/m);
      expect(runTool('fsck.fat', ['-n', image('floppy.img')]).status).toBe(0);
      expect(runTool('mtype', ['-i', image('floppy.img'), '::readme.txt']).stdout).toBe('twelve\n');
    });

    it('hard disk images, and the easier way', () => {
      const stdout = session(`
        dd if=/dev/zero of=$PWD/c.img bs=516096c seek=1000 count=0
        printf '%s\\n' c o n p 1 '' '' a p w | fdisk -u -C1000 -S63 -H16 $PWD/c.img
        losetup -o32256 $LOOP $PWD/c.img
        mke2fs -b1024 $LOOP 503968
        mkdir /mnt/wherever
        mount -text2 $LOOP /mnt/wherever
        df -Th /mnt/wherever
        umount $LOOP
        mkdosfs -F32 $LOOP 503968
        mount -tvfat $LOOP /mnt/wherever
        df -Th /mnt/wherever
        echo data > /mnt/wherever/readme.txt
        sync
        umount $LOOP
        losetup -d $LOOP
        dd if=c.img of=fat.img bs=512 skip=63 conv=sparse
        losetup -o32256 $LOOP $PWD/c.img
        mke2fs -q -b1024 $LOOP 503968
        losetup -d $LOOP
        mount -text2 -oloop=$LOOP,offset=32256 $PWD/c.img /mnt/wherever
        losetup $LOOP
        echo easier > /mnt/wherever/readme.txt
        umount $PWD/c.img
        ! losetup $LOOP`);
      expect(stdout).toMatch(/c\.img1 +\* +63 +1007999 +1007937 +492\.2M +83 +Linux/);
      expect(stdout).toMatch(/^\/dev\/loop\d+ +ext2 +459M +1\dK +435M +1% \/mnt\/wherever$/m);
      expect(stdout).toMatch(/^\/dev\/loop\d+ +\S*vfat +492M +4\.0K +492M +1% \/mnt\/wherever$/m);
      expect(stdout).toMatch(/^\/dev\/loop\d+: \[\d+\]:\d+ \(.*\/c\.img\), offset 32256$/m);
      expect(runTool('fsck.fat', ['-n', image('fat.img')]).status).toBe(0);
      expect(runTool('mtype', ['-i', image('fat.img'), '::readme.txt']).stdout).toBe('data\n');
      expect(runTool('e2fsck', ['-fn', partition()]).status).toBe(0);
      const text = runTool('debugfs', ['-R', 'cat /readme.txt', image('part.img')]).stdout;
      expect(text).toBe('easier\n');
    });

    it('a line in /etc/fstab', () => {
      session(`
        truncate -s 4M whole.img
        mke2fs -q whole.img
        mkdir /mnt/wherever
        echo "$PWD/whole.img    /mnt/wherever    ext2    user,loop    0 0" >> /etc/fstab
        mount /mnt/wherever
        echo table > /mnt/wherever/readme.txt
        umount /mnt/wherever`);
      expect(runTool('e2fsck', ['-fn', image('whole.img')]).status).toBe(0);
      const text = runTool('debugfs', ['-R', 'cat /readme.txt', image('whole.img')]).stdout;
      expect(text).toBe('table\n');
    });
  },
);
