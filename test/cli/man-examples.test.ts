import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '../../src/cli/registry.ts';
import { AttachedTest, canUseFuse } from '../support/attached.ts';
import { findTool } from '../support/tools.ts';

/**
 * The examples of every --help and man page, typed as they are printed: they do it, and complain of nothing. In a folder that has what they
 * speak of; the classic names are ours. A few of them, all with USERLOOP_EXAMPLES=all.
 */
const ROOT = path.resolve(import.meta.dirname, '../..');
const PROGRAM = path.join(ROOT, 'bin/userloop');
const STEP = process.env['USERLOOP_EXAMPLES'] === 'all' ? 1 : 8;

/** What a test cannot type: it takes a window, a person or another shell. */
const UNTYPED = [
  /^userloop (boot|shell|completion) /,
  /^userloop shell$/,
  /^eval /,
  /^PATH=/,
  /^userloop inspect --repair/,
  /\/mnt(\s|\/|$)/,
  /^fdisk -u -C1000 -S63 -H16 c.img$/,
];

/** What comes before one. Devices are of this folder's registry. */
const BEFORE: readonly (readonly [RegExp, string])[] = [
  [/--move-data/, 'echo start=2048,size=20480 | sfdisk -q -w always -W always c.img'],
  [/^sfdisk -d a/, 'cp --sparse=always parts.img a.img; : > b.img; truncate -s 800M b.img'],
  [/^sfdisk --delete c.img 2/, "printf ',10M\\n,10M\\n' | sfdisk -q -w always -W always c.img"],
  [/^truncate/, 'losetup /dev/loop0 disk.img'],
  [/^tune2fs -j/, 'mke2fs -q -F -t ext2 disk.img'],
  [/^userloop ln -s/, 'userloop rm disk.img:/boot/vmlinuz'],
  [/^userloop mv a\.img/, 'userloop rm -r b.img:2:/home'],
  [
    /--restore before\.undo floppy\.img/,
    'printf x | dd of=floppy.img bs=1 seek=700 conv=notrunc status=none; userloop check -y --undo before.undo floppy.img >/dev/null || :',
  ],
  [/^userloop detach disk\.img/, 'userloop attach disk.img >/dev/null'],
  [/^userloop detach \/dev\/loop0 loop1/, 'losetup /dev/loop0 c.img; losetup /dev/loop1 disk.img'],
  [/^userloop list|^losetup -l|^mdconfig -l|^vnconfig -l/, 'userloop attach disk.img >/dev/null'],
  [/^losetup -d/, 'losetup /dev/loop0 c.img'],
  [/^resize2fs \/dev\/loop0p2/, 'losetup /dev/loop0 parts.img; mkfs.ext2 -q -F /dev/loop0p2 1M 2>/dev/null'],
  [/^mdconfig -d/, 'mdconfig -f c.img >/dev/null'],
  [/^vnconfig -u/, 'vnconfig vnd0 c.img'],
  [/^umount c\.img/, 'userloop mount c.img:1 mnt'],
  [/^umount -d/, 'losetup /dev/loop0 whole.img; mount /dev/loop0 mnt'],
];

/** Where `disk.img` is a disk with partitions; elsewhere it is a file system. */
const PARTITIONED =
  /disk\.img:[12]|-o 1M disk|partition=2|--offset 2048|offset=32256|userloop inspect|-F 32 disk/;

/** Examples that make what they name, or whose target must not be there. */
const MAKING = /^userloop create|-C |^mke2fs -q floppy/;
const NAMES = [
  'disk.img',
  'boot',
  'rootfs',
  'rootfs.tar',
  'a.img',
  'b.img',
  'c.img',
  'floppy.img',
  'device.map',
  'whole.img',
  'parts.img',
];

function environmentOf(test: AttachedTest): NodeJS.ProcessEnv {
  const env = { ...test.env, HOME: test.folder, LC_ALL: 'C.UTF-8', TZ: 'UTC' };
  return { ...env, PATH: `${test.folder}/bin:${process.env['PATH']}:/usr/sbin:/sbin` };
}

function shell(
  test: AttachedTest,
  folder: string,
  command: string,
): Promise<{ status: number | null; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-c', command], {
      cwd: folder,
      env: environmentOf(test),
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 60_000,
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, stderr }));
  });
}

/** Says of a file system that it starts at once, as the originals do on stderr, and nothing else. */
const BANNER = /^(mke2fs|mkfs\.\w+|e2fsck|resize2fs|tune2fs|dumpe2fs) 1\.47.*\n|^\n/gm;

describe.skipIf(!canUseFuse() || findTool('bash') === undefined || findTool('mke2fs') === undefined)(
  'the examples of the man pages [FUSE, bash, mke2fs]',
  () => {
    const stage = new AttachedTest();
    const tests: AttachedTest[] = [stage];

    beforeAll(async () => {
      const { folder } = stage;
      fs.mkdirSync(`${folder}/bin`);
      fs.symlinkSync(PROGRAM, `${folder}/bin/userloop`);
      await shell(stage, folder, 'userloop applets --install bin');
      fs.mkdirSync(`${folder}/tree/boot/grub`, { recursive: true });
      for (const name of ['etc', 'bin', 'home/me', 'var/www', 'var/cache', 'usr/share'])
        fs.mkdirSync(`${folder}/tree/${name}`, { recursive: true });
      for (const name of [
        'vmlinuz',
        'core',
        'bin/su',
        'bin/busybox',
        'etc/hostname',
        'boot/vmlinuz',
        'boot/vmlinuz-6.1',
      ])
        fs.writeFileSync(`${folder}/tree/${name}`, name);
      fs.writeFileSync(`${folder}/tree/boot/grub/menu.lst`, 'timeout 5\n');
      fs.writeFileSync(`${folder}/tree/boot/grub/stage2`, new Uint8Array(9000).fill(1));
      fs.writeFileSync(`${folder}/tree/boot/grub/stage1`, new Uint8Array(512).fill(1));
      fs.writeFileSync(`${folder}/tree/etc/passwd`, 'www-data:x:33:33::/var/www:/bin/sh\n');
      const made = await shell(
        stage,
        folder,
        `set -e; mkdir mnt boot; cp -r tree rootfs; cp -r tree/boot/. boot; tar cf rootfs.tar -C tree .
        mke2fs -q -t ext4 -d tree whole.img 32M; mke2fs -q -t ext2 -d tree a.fs 4M
        userloop create parts.img 780M; printf 'start=2048,size=1400000\\n,\\n' | sfdisk -q parts.img
        mke2fs -q -t ext4 -d tree parts.img:1; mke2fs -q -t ext2 -d tree parts.img:2
        userloop create c.img 503M; printf 'start=63,type=83\\n' | sfdisk -q c.img; mke2fs -q -t ext2 -d tree c.img:1
        mkfs.fat -C floppy.img 1440; userloop cp -r boot floppy.img:/; echo '(fd0) floppy.img' > device.map
        cp whole.img a.img; cp --sparse=always parts.img b.img`,
      );
      expect([made.status, made.stderr.replaceAll(BANNER, '')]).toEqual([0, '']);
    });

    afterAll(() => Promise.all(tests.map((test) => test.end())));

    it('do what they say', async () => {
      const commands = await Promise.all(REGISTRY.map((entry) => entry.load()));
      const lines = commands.flatMap(({ examples }) => examples.map(({ command }) => command));
      const typed = lines.filter((line) => !UNTYPED.some((pattern) => pattern.test(line)));
      expect(typed.length).toBeGreaterThan(80);
      const chosen = typed.filter((_, index) => index % STEP === 0);
      const failed: unknown[] = [];
      async function type(line: string): Promise<void> {
        const test = new AttachedTest();
        tests.push(test);
        const { folder } = test;
        fs.symlinkSync(`${stage.folder}/bin`, `${folder}/bin`);
        const before = BEFORE.find(([pattern]) => pattern.test(line))?.[1] ?? ':';
        const disk = PARTITIONED.test(line) ? 'parts.img' : 'whole.img';
        // What it makes itself is not there; sparse files stay sparse.
        const wanted = MAKING.test(line) ? [] : NAMES.filter((name) => `${before} ${line}`.includes(name));
        const copies = wanted.map(
          (name) => `cp -r --sparse=always ${stage.folder}/${name === 'disk.img' ? disk : name} ${name}; `,
        );
        const { status, stderr } = await shell(
          test,
          folder,
          `${copies.join('')}mkdir mnt; ${before}\n${line}`.replaceAll(/loop(?=[01]\b|0p)/g, 'loop7'),
        );
        const told = stderr.replaceAll(BANNER, '');
        if (status !== 0 || told !== '') failed.push({ line, status, told });
        await test.end();
        fs.rmSync(folder, { recursive: true, force: true });
      }
      let next = 0;
      async function typist(): Promise<void> {
        while (next < chosen.length) await type(chosen[next++]!);
      }
      await Promise.all([typist(), typist(), typist()]);
      expect(failed).toEqual([]);
    });
  },
);
