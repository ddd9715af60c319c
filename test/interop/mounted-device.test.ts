import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { bootUntil, serialMenu } from '../support/boot-emulator.ts';
import { stageFolder } from '../support/boot-images.ts';
import { describeWithFuse, MountStage } from '../support/mount-stage.ts';
import { until } from '../support/until.ts';

/**
 * A device and the file system that is mounted from it show the same at every moment, to the machine's own programs: what is written
 * by one way is seen by the other.
 */
describeWithFuse(
  ['mke2fs', 'e2fsck', 'debugfs', 'mkfs.fat', 'fsck.fat', 'mcopy', 'grub', 'qemu-system-x86_64'],
  'a mounted device',
  () => {
    let stage: MountStage;
    let mnt: string;

    beforeEach(() => {
      stage = new MountStage();
      mnt = stage.directory('mnt');
    });

    afterEach(() => stage.clear());

    const env = { USERLOOP_BACKEND: 'user' };
    function run(program: string, ...args: string[]): string {
      const { status, stdout, stderr } = stage.run(program, args);
      expect({ status, stderr }, `${program} ${args.join(' ')}`).toMatchObject({ status: 0 });
      return stdout;
    }
    function userloop(...args: string[]): string {
      const { status, stdout, stderr } = stage.userloop(args, { env });
      expect({ status, stderr }, args.join(' ')).toEqual({ status: 0, stderr: '' });
      return stdout;
    }
    const shell = (text: string): string => run('sh', '-euc', text);
    const owner = (): string => `root_owner=${stage.uid}:${stage.uid}`;

    it('takes GRUB while it is mounted, then a changed file, and boots', async () => {
      const image = stage.image('floppy.img', 2880 * 512);
      const device = userloop('attach', image).trim();
      run('mke2fs', '-q', '-t', 'ext2', '-E', owner(), device);
      userloop('mount', '-t', 'ext2', device, mnt);

      for (const name of ['stage1', 'stage2', 'e2fs_stage1_5'])
        fs.copyFileSync(path.join(stageFolder()!, name), stage.path(name));
      fs.writeFileSync(stage.path('menu'), serialMenu('the first title', 'root (fd0)'));
      fs.writeFileSync(stage.path('menu2'), serialMenu('another title, through the mount', 'root (fd0)'));
      shell(`mkdir mnt/grub && cp stage1 stage2 e2fs_stage1_5 mnt/grub && cp menu mnt/grub/menu.lst`);
      shell(`echo "(fd0) ${device}" > mnt/grub/device.map`);
      const before = run('md5sum', `${mnt}/grub/stage2`);
      const said = stage.run('grub', ['--batch', `--device-map=${mnt}/grub/device.map`, device], {
        input: 'root (fd0)\nsetup (fd0)\nquit\n',
      }).stdout;
      expect(said).toContain('succeeded\nDone.');
      // GRUB writes where it lies into stage2, on the device: the mount shows it.
      expect(run('md5sum', `${mnt}/grub/stage2`)).not.toBe(before);

      shell('cp menu2 mnt/grub/menu.lst');
      expect(run('debugfs', '-R', 'cat /grub/menu.lst', device)).toContain('another title');
      expect(run('cat', `${mnt}/grub/menu.lst`)).toContain('another title');

      userloop('umount', device);
      run('e2fsck', '-fn', device);
      userloop('detach', device);
      expect(stage.attached()).toEqual([]);
      run('e2fsck', '-fn', image);
      const title = 'another title, through';
      expect(await bootUntil(image, title, ['--snapshot'])).toContain(title);
    });

    it('is refused by the real mke2fs, e2fsck and mkfs.fat under its own name, and shown by df', () => {
      const image = stage.image('e.img', 8 << 20);
      const device = userloop('attach', image).trim();
      run('mke2fs', '-q', '-E', owner(), device);
      userloop('mount', device, mnt);
      const make = stage.run('mke2fs', [device]);
      expect(make.status).not.toBe(0);
      expect(make.stderr).toContain(`${device} is mounted; will not make a filesystem here!`);
      const check = stage.run('e2fsck', ['-f', device]);
      expect(check.status).not.toBe(0);
      expect(check.stdout + check.stderr).toContain(`${device} is mounted.`);
      expect(stage.run('mkfs.fat', [device]).stderr).toContain('contains a mounted filesystem');
      // As the article shows it: the device, the type, the size that mke2fs leaves.
      expect(run('df', '-Th', mnt)).toMatch(
        new RegExp(`^Filesystem +Type .*\n${device} +fuse\\.ext2 +7\\.\\dM +\\d+K +\\d\\.\\dM +1% ${mnt}\n$`),
      );
      userloop('umount', device);
      run('mke2fs', '-q', '-F', device);
    });

    it('is told to be busy, and unmounted, also when its file system was overwritten', async () => {
      const image = stage.image('o.img', 8 << 20);
      const device = userloop('attach', image).trim();
      run('mke2fs', '-q', '-E', owner(), device);
      userloop('mount', device, mnt);
      const holder = Number(run('sh', '-c', `cd ${mnt}; sleep 100 > /dev/null 2>&1 & echo $!`));
      try {
        run('dd', 'if=/dev/zero', `of=${device}`, 'bs=1M', 'count=8', 'conv=notrunc');
        expect(stage.run('ls', [mnt]).stderr).toContain('Stale file handle');
        const busy = stage.userloop(['umount', mnt], { env });
        expect(busy).toMatchObject({ status: 32, stderr: `umount: ${mnt}: target is busy.\n` });
      } finally {
        process.kill(holder);
      }
      await until(() => stage.userloop(['umount', mnt], { env }).status === 0);
      userloop('detach', device);
      expect(fs.readFileSync(image).every((byte) => byte === 0)).toBe(true);
    });

    it('shows files of FAT to mtools as they are written, and takes theirs', () => {
      const image = stage.image('f.img', 4 << 20);
      const device = userloop('attach', image).trim();
      run('mkfs.fat', device);
      userloop('mount', '-t', 'msdos', device, mnt);
      for (let round = 0; round < 5; round++) {
        shell(`echo "from the mount ${round}" > "mnt/by mount ${round}"`);
        expect(run('mtype', '-i', device, `::by mount ${round}`)).toBe(`from the mount ${round}\n`);
        fs.writeFileSync(stage.path('own'), `from the device ${round}\n`);
        run('mcopy', '-o', '-i', device, stage.path('own'), `::by device ${round}`);
        expect(run('cat', `${mnt}/by device ${round}`)).toBe(`from the device ${round}\n`);
        expect(run('ls', mnt).split('\n')).toHaveLength(2 * round + 3);
        run('mdel', '-i', device, '::by device 0');
        expect(run('ls', mnt)).not.toContain('by device 0');
        run('mcopy', '-o', '-i', device, stage.path('own'), `::by device 0`);
      }
      userloop('umount', mnt);
      run('fsck.fat', '-n', device);
    });

    it('keeps two partitions apart, and the whole device in step with both', () => {
      const image = stage.image('p.img', 16 << 20);
      const second = stage.directory('second');
      const device = userloop('attach', image).trim();
      stage.run('sfdisk', ['-q', device], { input: '2048,8192,83\n12288,8192,6\n' });
      run('mke2fs', '-q', '-E', owner(), `${device}p1`);
      run('mkfs.fat', `${device}p2`);
      userloop('mount', `${device}p1`, mnt);
      userloop('mount', `${device}p2`, second);
      shell('echo one > mnt/x; echo two > second/x');
      expect(run('debugfs', '-R', 'cat x', `${device}p1`)).toBe('one\n');
      expect(run('debugfs', '-R', 'cat x', `${device}?offset=1048576`)).toBe('one\n');
      expect(run('mtype', '-i', `${device}p2`, '::x')).toBe('two\n');
      expect(run('mtype', '-i', `${device}@@6291456`, '::x')).toBe('two\n');
      userloop('umount', `${device}p1`);
      expect(run('cat', `${second}/x`)).toBe('two\n');
      userloop('umount', `${device}p2`);
      run('e2fsck', '-fn', `${device}p1`);
      run('fsck.fat', '-n', `${device}p2`);
    });

    it('is seen by our own verbs as it is mounted', () => {
      const image = stage.image('v.img', 8 << 20);
      const device = userloop('attach', image).trim();
      run('mke2fs', '-q', '-E', owner(), device);
      userloop('mount', device, mnt);
      shell('echo now > mnt/file');
      expect(userloop('cat', `${device}:/file`)).toBe('now\n');
      expect(userloop('ls', `${device}:/`)).toContain('file');
      userloop('umount', mnt);
      userloop('detach', device);
      expect(userloop('cat', `${image}:/file`)).toBe('now\n');
    });
  },
);
