import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { humanizeSize } from '../../src/cli/applets/bsd/numbers.ts';
import { parseMdCommand, parseMdSize } from '../../src/cli/applets/mdconfig/command-line.ts';
import { parseVnCommand } from '../../src/cli/applets/vnconfig/command-line.ts';
import { detachDevice } from '../../src/attach/client.ts';
import { listDevices } from '../../src/attach/registry.ts';
import { type RunResult, userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';

let folder: string;
let env: Record<string, string>;

beforeEach(() => {
  folder = temporaryFolder();
  env = { USERLOOP_RUNTIME_DIR: path.join(folder, 'r'), PATH: process.env['PATH'] ?? '' };
  fs.writeFileSync(path.join(folder, 'floppy.img'), '');
  fs.truncateSync(path.join(folder, 'floppy.img'), 1440 * 1024);
});

afterEach(async () => {
  for (const state of listDevices(env)) await detachDevice(state, { force: true });
});

/** Words between blanks; where there is no FUSE, the warning about that is left out. */
async function run(line: string): Promise<Pick<RunResult, 'status' | 'stdout' | 'stderr'>> {
  const { status, stdout, stderr } = await userloop(line.split(' '), { cwd: folder, env });
  return { status, stdout, stderr: stderr.replaceAll(/^.*no device files.*\n/gm, '') };
}

const done = { status: 0, stdout: '', stderr: '' };

describe('mdconfig', () => {
  it('attaches, lists and detaches', async () => {
    expect(await run('mdconfig -a -t vnode -f floppy.img')).toEqual({ ...done, stdout: 'md0\n' });
    expect(await run('mdconfig -s 64m -u 3 -L scratch')).toEqual(done);
    expect(await run('mdconfig -n -a -t malloc -s 8192b -S 4096')).toEqual({ ...done, stdout: '1\n' });
    expect((await run('mdconfig -l')).stdout).toBe('md0 md1 md3 \n');
    expect((await run('mdconfig -l -n')).stdout).toBe('0 1 3 \n');
    const image = path.join(folder, 'floppy.img');
    const first = `md0\tvnode\t 1440K\t${image}\t\n`;
    const last = 'md3\tswap\t   64M\t-\tscratch\n';
    expect((await run('mdconfig -lv')).stdout).toBe(`${first}md1\tmalloc\t 8192B\t-\t\n${last}`);
    expect((await run('mdconfig -l -u md3,0')).stdout).toBe(first + last);
    expect((await run('mdconfig -l -f floppy.img')).stdout).toBe('md0 \n');
    expect(await run('mdconfig -d -u md0')).toEqual(done);
    expect(await run('mdconfig -l -u 0')).toEqual({ ...done, status: 255 });
    expect(await run('mdconfig -d -u /dev/md0')).toMatchObject({
      status: 1,
      stderr: 'mdconfig: ioctl(/dev/mdctl): No such file or directory\n',
    });
  });

  it('takes a file alone, and says of one that is attached who has it', async () => {
    expect((await run('mdconfig floppy.img')).stdout).toBe('md0\n');
    const taken = await run('mdconfig -f floppy.img -u 0');
    expect(taken.status).toBe(1);
    expect(taken.stderr).toMatch(/^mdconfig: ioctl\(\/dev\/mdctl\): Device busy \(.+\)\n$/);
  });

  it('formats by the name of the device, with and without /dev/', async () => {
    await run('mdconfig floppy.img');
    const formatted = await run('newfs_msdos -f 1440 /dev/md0');
    expect(formatted.stderr).toBe('');
    expect(formatted.stdout).toMatch(/^\/dev\/md0: 2847 sectors in 2847 FAT12 clusters/);
    expect((await run('newfs_msdos -L NAMED -f 1440 md0')).stdout).toMatch(/^\/dev\/md0: /);
    await run('mdconfig -d -u 0');
    expect((await run('inspect --json floppy.img')).stdout).toContain('NAMED');
  });

  it('resizes as md(4) does', async () => {
    await run('mdconfig -s 1m -u 0');
    await run('mdconfig -t malloc -s 1m -u 1');
    await run('mdconfig -f floppy.img -u 2');
    expect(await run('mdconfig -r -u 0 -s 2m')).toEqual(done);
    expect((await run('mdconfig -l -u 0')).stdout).toContain('\t 2048K\t');
    expect((await run('mdconfig -r -u 0 -s 1m')).stderr).toContain('Device busy');
    expect(await run('mdconfig -r -u 0 -s 1m -o force')).toEqual(done);
    expect((await run('mdconfig -r -u 1 -s 2m')).stderr).toContain('Operation not supported');
    fs.truncateSync(path.join(folder, 'floppy.img'), 2880 * 1024);
    expect((await run('mdconfig -r -u 2 -s 4m')).stderr).toContain('truncate -s 4194304');
    expect(await run('mdconfig -r -u 2 -s 2880k')).toEqual(done);
    expect((await run('mdconfig -l -u 2')).stdout).toContain('\t 2880K\t');
  });

  it('attaches for reading when that is asked for, or nothing else is possible', async () => {
    expect(await run('mdconfig -o ro -f floppy.img')).toEqual({ ...done, stdout: 'md0\n' });
    expect(listDevices(env)[0]?.readOnly).toBe(true);
    if (process.getuid?.() === 0) return;
    await run('mdconfig -d -u 0');
    fs.chmodSync(path.join(folder, 'floppy.img'), 0o444);
    expect((await run('mdconfig -f floppy.img')).stderr).toBe(
      `mdconfig: WARNING: opening backing store: ${path.join(folder, 'floppy.img')} readonly\n`,
    );
    expect(listDevices(env)[0]?.readOnly).toBe(true);
  });

  it.each([
    ['-a -t malloc', 'must specify -s for -t malloc, -t swap, or -t null'],
    ['-a', 'unable to determine type'],
    ['-t paper -s 1m', 'unknown type: paper'],
    ['-t swap -f x -s 1m', 'only -t vnode can be used with file name'],
    ['-a -d', '-d is mutually exclusive with -a, -r, and -l'],
    ['-d', '-d requires -u'],
    ['-d -u nine', 'bad unit: nine'],
    ['-d -u 0 -s 1m', '-s can only be used with -a and -r'],
    ['-d -u 0 -o readonly', 'only -o [no]force can be used with -d'],
    ['-r -u 0', 'must specify -s for -r'],
    ['-l -o force', '-o can only be used with -a, -d, and -r'],
    ['-s 1x', 'unknown suffix on -s argument'],
    ['-s 1m -o shiny', 'unknown option: shiny'],
    ['-s 1m -o verify', 'option verify is not supported'],
    ['-s 1m -v', '-v can only be used with -l'],
    ['-f nothing.img', 'could not find full path for nothing.img: No such file or directory'],
    ['-f .', '. is not a regular file'],
    [
      '-f floppy.img -s 2m',
      'floppy.img has 1474560 bytes, -s asks for 2097152; make it larger first: truncate -s 2097152 floppy.img',
    ],
  ])('refuses %s', async (words, message) => {
    const line = words.includes('-f') || words.startsWith('-') ? words : `-a ${words}`;
    expect(await run(`mdconfig ${line}`)).toEqual({
      status: 1,
      stdout: '',
      stderr: `mdconfig: ${message}\n`,
    });
  });

  it('prints its usage', async () => {
    expect((await userloop(['mdconfig'], { cwd: folder, env })).stderr).toMatch(
      /^usage: mdconfig -a -t type/,
    );
    const { stderr, status } = await run('mdconfig -z');
    expect(stderr).toMatch(/^mdconfig: illegal option -- z\nusage: /);
    expect(status).toBe(1);
    expect((await run('mdconfig -d -u')).stderr).toMatch(
      /^mdconfig: option requires an argument -- u\nusage: /,
    );
  });

  it('reads numbers as strtoul(3) does', () => {
    expect(['2880', '0x10', '010', '1b', '3k', '2M', '1gb', '1T'].map(parseMdSize)).toEqual([
      1_474_560, 8192, 4096, 1, 3072, 2_097_152, 1_073_741_824, 1_099_511_627_776,
    ]);
    expect(parseMdCommand(['-a', '-t', 'vnode', '-f', 'x', '-u', 'md0x7'])).toMatchObject({ unit: 7 });
  });

  it('prints sizes as humanize_number(3) does', () => {
    const sizes = [0, 512, 9999, 10_000, 10_239_999, 10_240_000, 64 << 20, 5 * 1024 ** 4];
    expect(sizes.map(humanizeSize)).toEqual([
      '    0B',
      '  512B',
      ' 9999B',
      '  9.8K',
      '  9.8M',
      '  9.8M',
      '   64M',
      ' 5120G',
    ]);
  });
});

describe('vnconfig', () => {
  it('says what the page shows', async () => {
    expect(await run('vnconfig vnd0 floppy.img')).toEqual(done);
    const { ino } = fs.statSync(path.join(folder, 'floppy.img'));
    expect((await run('vnconfig -l')).stdout).toMatch(
      new RegExp(
        `^vnd0: covering floppy\\.img on \\S+, inode ${ino}\nvnd1: not in use\nvnd2: not in use\nvnd3: not in use\n$`,
      ),
    );
    expect((await run('newfs_msdos -F 12 -f 1440 /dev/rvnd0c')).stdout).toMatch(
      /^\/dev\/rvnd0c: 2847 sectors/,
    );
    expect((await run('inspect --json /dev/vnd0i')).stdout).toContain('fat12');
    expect(await run('vnconfig -u vnd0')).toEqual(done);
    expect((await run('vnconfig -l vnd0')).stdout).toBe('vnd0: not in use\n');
  });

  it('knows the forms of all its times', async () => {
    expect(await run('vnconfig -c -v svnd0 floppy.img')).toEqual({
      ...done,
      stderr: 'svnd0: 1474560 bytes on floppy.img\n',
    });
    expect(await run('vnconfig -u -v /dev/rvnd0c')).toEqual({ ...done, stderr: '/dev/rvnd0c: cleared\n' });
    expect(await run('vnconfig floppy.img')).toEqual({ ...done, stdout: 'vnd0\n' });
    expect(await run('vnconfig -u vnd0c')).toEqual(done);
    expect(await run('vnconfig -t floppy vnd5 floppy.img')).toEqual(done);
    expect(listDevices(env)[0]).toMatchObject({ name: 'vnd5', sectorsPerTrack: 18, heads: 2 });
    expect((await run('vnconfig -l')).stdout.split('\n')[5]).toMatch(/^vnd5: covering floppy\.img /);
  });

  it.each([
    ['-u vnd0', 1, 'VNDIOCCLR: Device not configured'],
    ['vnd0 nothing.img', 1, 'VNDIOCSET: No such file or directory'],
    ['-k vnd0 floppy.img', 1, '-k: encrypted images are not supported'],
    ['-K 1000 -S salt vnd0 floppy.img', 1, '-K: encrypted images are not supported'],
    ['-t tape vnd0 floppy.img', 1, 'unknown disk type: tape'],
    ['-lu vnd0', 1, '-l and -u are mutually exclusive options'],
    ['wd0 floppy.img', 4, '/dev/rwd0c: No such file or directory'],
    ['-u /dev/wd0c', 4, '/dev/wd0c: No such file or directory'],
  ])('refuses %s', async (words, status, message) => {
    expect(await run(`vnconfig ${words}`)).toEqual({ status, stdout: '', stderr: `vnconfig: ${message}\n` });
  });

  it('refuses a unit that is taken', async () => {
    await run('vnconfig vnd1 floppy.img');
    fs.copyFileSync(path.join(folder, 'floppy.img'), path.join(folder, 'other.img'));
    expect((await run('vnconfig vnd1 other.img')).stderr).toMatch(
      /^vnconfig: VNDIOCSET: Device busy \(.+\)\n$/,
    );
  });

  it('parses what it is given', () => {
    expect(parseVnCommand(['-l'])).toEqual({ action: 'list', unit: undefined });
    expect(parseVnCommand(['vnd12', 'x'])).toMatchObject({ unit: 12, sectorsPerTrack: 100, heads: 1 });
    for (const wrong of [
      [],
      ['a', 'b', 'c'],
      ['-u'],
      ['-u', 'vnd0', 'x'],
      ['-cu', 'vnd0'],
      ['-l', 'a', 'b'],
    ]) {
      expect(() => parseVnCommand(wrong)).toThrow();
    }
  });
});
