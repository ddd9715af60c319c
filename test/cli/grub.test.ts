import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { fakeStage1, fakeStage2, makeStageFloppy } from '../support/boot-stages.ts';
import { type RunResult, userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';

/** The shell on images of ours, with files that only look like GRUB's: what it writes, and what it must not. */

const folder = temporaryFolder();
const BANNER_LINES = 8;

async function shell(commands: readonly string[], ...options: string[]): Promise<RunResult> {
  return userloop(['grub', '--batch', ...options], { stdin: `${commands.join('\n')}\nquit\n`, cwd: folder });
}

/** What a session printed, without the banner and the prompts' commands. */
async function replies(...commands: string[]): Promise<string> {
  const { status, stdout } = await shell(commands);
  expect(status).toBe(0);
  const lines = stdout.split('\n').slice(BANNER_LINES);
  return lines.filter((line) => !line.startsWith('grub> ')).join('\n');
}

function contentOf(name: string): Buffer {
  return fs.readFileSync(path.join(folder, name));
}

describe.each(['ext2', 'fat'] as const)('grub on a %s floppy', (type) => {
  const good = `${type}-good.img`;
  const stages = { stage1: fakeStage1(), stage2: fakeStage2(30) };

  beforeAll(async () => {
    await makeStageFloppy(path.join(folder, good), type, stages);
    await makeStageFloppy(path.join(folder, `${type}-empty.img`), type, {});
    await makeStageFloppy(path.join(folder, `${type}-short.img`), type, {
      ...stages,
      stage2: fakeStage2(2).subarray(0, 512),
    });
    await makeStageFloppy(path.join(folder, `${type}-odd.img`), type, {
      ...stages,
      stage2: fakeStage2(2).subarray(0, 1000),
    });
    const old = fakeStage1();
    old[0x3f] = 1;
    await makeStageFloppy(path.join(folder, `${type}-old.img`), type, { ...stages, stage1: old });
  });

  test('setup makes it bootable: the boot sector leads to stage 2, and stage 2 to its own rest', async () => {
    const name = `${type}-installed.img`;
    fs.copyFileSync(path.join(folder, good), path.join(folder, name));
    const output = await replies(`device (fd0) ${name}`, 'root (fd0)', 'setup (fd0)');
    expect(output).toContain('succeeded\nDone.\n');

    const image = contentOf(name);
    expect(image.subarray(0x03, 0x3e)).toEqual(contentOf(good).subarray(0x03, 0x3e));
    expect(image.readUInt16LE(0x42)).toBe(0x8000);
    // Follow the chain as the boot sector does: first sector, then the runs of its list, in order.
    const first = image.readUInt32LE(0x44) * 512;
    const loaded = [image.subarray(first, first + 512)];
    for (let at = 0x1f8; image.readUInt16LE(first + at + 4) !== 0; at -= 8) {
      const start = image.readUInt32LE(first + at) * 512;
      loaded.push(image.subarray(start, start + image.readUInt16LE(first + at + 4) * 512));
    }
    const whole = Buffer.concat(loaded);
    expect(whole).toHaveLength(30 * 512);
    expect(whole.subarray(0x217, 0x22c).toString()).toBe('/boot/grub/menu.lst \0');
    // Everything else of stage 2 is as it was.
    expect(whole.subarray(0x270).equals(stages.stage2.subarray(0x270))).toBe(true);
  });

  test.each([
    ['empty', 'setup (fd0)', 'Error 15: File not found'],
    ['old', 'setup (fd0)', 'Error 6: Mismatched or corrupt version of stage1/stage2'],
    ['odd', 'setup (fd0)', 'Error 31: File is not sector aligned'],
    ['short', 'setup (fd0)', 'failed'],
    ['good', 'setup (hd0)', 'Error 21: Selected disk does not exist'],
    ['good', 'setup (fd0,0)', 'Error 11: Unrecognized device string'],
    ['good', 'setup --prefix=/nope (fd0)', 'Error 15: File not found'],
    ['good', 'install /boot/grub/stage1 (fd0) /nope', 'Error 15: File not found'],
    ['good', 'install /boot (fd0) /boot/grub/stage2', 'Error 2: Bad file or directory type'],
    ['good', 'embed /boot/grub/stage2 (fd0)', 'Error 12: Invalid device requested'],
    ['good', 'kernel /vmlinuz', 'The command "kernel" is not supported here'],
    ['good', 'nonsense', 'Error 27: Unrecognized command'],
  ])('%s: %s ends in %s and leaves the image as it was', async (name, command, message) => {
    const file = `${type}-${name}.img`;
    const before = contentOf(file);
    expect(await replies(`device (fd0) ${file}`, 'root (fd0)', command)).toContain(message);
    expect(contentOf(file).equals(before)).toBe(true);
  });

  test('--read-only says what would happen and writes nothing', async () => {
    const before = contentOf(good);
    const { stdout } = await shell([`device (fd0) ${good}`, 'root (fd0)', 'setup (fd0)'], '--read-only');
    expect(stdout).toContain('Done.\n');
    expect(contentOf(good).equals(before)).toBe(true);
  });
});

test('an image that is none is one without a file system', async () => {
  fs.writeFileSync(path.join(folder, 'noise.img'), Buffer.alloc(1440 * 1024, 0x5a));
  fs.writeFileSync(path.join(folder, 'tiny.img'), Buffer.alloc(100));
  expect(await replies('device (hd0) noise.img', 'root (hd0)', 'setup (hd0)', 'root (hd0,0)')).toBe(
    ' Filesystem type unknown, using whole disk\n\n' +
      'Error 17: Cannot mount selected partition\n\nError 5: Partition table invalid or corrupt\n',
  );
  expect(await replies('device (fd0) tiny.img', 'root (fd0)')).toContain('Error 21');
  expect(await replies('device (fd0) absent.img', 'device (fd0)')).toContain('Error 15');
});

test('the list of commands has those that there are, in two columns', async () => {
  const lines = (await replies('help')).split('\n').filter((line) => line !== '');
  expect(lines.every((line) => line.length === 39 || line.length === 78)).toBe(true);
  expect(lines[0]).toMatch(/^blocklist FILE {25}cat FILE +$/);
  expect(await replies('help --all')).toContain('embed STAGE1_5 DEVICE');
  expect(await replies('help setup')).toMatch(/^setup: setup \[--prefix=DIR\].*\n {4}Install GRUB on /);
});

test('the command line and the device map are checked before anything is done', async () => {
  for (const option of [
    '--config-file=/x',
    '--preset-menu',
    '--hold',
    '--boot-drive=x',
    '--boot-drive=0x100',
  ]) {
    const { status, stdout, stderr } = await shell([], option);
    expect(stderr).toMatch(/^grub: --/);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  }
  const { status, stdout, stderr } = await shell([], '--device-map=absent.map');
  expect(stderr).toMatch(/^grub: '.*absent\.map': No such file or directory\n$/);
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
});
