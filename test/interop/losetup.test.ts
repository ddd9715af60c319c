import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { userloop } from '../support/run.ts';
import { describeWithKernelLoops, detachKernelLoopsOf } from '../support/kernel-loops.ts';
import { execFileSync } from '../support/programs.ts';
import { runTool, temporaryFolder } from '../support/tools.ts';

/** Runs one losetup command line; a Promise also where the tool is a program. */
type Losetup = (args: readonly string[]) => Promise<{ status: number; stdout: string; stderr: string }>;

describeWithKernelLoops(
  ['losetup', 'sfdisk', 'mke2fs'],
  "losetup of the kernel's devices against util-linux",
  () => {
    let folder: string;

    beforeEach(() => {
      folder = fs.realpathSync(temporaryFolder());
      for (const [name, size] of Object.entries({
        'a.img': 10 << 20,
        'b.img': 5 << 20,
        'odd.img': 1000,
        'tiny.img': 1,
        'with blank.img': 1 << 20,
        'q"uo\\te\n.img': 1 << 20,
        'üml-日本.img': 1 << 20,
      })) {
        fs.writeFileSync(path.join(folder, name), '');
        fs.truncateSync(path.join(folder, name), size);
      }
      fs.symlinkSync('a.img', path.join(folder, 'link.img'));
    });

    afterEach(() => detachKernelLoopsOf(folder));

    const theirs: Losetup = async (args) => {
      const result = runTool('losetup', args, { cwd: folder });
      return { ...result, stderr: result.stderr.replace(/^\S*\/losetup: /, 'losetup: ') };
    };
    const ours: Losetup = (args) =>
      userloop(['losetup', '--backend=kernel', ...args], { cwd: folder, env: process.env });

    /** What each line of a session prints; `$1` stands for the first device whose name was printed, and so on. */
    async function session(losetup: Losetup, lines: readonly (readonly string[])[]): Promise<string> {
      const devices: string[] = [];
      let transcript = '';
      for (const line of lines) {
        const args = line.map((word) =>
          word.replace(/^\$(\d)/, (_, index: string) => devices[Number(index) - 1] ?? '?'),
        );
        const { status, stdout, stderr } = await losetup(args);
        for (const [name] of stdout.matchAll(/^\/dev\/loop\d+$/gm))
          if (!devices.includes(name)) devices.push(name);
        transcript += `$ losetup ${line.join(' ')}\n${stdout}${stderr}[${status}]\n`;
      }
      await detachKernelLoopsOf(folder);
      // Others on this machine have devices, too: numbers may differ, and their width.
      for (const [index, device] of devices.entries()) {
        const unit = device.slice('/dev/loop'.length);
        transcript = transcript
          .replaceAll(new RegExp(`${device}\\b`, 'g'), `<device ${index + 1}>`)
          .replaceAll(new RegExp(`\\b7:${unit}\\b *`, 'g'), `7:<${index + 1}>`)
          .replaceAll(/(?<=7:<\d>)(?:\\x20)*/g, '');
      }
      return transcript.replaceAll(/\/dev\/loop\d+/g, '<free device>');
    }

    const f = ['-f', '--show'];
    const all = '--output-all';
    const sessions: Record<string, readonly (readonly string[])[]> = {
      'one device, in every form of the lists': [
        [...f, 'a.img'],
        ['-l', '$1'],
        ['$1'],
        ['-l', '-n', '$1'],
        ['-l', '--raw', '$1'],
        ['-l', '-J', '$1'],
        ['-l', all, '$1'],
        ['-l', all, '--raw', '$1'],
        ['-l', all, '-J', '$1'],
        ['-O', 'NAME', '$1'],
        ['-nO', 'NAME,BACK-FILE', '$1'],
        ['--output=name,Ro,AUTOCLEAR', '$1'],
        ['-O', '+PARTSCAN,MAJ:MIN', '$1'],
        ['-O', 'BACK-FILE,OFFSET,RO,MAJ:MIN', '$1'],
        ['-O', 'MAJ:MIN,BACK-FILE', '$1'],
        ['-j', 'a.img'],
        ['-j', 'link.img', '-l'],
        ['-j', 'a.img', '-O', 'NAME,BACK-INO'],
        ['-j', 'a.img', '-J'],
        ['-J', '-l', '-j', 'a.img'],
        ['-j', 'a.img', '-o', '512'],
        ['-j', 'a.img', '-o0'],
        ['-j', 'b.img'],
        ['-j', 'none.img'],
        ['-v', '$1'],
        ['-L', '$1'],
        ['-d', '$1'],
        ['$1'],
        ['-d', '$1'],
      ],
      'offsets and limits, as they are typed': [
        ['-o32256', '-r', '--show', '-f', 'a.img'],
        ['-l', '$1'],
        ['$1'],
        ['--offset=1MiB', '--sizelimit', '1M', ...f, 'a.img'],
        ['$2'],
        ['-l', '$2'],
        ['-o', '1.5K', ...f, 'a.img'],
        ['-o', '0x200', ...f, 'a.img'],
        ['-o', '010', ...f, 'a.img'],
        ['-o', '1kb', ...f, 'a.img'],
        ['-o', '1.M', ...f, 'a.img'],
        ['-o', ' 5', ...f, 'a.img'],
        ['-l', '-j', 'a.img', '-o', '1536'],
        ['-l', '-j', 'a.img', '-o', '8'],
        ['-l', '-j', 'a.img', '-o', '1000'],
        ['-l', '-j', 'a.img', '-o', '5'],
        ...['5 ', '', '1B', '1s', '1M5', '.5M', '-5', 'foo', '16E', '1Z', '08'].map((text) => [
          '-o',
          text,
          ...f,
          'a.img',
        ]),
        ['-o', '9223372036854775808', ...f, 'a.img'],
        ['-f', '--sizelimit', 'foo', 'a.img'],
        ['-f', '--sizelimit=20M', '--show', 'a.img'],
      ],
      'files of odd sizes and names': [
        [...f, 'odd.img'],
        [...f, 'tiny.img'],
        [...f, '-o', '1000', 'a.img'],
        [...f, '--sizelimit', '1000', 'a.img'],
        [...f, '-o', '5M', 'b.img'],
        [...f, '-o', '1T', 'b.img'],
        [...f, 'with blank.img'],
        ['-l', '$7'],
        ['-l', '--raw', '$7'],
        [...f, 'q"uo\\te\n.img'],
        ['-l', '$8'],
        ['-l', '--raw', '$8'],
        ['-l', '-J', '$8'],
        ['$8'],
        [...f, 'üml-日本.img'],
        ['-l', '$9'],
        ['-l', '--raw', '$9'],
        ['-l', '-J', '$9'],
      ],
      'what cannot be set up': [
        ['-f', 'none.img'],
        ['/dev/loop7', 'none.img'],
        ['-f', '--show', '.'],
        ['-f', '/dev/null'],
        ['-f', 'a.img', 'b.img'],
        ['-f', '-b', '300', 'a.img'],
        ['-f', '-b', '131072', 'a.img'],
        ['-b', 'foo', '-f', 'a.img'],
        ['-f', '--direct-io=foo', 'a.img'],
        ['-f', '--direct-io=', 'a.img'],
        [...f, 'a.img'],
        ['$1', 'b.img'],
        ['--show', 'a.img'],
      ],
      'sector sizes, direct I/O and growing': [
        [...f, '-b', '4096', 'a.img'],
        ['-l', '$1'],
        ['-b', '1K', '$1'],
        ['-l', '$1'],
        ['-b', '600', '$1'],
        ['-b', '4097', '$1'],
        ['-b', '512', '$1'],
        ['--direct-io=on', '$1'],
        ['-l', '$1'],
        ['--direct-io=off', '$1'],
        ['-l', all, '$1'],
        ['--direct-io=foo', '$1'],
        ['-c', '$1'],
        ['-c', '$1', '--direct-io=on'],
        ['-c', '$1', '-o', '512'],
        [...f, '--direct-io', '-P', '-r', 'b.img'],
        ['-l', all, '$2'],
        [...f, '--direct-io=off', 'b.img'],
        ['-l', all, '$3'],
        ['-b0', ...f, 'b.img'],
        ['-l', '$4'],
      ],
      'parts that overlap': [
        [...f, '-L', 'a.img'],
        [...f, '-L', 'a.img'],
        [...f, '-L', '-r', 'a.img'],
        [...f, '-L', '-o', '1M', 'a.img'],
        [...f, '--noo', '--sizelimit', '10M', 'a.img'],
        ['-L', '$1', 'a.img'],
        ['-L', '$1', 'b.img'],
        [...f, '-o', '1M', '--sizelimit', '1M', 'b.img'],
        [...f, '-L', '-o', '2M', 'b.img'],
        [...f, '-L', '--sizelimit', '1M', 'b.img'],
        [...f, '-L', '-o', '1M', 'b.img'],
        [...f, '-L', '-o', '1M', '--sizelimit', '1M', 'b.img'],
        [...f, '-r', 'odd.img'],
        [...f, '-L', 'odd.img'],
        [...f, '-L', '-r', 'odd.img'],
      ],
      'command lines that cannot be': [
        ['-d'],
        ['-c'],
        ['-j'],
        ['-Z'],
        ['--foo'],
        ['--offset'],
        ['--s', '-f'],
        ['--all=1'],
        ['-b', '512'],
        ['-n'],
        ['-J', '-n'],
        ['--raw', '-n'],
        [all],
        ['-J', all],
        ['-v'],
        ['-L'],
        ['-r'],
        ['-o', '5'],
        ['--show'],
        ['--direct-io'],
        ['--sizelimit', '5'],
        ['--raw', '-J'],
        ['-f', '-a'],
        ['-a', '-d', '/dev/loop7'],
        ['-l', '-f'],
        ['-j', 'a.img', '-f'],
        ['-f', '--show'],
        ['-f', '-o', '512'],
        ['-f', '-o', '512', '--show'],
        ['-f', '-r'],
        ['-f', '--direct-io'],
        ['-O', 'NAME,FOO'],
        ['-O', 'FOO', '-f'],
        ['-O', ''],
        ['-O', ','],
        ['-O', 'NAME,,RO'],
        ['-O', 'NAME,'],
        ['-O', '+'],
        ['-O', 'NAME,+RO'],
        ['none.img'],
        ['/dev/null'],
        ['.'],
        ['/dev/loop1234'],
        ['-l', 'a.img'],
        ['-l', '/dev/null'],
        ['-d', 'a.img'],
        ['-d', 'a.img', '/dev/null'],
        ['-c', 'none'],
        ['-j', 'a.img', '-o0', '--sizelimit', '5'],
        ['-j', 'a.img', '--sizelimit', '0'],
      ],
      'a device with options that are not for it': [
        [...f, 'a.img'],
        ['--show', '$1'],
        ['-r', '$1'],
        ['-P', '$1'],
        ['-o', '512', '$1'],
        ['--sizelimit', '512', '$1'],
        ['-d', '$1', '-o', '5'],
        ['--show', '-d', '$1'],
        ['-l', '$1', '$1'],
        ['-d', '$1', '-v'],
      ],
      'a device to which nothing is attached': [
        [...f, 'a.img'],
        ['-d', '$1'],
        ['$1'],
        ['-l', '$1'],
        ['-l', '--raw', '$1'],
        ['-l', '-J', '$1'],
        ['-l', all, '$1'],
        ['-l', all, '-J', '$1'],
        ['-O', 'NAME,BACK-FILE', '$1'],
        ['-n', '-O', 'NAME,BACK-FILE,RO', '$1'],
        ['-n', '-O', 'RO,BACK-FILE', '$1'],
        ['-d', '$1'],
        ['-c', '$1'],
        ['-b', '1024', '$1'],
        ['--direct-io', '$1'],
      ],
    };

    for (const [name, lines] of Object.entries(sessions)) {
      it(`prints the same: ${name}`, async () => {
        expect(await session(ours, lines)).toBe(await session(theirs, lines));
      });
    }

    it('prints the same of a file that was removed, of one in a far folder and of a device', async () => {
      const far = path.join(folder, 'f'.repeat(60), 'g'.repeat(60));
      fs.mkdirSync(far, { recursive: true });
      fs.copyFileSync(path.join(folder, 'b.img'), path.join(far, 'b.img'));
      fs.copyFileSync(path.join(folder, 'b.img'), path.join(folder, 'gone.img'));
      const devices = ['gone.img', `${far}/b.img`].map((file) =>
        runTool('losetup', ['-f', '--show', file], { cwd: folder }).stdout.trim(),
      );
      try {
        devices.push(runTool('losetup', ['-f', '--show', devices[1]!]).stdout.trim());
        fs.unlinkSync(path.join(folder, 'gone.img'));
        for (const device of devices) {
          for (const form of [
            [device],
            ['-l', device],
            ['-l', '--output-all', device],
            ['-J', '-l', device],
          ]) {
            expect((await ours(form)).stdout).toBe((await theirs(form)).stdout);
          }
        }
      } finally {
        for (const device of devices.reverse()) runTool('losetup', ['-d', device]);
      }
    });

    it('detaches a device that is in use when it is no longer', async () => {
      const { stdout } = await ours(['-f', '--show', 'a.img']);
      const device = stdout.trim();
      const mountPoint = path.join(folder, 'mnt');
      fs.mkdirSync(mountPoint);
      execFileSync('mke2fs', ['-q', device]);
      execFileSync('mount', [device, mountPoint]);
      try {
        expect(await ours(['-d', device])).toMatchObject({ status: 0, stdout: '', stderr: '' });
        expect((await ours(['-n', '-O', 'AUTOCLEAR', device])).stdout.trim()).toBe('1');
        expect((await ours(['-d', device])).status).toBe(0);
      } finally {
        execFileSync('umount', [mountPoint]);
      }
      expect(await ours([device])).toMatchObject({
        status: 1,
        stderr: `losetup: ${device}: No such file or directory\n`,
      });
    });

    it('lists all devices, and finds a free one', async () => {
      const first = (await ours(['-f'])).stdout;
      expect(first).toMatch(/^\/dev\/loop\d+\n$/);
      await ours(['-f', 'a.img']);
      await ours(['-f', '-r', 'b.img']);
      const columns = (text: string): string[] =>
        text
          .split('\n')
          .filter((line) => line.includes(folder))
          .map((line) => line.replaceAll(/ +/g, ' '))
          .sort();
      for (const form of [
        [],
        ['-l'],
        ['-a'],
        ['--raw'],
        ['-l', '-a'],
        ['-n', '-l'],
        ['-O', 'NAME,RO,BACK-FILE'],
      ]) {
        const our = columns((await ours(form)).stdout);
        expect(our).toHaveLength(2);
        expect(our).toEqual(columns((await theirs(form)).stdout));
      }
      const json = JSON.parse((await ours(['-J'])).stdout) as { loopdevices: { 'back-file': string }[] };
      expect(json.loopdevices.filter((device) => device['back-file'].startsWith(folder))).toHaveLength(2);
    });
  },
);
