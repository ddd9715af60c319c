import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { userloop } from '../support/run.ts';
import { temporaryFolder } from '../support/tools.ts';

let folder: string;
beforeAll(() => {
  folder = temporaryFolder();
});

function image(name: string, size: number, fill?: number): string {
  const file = path.join(folder, name);
  fs.rmSync(file, { force: true });
  fs.writeFileSync(file, fill === undefined ? '' : Buffer.alloc(size, fill));
  fs.truncateSync(file, size);
  return file;
}

describe('mkfs.fat', () => {
  test('SOURCE_DATE_EPOCH fixes the volume ID and the time of the label', async () => {
    const env = { SOURCE_DATE_EPOCH: '1000000000' };
    const files = [image('a.img', 1440 * 1024), image('b.img', 1440 * 1024)];
    for (const file of files) expect((await userloop(['mkfs.fat', '-n', 'X', file], { env })).status).toBe(0);
    const content = fs.readFileSync(files[0]!);
    expect(content.equals(fs.readFileSync(files[1]!))).toBe(true);
    // The low 12 bits of the seconds over the microseconds.
    expect(content.readUInt32LE(0x27)).toBe(((1_000_000_000 & 0xfff) << 20) >>> 0);
    // 2001-09-09 01:46:40 UTC.
    expect(content.readUInt16LE(19 * 512 + 0x18)).toBe(((2001 - 1980) << 9) | (9 << 5) | 9);
    expect(content.readUInt16LE(19 * 512 + 0x16)).toBe((1 << 11) | (46 << 5) | 20);
  });

  test.each(['mkdosfs', 'mkfs.vfat', 'mkfs.msdos'])('%s speaks under its own name', async (name) => {
    const result = await userloop([name, 'absent.img'], { cwd: folder });
    expect(result.stderr).toBe(`${name}: unable to open absent.img: No such file or directory\n`);
    expect(result.status).toBe(1);
  });

  test('encodes a label beyond ASCII in the code page', async () => {
    const file = image('label.img', 1440 * 1024);
    expect((await userloop(['mkfs.fat', '-n', 'ÄØ', file])).status).toBe(0);
    expect([...fs.readFileSync(file).subarray(0x2b, 0x2e)]).toEqual([0x8e, 0x9d, 0x20]);
    const other = await userloop(['mkfs.fat', '--codepage=437', '-n', 'ÄØ', file]);
    expect(other.status).toBe(1);
    expect(other.stderr).toContain("'\\xC3' from codeset 'UTF-8' to 'CP437'");
  });

  test('refuses an offset behind the end and leaves the file alone', async () => {
    const file = image('offset.img', 20_480, 0x44);
    const result = await userloop(['mkfs.fat', '--offset', '41', file]);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('size 20480 is less then the offset 20992');
    expect(fs.readFileSync(file).equals(Buffer.alloc(20_480, 0x44))).toBe(true);
  });

  test('refuses what alignment makes too many for 16 bits', async () => {
    const file = image('wide.img', 2 ** 31);
    const result = await userloop(['mkfs.fat', '-F32', '-R', '65535', file]);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('65536 reserved sectors, at most 65535 can be');
    expect(fs.statSync(file).blocks).toBe(0);
  });

  test('--help among other arguments prints the help', async () => {
    const result = await userloop(['mkfs.fat', '-v', '--help']);
    expect(result.status).toBe(0);
    expect(result.stdout).toContain('Usage: mkfs.fat [OPTION]... DEVICE [BLOCK-COUNT]');
  });

  test.skipIf(process.getuid?.() === 0)('refuses a file that may not be written', async () => {
    const file = image('read-only.img', 20_480, 0x11);
    fs.chmodSync(file, 0o444);
    const result = await userloop(['mkfs.fat', file]);
    expect(result.stderr).toBe(`mkfs.fat: unable to open ${file}: Permission denied\n`);
    expect(result.status).toBe(1);
    expect(fs.readFileSync(file).equals(Buffer.alloc(20_480, 0x11))).toBe(true);
  });
});
