import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeWithFuse, hasUserNamespaces, MountStage } from '../support/mount-stage.ts';
import { runTool } from '../support/tools.ts';

describeWithFuse(
  ['mke2fs', 'e2fsck', 'mkfs.fat', 'fsck.fat', 'sfdisk'],
  'mount and umount by a plain user',
  () => {
    let stage: MountStage;
    let mnt: string;

    beforeEach(() => {
      stage = new MountStage();
      mnt = stage.directory('mnt');
    });

    afterEach(() => stage.clear());

    const ok = { status: 0, stdout: '', stderr: '' };
    const mount = (...args: string[]) => stage.userloop(['mount', '--backend=user', ...args]);
    const umount = (...args: string[]) => stage.userloop(['umount', '--backend=user', ...args]);
    /** As the plain user, without looking at the status. */
    const run = (program: string, ...args: string[]) => stage.run(program, args);

    function extImage(name = 'e.img', label = 'lab'): string {
      const image = stage.image(name, 8 << 20);
      runTool('mke2fs', ['-q', '-L', label, '-E', `root_owner=${stage.uid}:${stage.uid}`, image]);
      return image;
    }

    function fatImage(name = 'f.img'): string {
      const image = stage.image(name, 4 << 20);
      runTool('mkfs.fat', [image]);
      return image;
    }

    it('mounts an image, shows its type to df, and leaves nothing behind', () => {
      const image = extImage();
      expect(mount(image, mnt)).toEqual(ok);
      expect(run('df', '-Th', mnt).stdout).toMatch(
        new RegExp(
          `^Filesystem +Type +Size +Used Avail Use% Mounted on\n${image} +fuse\\.ext2 +7\\.\\dM +\\d+K +\\d\\.\\dM +1% ${mnt}\n$`,
        ),
      );
      expect(run('sh', '-c', `echo text > ${mnt}/file && cat ${mnt}/file`).stdout).toBe('text\n');
      // The image is what the table of mounts names: the real tools keep off it.
      expect(run('mke2fs', image).stderr).toContain('is mounted; will not make a filesystem here!');
      expect(umount(mnt)).toEqual(ok);
      expect(stage.mounts()).toEqual([]);
      expect(stage.attached()).toEqual([]);
      expect(run('e2fsck', '-fn', image).status).toBe(0);
      expect(run('debugfs', '-R', 'cat file', image).stdout).toBe('text\n');
    });

    it("runs the article's mounts as they are printed", async () => {
      const image = stage.image('c.img', 10 << 20);
      fatImage('floppy.img');
      runTool('sfdisk', ['-q', image], { input: '63,,83\n' });
      runTool('mke2fs', [
        '-q',
        '-b1024',
        '-E',
        `offset=32256,root_owner=${stage.uid}:${stage.uid}`,
        image,
        '10000',
      ]);
      // In place of loop0, which the kernel may have by now: outside of the shell both share the names.
      const unit = '/dev/loop77';
      const article = [
        `mount -text2 -oloop=${unit},offset=32256 c.img mnt`,
        'echo one > mnt/one',
        'umount c.img',
        `losetup ${unit} floppy.img`,
        `mount -t msdos ${unit} mnt`,
        `umount ${unit}`,
        `mount ${unit} mnt -t msdos -o "fat=12"`,
        'echo two > mnt/two',
        'umount mnt',
        `mount -tvfat ${unit} mnt`,
        'cat mnt/two',
        `umount ${unit}`,
        `losetup -d ${unit}`,
      ].join('\n');
      const env = { USERLOOP_BACKEND: 'user' };
      expect(stage.script(article, { env })).toEqual({ ...ok, stdout: 'two\n' });
      // As a real one, a device that somebody has closed only just now goes a moment after losetup -d.
      await expect.poll(() => stage.attached(), { timeout: 10_000 }).toEqual([]);
      expect(run('debugfs', '-R', 'cat one', `${image}?offset=32256`).stdout).toBe('one\n');
      fs.writeFileSync(stage.path('fstab'), `${image} ${mnt} ext2 user,loop,offset=32256 0 0\n`);
      expect(stage.script(`mount ${mnt}\ncat ${mnt}/one\numount ${mnt}`, { env })).toEqual({
        ...ok,
        stdout: 'one\n',
      });
      expect(stage.attached()).toEqual([]);
    });

    it('lets a plain user mount only what fstab gives to users', () => {
      const image = extImage();
      const other = stage.directory('other');
      fs.writeFileSync(
        stage.path('fstab'),
        `${image} ${mnt} ext2 user,loop 0 0\n${image} ${other} ext2 loop 0 0\n/x ${stage.path('o')} ext2 owner 0 0\n`,
      );
      expect(mount(other).status).toBe(1 * 32);
      expect(mount(other).stderr).toContain(`mount: ${other}: must be superuser to use mount.`);
      expect(mount(mnt)).toEqual(ok);
      expect(stage.mounts()).toMatchObject([
        { directory: 'mnt', options: expect.stringContaining('nosuid,nodev,noexec') as string },
      ]);
      // By its source, and with everything that is for users.
      expect(umount(image)).toEqual(ok);
      expect(mount('-av').stdout).toBe(
        `${mnt.padEnd(25)}: successfully mounted\n${other.padEnd(25)}: ignored\n${stage.path('o').padEnd(25)}: ignored\n`,
      );
      expect(mount('-av').stdout).toContain(`${mnt.padEnd(25)}: already mounted\n`);
      expect(umount(mnt)).toEqual(ok);
    });

    it('mounts partitions of one image side by side', () => {
      const image = stage.image('p.img', 16 << 20);
      const second = stage.directory('second');
      runTool('sfdisk', ['-q', image], { input: '2048,8192,83\n12288,8192,6\n' });
      runTool('mke2fs', ['-q', '-E', `offset=1048576,root_owner=${stage.uid}:${stage.uid}`, image, '4096']);
      runTool('mkfs.fat', ['--offset', '12288', image, '4096']);
      expect(mount(image, mnt).stderr).toContain(
        `has several file systems: name one of ${image}:1, ${image}:2.`,
      );
      expect(mount(`${image}:1`, mnt)).toEqual(ok);
      expect(mount('-o', 'partition=2', image, second)).toEqual(ok);
      expect(stage.attached()).toHaveLength(1);
      const tree = stage.directory('tree');
      for (let number = 0; number < 40; number++)
        fs.writeFileSync(`${tree}/A file, number ${number}`, `${number}\n`.repeat(number * 100));
      for (const place of [mnt, second]) {
        expect(run('cp', '-r', tree, `${place}/copy`)).toEqual(ok);
        expect(run('diff', '-r', tree, `${place}/copy`)).toEqual(ok);
      }
      expect(umount(image)).toEqual(ok);
      expect(stage.mounts()).toMatchObject([{ directory: 'mnt' }]);
      expect(umount(image)).toEqual(ok);
      expect(stage.attached()).toEqual([]);
      expect(run('e2fsck', '-fn', `${image}?offset=1048576`).status).toBe(0);
      expect(mount(`${image}@1M`, mnt)).toEqual(ok);
      expect(umount(mnt)).toEqual(ok);
    });

    it('honours masks, owners and read-only images', () => {
      const image = fatImage();
      expect(mount('-o', 'uid=7,gid=root,umask=077,ro', image, mnt)).toEqual(ok);
      const { uid, gid, mode } = fs.statSync(stage.uid === process.getuid!() ? mnt : '/');
      if (stage.uid === process.getuid!()) expect([uid, gid, mode & 0o777]).toEqual([7, 0, 0o700]);
      expect(run('stat', '-c', '%u %g %a', mnt).stdout).toBe('7 0 700\n');
      expect(run('touch', `${mnt}/x`).stderr).toContain('Read-only file system');
      expect(umount(mnt)).toEqual(ok);
      fs.chmodSync(image, 0o444);
      expect(mount(image, mnt)).toEqual({
        ...ok,
        stderr: `mount: ${mnt}: WARNING: source write-protected, mounted read-only.\n`,
      });
      expect(umount(image)).toEqual(ok);
    });

    it('says why it mounts read-only what it cannot write', () => {
      const image = stage.image('e4.img', 8 << 20);
      runTool('mke2fs', ['-q', '-t', 'ext4', image]);
      runTool('debugfs', ['-w', '-R', 'feature shared_blocks', image]);
      expect(mount(image, mnt)).toEqual({
        ...ok,
        stderr: `mount: ${mnt}: WARNING: userloop cannot write this ext4 file system, mounted read-only.\n`,
      });
      expect(umount(mnt)).toEqual(ok);
      expect(mount('-o', 'ro,noload', image, mnt)).toEqual(ok);
      expect(umount(mnt)).toEqual(ok);
    });

    it('writes ext4 through its journal: what was synchronised is there after a crash', () => {
      const image = stage.image('journal.img', 16 << 20);
      runTool('mke2fs', ['-q', '-t', 'ext4', '-E', `root_owner=${stage.uid}:${stage.uid}`, image]);
      expect(mount('-o', 'data=ordered,commit=60', image, mnt)).toEqual(ok);
      expect(run('mkdir', `${mnt}/directory`).status).toBe(0);
      const written = `printf synchronised | dd status=none conv=fsync of=${mnt}/directory/file`;
      expect(run('sh', '-c', written).status).toBe(0);
      const crashed = `${image}.crashed`;
      fs.copyFileSync(image, crashed);
      expect(umount(mnt)).toEqual(ok);
      for (const file of [image, crashed]) {
        const { stdout, status } = runTool('e2fsck', ['-p', file]);
        expect(status, stdout).toBeLessThanOrEqual(1);
        expect(stdout.includes('recovering journal')).toBe(file === crashed);
        expect(runTool('e2fsck', ['-fn', file]).status).toBe(0);
        expect(runTool('debugfs', ['-R', 'cat /directory/file', file]).stdout).toBe('synchronised');
      }
    });

    it.each([
      [['-t', 'ext2', 'f.img'], 'wrong fs type, bad option, bad superblock'],
      [['-t', 'vfat', 'e.img'], 'wrong fs type, bad option, bad superblock'],
      [['-o', 'fat=16', 'f.img'], 'holds fat12, not FAT with 16 bits'],
      [['-o', 'data=ordered', 'e.img'], 'data= and commit= need a journal'],
      [['-o', 'fat=12', 'e.img'], 'bad option "fat=12": it is not one of ext.'],
      [['-o', 'codepage=866', 'f.img'], 'bad option "codepage=866": it only takes 437.'],
      [['-t', 'xfs', 'e.img'], "unknown filesystem type 'xfs'."],
      [['-t', 'vfat,msdos', 'e.img'], 'holds ext2, which is not in the list'],
      [['zero.img'], 'There is no file system on loop'],
      [['nosuch.img'], 'special device nosuch.img does not exist.'],
      [['-o', 'loop', 'nosuch.img'], 'failed to setup loop device for nosuch.img.'],
      [['nbd://localhost/x'], 'only files and devices can be mounted'],
      [['e.img:1'], 'there is no partition 1'],
    ])('refuses %j and leaves nothing', (args, message) => {
      extImage();
      fatImage();
      stage.image('zero.img', 1 << 20);
      const { status, stderr } = mount(...args, mnt);
      expect(stderr).toContain(message);
      expect(stderr).toMatch(/^mount: \S*mnt: /);
      expect(status).toBe(32);
      expect(stage.mounts()).toEqual([]);
      expect(stage.attached()).toEqual([]);
    });

    it("refuses directories that are not there or not the user's", () => {
      const image = extImage();
      expect(mount(image, 'nowhere')).toMatchObject({
        status: 32,
        stderr: 'mount: nowhere: mount point does not exist.\n',
      });
      expect(mount(image, image).stderr).toContain('mount point is not a directory.');
      if (process.getuid!() === 0) {
        const roots = stage.path('roots');
        fs.mkdirSync(roots);
        expect(mount(image, roots).stderr).toContain(`mount: ${roots}: permission denied.`);
        // Nor can others end the user's mounts.
        expect(mount(image, mnt)).toEqual(ok);
        expect(
          stage.userloop(['umount', mnt], { uid: 1, env: { USERLOOP_RUNTIME_DIR: stage.path('x') } }),
        ).toMatchObject({
          status: 32,
          stderr: `umount: ${mnt}: must be superuser to unmount.\n`,
        });
        expect(stage.mounts()).toHaveLength(1);
      }
      expect(stage.attached().length).toBe(stage.mounts().length);
    });

    it('tells what is busy, and unmounts it lazily', () => {
      const image = extImage();
      expect(mount(image, mnt)).toEqual(ok);
      const busy = stage.script(`cd ${mnt}\numount ${mnt} || true\numount -l ${mnt}`);
      expect(busy.stderr).toMatch(new RegExp(`^umount: ${mnt}: target is busy\\.\n`));
      expect(busy.status).toBe(0);
      expect(stage.mounts()).toEqual([]);
      expect(umount(mnt)).toMatchObject({ status: 32, stderr: `umount: ${mnt}: not mounted.\n` });
    });

    it('finds what is attached by label and UUID', () => {
      const image = extImage('e.img', 'my label');
      const uuid = run('blkid', '-s', 'UUID', '-o', 'value', image).stdout.trim();
      expect(stage.userloop(['attach', image]).status).toBe(0);
      expect(mount('-L', 'my label', mnt)).toEqual(ok);
      expect(mount('-l', '-t', 'ext2').stdout).toContain('[my label]');
      expect(umount('LABEL=my label')).toEqual(ok);
      expect(mount(`UUID=${uuid}`, mnt)).toEqual(ok);
      expect(umount('-d', mnt)).toEqual(ok);
      expect(stage.attached()).toEqual([]);
      expect(mount('LABEL=my label', mnt)).toMatchObject({
        status: 1,
        stderr: `mount: ${mnt}: can't find LABEL=my label.\n`,
      });
    });

    describe.skipIf(!hasUserNamespaces())('in a user namespace', () => {
      const inNamespace = (text: string) =>
        stage.run('unshare', ['-Urm', 'sh', '-eu'], {
          input: `${stage.prelude}\nexport USERLOOP_BACKEND=user\n${text}`,
        });

      it('mounts without fusermount3, remounts and binds', () => {
        extImage();
        stage.directory('b');
        const result = inNamespace(
          `cd ${stage.folder}\nmount e.img mnt\ngrep -c "$PWD/mnt fuse.ext2" /proc/self/mounts\nmount -o remount,ro mnt\n` +
            'touch mnt/x 2>&1 || true\nmount -o remount,rw mnt\ntouch mnt/x\nmount --bind mnt b\nls b\numount b\numount e.img\nuserloop list',
        );
        expect(result.stderr).toBe('');
        expect(result.stdout).toMatch(/^1\ntouch: .*Read-only file system\nlost\+found\nx\n/);
        expect(stage.attached()).toEqual([]);
      });

      it('says what is missing without /dev/fuse, and what does the job instead', () => {
        const image = extImage();
        const bare = stage.directory('dev');
        const nodes = ['null', 'zero', 'random', 'urandom', 'tty'];
        const hide = [
          `mount=$(command -v /bin/mount)`,
          `$mount -t tmpfs none ${bare}`,
          ...nodes.flatMap((node) => [`: > ${bare}/${node}`, `$mount --bind /dev/${node} ${bare}/${node}`]),
          `$mount --rbind ${bare} /dev`,
        ].join('\n');
        const result = inNamespace(`${hide}\n! test -e /dev/fuse\nmount ${image} ${mnt} || echo $?\n`);
        expect(result.stdout).toBe('32\n');
        expect(result.stderr).toMatch(
          new RegExp(`^mount: ${mnt}: cannot mount here: /dev/fuse is not there`),
        );
        expect(result.stderr).toContain(`userloop ls ${image}:/`);
        expect(result.stderr.split('\n').filter((line) => /Error|^\s+at /.test(line))).toEqual([]);
        expect(stage.attached()).toEqual([]);
        expect(stage.userloop(['ls', `${image}:/`])).toMatchObject({ status: 0, stdout: 'lost+found\n' });
      });
    });

    it('leaves the way back open when its process is killed', () => {
      const image = extImage();
      expect(mount(image, mnt)).toEqual(ok);
      const state = JSON.parse(
        fs.readFileSync(path.join(stage.runtime, stage.attached()[0]!, 'state.json'), 'utf8'),
      ) as { pid: number };
      process.kill(state.pid, 'SIGKILL');
      // Whoever looks next cleans up.
      expect(stage.userloop(['list']).status).toBe(0);
      expect(stage.mounts()).toEqual([]);
      expect(mount(image, mnt)).toEqual(ok);
      expect(umount(mnt)).toEqual(ok);
      expect(run('e2fsck', '-fn', image).status).toBe(0);
    });
  },
);
