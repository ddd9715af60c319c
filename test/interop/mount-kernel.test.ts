import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeWithKernelLoops } from '../support/kernel-loops.ts';
import { userloop } from '../support/run.ts';
import { MountStage } from '../support/mount-stage.ts';
import { runTool, type ToolResult } from '../support/tools.ts';

/** One command line of mount or umount, by whichever tool. */
type Tool = (name: string, args: readonly string[]) => ToolResult | Promise<ToolResult>;

const ENVIRONMENT = { USERLOOP_BACKEND: 'kernel', USERLOOP_FSTAB: '' };

describeWithKernelLoops(
  ['mount', 'umount', 'mke2fs', 'mkfs.fat'],
  'mount and umount against util-linux',
  () => {
    let stage: MountStage;

    beforeEach(() => {
      stage = new MountStage();
      for (const name of ['d', 'd2', 'sub']) stage.directory(name);
      stage.image('e.img', 4 << 20);
      runTool('mke2fs', ['-q', '-L', 'my lab', stage.path('e.img')]);
      stage.image('z.img', 1 << 20);
      stage.image('f.img', 4 << 20);
      runTool('mkfs.fat', [stage.path('f.img')]);
      fs.writeFileSync(stage.path('empty'), '');
      fs.writeFileSync(stage.path('file'), 'text');
      const at = (name: string): string => stage.path(name);
      fs.writeFileSync(
        at('fstab'),
        `# comment\n${at('e.img')} ${at('d')} ext2 user,loop 0 0\n${at('e.img')}\t${at('d2')} ext2 loop,ro\n` +
          `${at('e.img')} ${at('sub')} auto noauto,loop 0 0\nbad line\n${at('none.img')} ${at('sp\\040ace')} ext2 loop 0 0\n`,
      );
    });

    afterEach(() => stage.clear());

    const theirs: Tool = (name, args) => {
      const result = runTool(name, args, { cwd: stage.folder });
      return { ...result, stderr: result.stderr.replace(/^\S*\/(u?mount: )/, '$1') };
    };
    const ours: Tool = (name, args) => stage.userloop([name, ...args], { uid: 0, env: ENVIRONMENT });
    /** For what mounts nothing: quicker, but it would keep the loop device of a mount open. */
    const inside: Tool = (name, args) =>
      userloop([name, ...args], { cwd: stage.folder, env: { ...stage.environment(), ...ENVIRONMENT } });

    /** What each line prints and leaves mounted. Units differ, since others have devices; so do indented hints. */
    async function transcript(tool: Tool, lines: readonly string[]): Promise<string[]> {
      const out: string[] = [];
      for (const line of lines) {
        const [name = '', ...args] = line.split(' ').map((word) => (word === "''" ? '' : word));
        const { status, stdout, stderr } = await tool(name, args);
        const mounts = stage.mounts().map((mount) => Object.values(mount).join(' '));
        const text = [line, stdout, stderr.replaceAll(/^ {7}.*\n/gm, ''), `[${status}]`, ...mounts].join(
          '\n',
        );
        out.push(text.replaceAll(/\/dev\/loop\d+/g, '/dev/loopN'));
      }
      await stage.clear();
      return out;
    }

    it.each([
      [
        'errors before anything is mounted',
        [
          'mount -t ext2 /dev/nosuch d',
          'mount -t ext2 nosuch.img d',
          'mount -o loop nosuch.img d',
          'mount e.img nodir',
          'mount e.img file',
          'mount z.img d',
          'mount empty d',
          'mount -t ext2 z.img d',
          'mount -t ext3 e.img d',
          'mount -t squashfs e.img d',
          'mount -o bogus e.img d',
          'mount -o uid=root e.img d',
          'mount -o errors=panic,noload e.img d',
          'mount -v -o loop,offset=1000000000 e.img d',
          'mount -v -o offset=xyz e.img d',
          'mount -o rw,sizelimit= e.img d',
          'mount -o loop=/dev/nosuch e.img d',
          'mount -o loop,sizelimit=1M e.img d',
          "mount e.img ''",
          'mount d',
          'mount nosuchentry',
          'mount e.img -T nosuchfstab',
          'mount -a -T nosuchfstab',
          'mount --bogus',
          'mount -t',
          'mount a b c',
          'mount -o ro',
          'mount -L nolabel d',
          'mount -U 1234-5678 d',
          'mount LABEL=nolabel d',
          'mount -L a -U b d',
          'mount --source e.img',
          'mount --target d',
          'mount -o remount,ro d',
          'mount --make-private d',
          'mount --bind nosuch d',
          'mount --bind d nosuch',
          'umount',
          'umount --bogus',
          'umount d',
          'umount nosuch',
          'umount e.img',
          'umount file',
          'umount -q d',
          'umount -l d',
          'umount -R d',
          'umount -R nosuch',
          'umount -A d',
          'umount --fake -v d',
        ],
      ],
      [
        'images, twice, by several names',
        [
          'mount -v e.img d',
          'mount -v e.img d',
          'mount -v e.img d2',
          'mount -o offset=1M e.img sub',
          'mount -o ro e.img sub',
          'umount -v e.img',
          'umount -v d',
          'umount -v d',
          'mount -r -v e.img d',
          'mount -v -o remount,rw d',
          'umount -v d2 d',
          'mount --source e.img --target d -o atime,defaults',
          'umount -lv d',
          'mount -o ro,rw,noatime,nodiratime,sync,dirsync,strictatime,nosymfollow,silent,loud e.img d',
          'mount -o remount,ro d',
          'umount d',
          'mount -o user,exec,X-foo=bar,x-gvfs-hide,comment=abc,_netdev,nofail e.img d',
          'umount d',
          'mount -m e.img made/deep',
          'umount made/deep',
          'mount -f -v e.img d',
          'mount -text2 -oloop,offset=0 e.img d',
          'umount -dv d',
          'mount e.img d -t ext2 -o noexec',
          'umount d',
          'mount -t noext3,vfat e.img d',
          'umount d',
          'mount -t auto e.img d',
          'umount d',
        ],
      ],
      [
        'what lies on and beside other mounts',
        [
          'mount e.img d',
          'mount e.img sub',
          'umount -A -v d',
          'mount e.img d',
          'mount -t tmpfs -o size=1M,mode=700 none d/lost+found',
          'umount -v d',
          'umount -v -R d',
          'mount -v --bind d sub',
          'mount -o bind,ro d sub',
          'umount sub sub',
          'mount e.img d',
          'mount -t tmpfs none d',
          'umount -v none',
          'umount -v d',
        ],
      ],
      [
        'fstab',
        [
          'mount -T fstab -v d',
          'mount -T fstab -v d',
          'umount d',
          'mount -T fstab -v -o ro,exec d',
          'umount d',
          'mount -T fstab -v -t ext3 d',
          'mount -T fstab sub',
          'umount sub',
          'mount -a -v -O loop,ro -T fstab',
          'umount d2',
          'mount -a -v -t ext3 -T fstab',
          'mount -a -O noloop -v -T fstab',
        ],
      ],
    ])('say and do the same: %s', async (title, lines) => {
      const expected = await transcript(theirs, lines);
      const found = await transcript(title.startsWith('errors') ? inside : ours, lines);
      expect(found).toEqual(expected);
    });

    it('lists the same lines', async () => {
      await theirs('mount', ['e.img', 'd']);
      async function lines(tool: Tool, ...args: string[]): Promise<string[]> {
        const { stdout } = await tool('mount', args);
        return stdout.split('\n').filter((line) => line.includes(stage.folder));
      }
      for (const args of [[], ['-l'], ['-t', 'ext2'], ['-t', 'vfat,ext2'], ['-t', 'noext2']])
        expect(await lines(inside, ...args), args.join(' ')).toEqual(await lines(theirs, ...args));
      expect((await lines(inside, '-l'))[0]).toMatch(/ \[my lab\]$/);
    });

    it('unmounts what the real tool has mounted, and the other way round', async () => {
      expect((await theirs('mount', ['e.img', 'd'])).status).toBe(0);
      expect(await ours('umount', ['e.img'])).toEqual({ status: 0, stdout: '', stderr: '' });
      expect(await ours('mount', ['e.img', 'd'])).toEqual({ status: 0, stdout: '', stderr: '' });
      expect(await theirs('umount', ['e.img'])).toEqual({ status: 0, stdout: '', stderr: '' });
      expect(stage.mounts()).toEqual([]);
      expect(runTool('losetup', ['-j', stage.path('e.img')]).stdout).toBe('');
    });

    it('serves FAT, for which this kernel may have no driver, over the loop device', async () => {
      const kernelHasFat = fs.readFileSync('/proc/filesystems', 'utf8').includes('vfat');
      expect((await ours('mount', ['-v', 'f.img', 'd'])).stdout).toMatch(
        /^mount: \/dev\/loop\d+ mounted on /,
      );
      fs.writeFileSync(path.join(stage.path('d'), 'Long name.txt'), 'content');
      expect(stage.mounts()[0]).toMatchObject({ directory: 'd', type: kernelHasFat ? 'vfat' : 'fuse.vfat' });
      const device = stage.mounts()[0]!.source;
      expect(runTool('mkfs.fat', [device]).stderr).toContain('contains a mounted filesystem');
      expect(await ours('umount', ['f.img'])).toEqual({ status: 0, stdout: '', stderr: '' });
      expect(stage.mounts()).toEqual([]);
      expect(stage.attached()).toEqual([]);
      expect(runTool('losetup', ['-j', stage.path('f.img')]).stdout).toBe('');
      expect(runTool('fsck.fat', ['-n', stage.path('f.img')]).status).toBe(0);
    });

    it('mounts a part of a block device by a loop device over it', async () => {
      const image = stage.image('p.img', 8 << 20);
      runTool('mke2fs', ['-q', '-E', 'offset=4194304', image, '4096']);
      const device = runTool('losetup', ['-f', '--show', image]).stdout.trim();
      try {
        for (const tool of [theirs, ours]) {
          expect(await tool('mount', ['-o', 'loop,offset=4M', device, 'd'])).toMatchObject({
            status: 0,
            stderr: '',
          });
          expect(stage.mounts()).toMatchObject([{ directory: 'd', type: 'ext2' }]);
          expect(stage.mounts()[0]!.source).not.toBe(device);
          expect(await tool('umount', ['d'])).toMatchObject({ status: 0, stderr: '' });
        }
        expect(runTool('losetup', ['-j', device]).stdout).toBe('');
      } finally {
        runTool('losetup', ['-d', device]);
      }
    });

    it('mounts a partition by number', async () => {
      const image = stage.image('p.img', 8 << 20);
      runTool('sfdisk', ['-q', image], { input: '2048,4096,83\n8192,,83\n' });
      runTool('mke2fs', ['-q', '-L', 'second', '-E', 'offset=4194304', image, '4096']);
      expect((await ours('mount', [`${image}:2`, 'd'])).stderr).toBe('');
      expect((await ours('mount', ['-l', '-t', 'ext2'])).stdout).toMatch(/ \[second\]\n/);
      expect((await ours('umount', [image])).stderr).toBe('');
      // The other one is empty: there is only one that can be meant.
      expect((await ours('mount', ['-o', 'ro', image, 'd'])).stderr).toBe('');
      expect((await ours('umount', ['d'])).status).toBe(0);
      expect((await ours('mount', [`${image}:3`, 'd'])).stderr).toContain('there is no partition 3');
    });
  },
);
