import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { emulatorAdvice } from '../../src/host/emulator.ts';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';

const folder = temporaryFolder();
const KIB = 1024;

function image(name: string, size: number, content?: Uint8Array): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, content ?? '');
  fs.truncateSync(file, size);
  return file;
}

/** A master boot record with one partition. */
function bootRecord(): Uint8Array {
  const sector = new Uint8Array(512);
  sector.set([0x80, 0, 2, 0, 0x83, 0, 3, 0, 1, 0, 0, 0, 200, 0, 0, 0], 0x1be);
  sector.set([0x55, 0xaa], 0x1fe);
  return sector;
}

async function command(...argv: string[]): Promise<string> {
  const { status, stdout, stderr } = await userloop(['boot', '--dry-run', ...argv], {
    env: { DISPLAY: ':0' },
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

describe('userloop boot', () => {
  test.each([160, 180, 320, 360, 720, 1200, 1440, 2880])('takes %i KiB for a floppy', async (size) => {
    const file = image(`floppy-${size}.img`, size * KIB);
    expect(await command(file)).toBe(
      `qemu-system-x86_64 -drive file=${file},format=raw,if=floppy,index=0 -boot a -m 128 -accel tcg\n`,
    );
  });

  test.each([1439, 1441, 1474, 4096, 65_536])('takes %i KiB for a hard disk', async (size) => {
    const file = image(`disk-${size}.img`, size * KIB);
    expect(await command(file)).toContain(`file=${file},format=raw,if=ide,index=0 -boot c `);
  });

  test('takes a partition table for a hard disk whatever the size, and believes what it is told', async () => {
    const file = image('small.img', 1440 * KIB, bootRecord());
    expect(await command(file)).toContain('if=ide');
    expect(await command('--floppy', file)).toContain('if=floppy');
    expect(await command('--disk', image('plain.img', 1440 * KIB))).toContain('if=ide');
  });

  test('hands options on, and quotes what a shell would split', async () => {
    const file = image("it's a,disk.img", 4096 * KIB);
    const shown = await command(
      '-m',
      '1.5G',
      '--display',
      'none',
      '--serial',
      '--snapshot',
      file,
      '--',
      '-S',
      '-k',
      'de',
    );
    const quoted = file.replace(',', ',,').replace("'", String.raw`'\''`);
    expect(shown).toBe(
      `qemu-system-x86_64 -drive 'file=${quoted},format=raw,if=ide,index=0' -boot c -m 1536 -accel tcg ` +
        '-display none -serial mon:stdio -snapshot -S -k de\n',
    );
    expect(await command('--memory', '64', file)).toContain(' -m 64');
  });

  test('refuses what it cannot do', async () => {
    const file = image('refused.img', 4096 * KIB);
    const cases: [string[], number, RegExp][] = [
      [[], 2, /which image/],
      [[file, file], 2, /one image at a time/],
      [['--floppy', '--disk', file], 2, /exclude each other/],
      [['--memory', '12K', file], 2, /--memory is "12K"/],
      [['--memory', 'much', file], 2, /--memory is "much"/],
      [['--bogus', file], 2, /unrecognized option/],
      [[path.join(folder, 'nope.img')], 1, /nope\.img': No such file or directory/],
      [[folder], 1, /': Is a directory/],
    ];
    for (const [argv, expected, message] of cases) {
      const { status, stderr } = await userloop(['boot', '--dry-run', ...argv], { env: { DISPLAY: ':0' } });
      expect(stderr).toMatch(message);
      expect(status).toBe(expected);
    }
  });

  test('says what to install where there is no QEMU', async () => {
    const file = image('nobody.img', 1440 * KIB);
    const { status, stderr } = await userloop(['boot', file], { env: { PATH: folder } });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^userloop boot: QEMU is not on the PATH; install .*\n$/);
  });

  test.skipIf(process.platform === 'win32')('runs QEMU and ends as it does', async () => {
    const bin = path.join(folder, 'bin');
    fs.mkdirSync(bin);
    const script = (end: string): string => `#!/bin/sh\necho "$@" > ${folder}/arguments\n${end}\n`;
    const program = path.join(bin, 'qemu-system-i386');
    const file = image('run.img', 1440 * KIB);
    const env = { PATH: `/nowhere:${bin}`, DISPLAY: ':0' };
    fs.writeFileSync(program, script('exit 3'), { mode: 0o755 });
    expect((await userloop(['boot', file, '--', '-S'], { env })).status).toBe(3);
    expect(fs.readFileSync(path.join(folder, 'arguments'), 'utf8')).toBe(
      `-drive file=${file},format=raw,if=floppy,index=0 -boot a -m 128 -accel tcg -S\n`,
    );
    fs.writeFileSync(program, script('kill -KILL $$'), { mode: 0o755 });
    expect((await userloop(['boot', file], { env })).status).toBe(137);
    // A file that may not be run is no program.
    fs.chmodSync(program, 0o644);
    expect((await userloop(['boot', file], { env })).status).toBe(1);
  });

  test.each([
    ['linux', 'ID=debian\n', 'apt install qemu-system-x86'],
    ['linux', 'NAME=Mint\nID=linuxmint\nID_LIKE="ubuntu debian"\n', 'apt install qemu-system-x86'],
    ['linux', 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', 'dnf install qemu-system-x86'],
    ['linux', 'ID=alpine\n', 'apk add qemu-system-x86_64'],
    ['linux', '', 'install the package of your system that has qemu-system-x86_64'],
    ['darwin', '', 'brew install qemu'],
    ['win32', '', 'winget install SoftwareFreedomConservancy.QEMU'],
    ['freebsd', '', 'pkg install qemu'],
  ] as const)('on %s with %j the advice is to %s', (platform, osRelease, advice) => {
    expect(emulatorAdvice(platform, osRelease)).toContain(advice);
  });
});
