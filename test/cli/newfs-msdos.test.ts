import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { BootSector } from '../../src/filesystem/fat/boot-sector.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

let folder: string;
beforeAll(() => {
  folder = temporaryFolder();
});

function image(name: string, size: number, fill?: number): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, fill === undefined ? '' : Buffer.alloc(size, fill));
  fs.truncateSync(file, size);
  return file;
}

/** The parameter block without its identity: bytes 0x0b to 0x23. */
function parameterBlock(file: string): Buffer {
  return fs.readFileSync(file).subarray(0x0b, 0x24);
}

/** KiB, and the options of mkfs.fat that describe the same floppy. */
const FORMATS: readonly (readonly [string, readonly string[]])[] = [
  ['160', ['-s1', '-r64', '-M0xfe', '-g1/8']],
  ['180', ['-s1', '-r64', '-M0xfc', '-g1/9']],
  ['320', ['-s2', '-r112', '-M0xff', '-g2/8']],
  ['360', []],
  ['640', ['-s2', '-r112', '-M0xfb', '-g2/8']],
  ['720', []],
  ['1200', []],
  ['1232', ['-S1024', '-s1', '-r192', '-M0xfe', '-g2/8']],
  ['1440', []],
  ['2880', ['-r240']],
];

describe('newfs_msdos', () => {
  for (const [format, equivalent] of FORMATS) {
    test(`-f ${format} has the layout of mkfs.fat with the same parameters`, async () => {
      const bsd = image('bsd.img', Number(format) * 1024, 0xaa);
      const linux = image('linux.img', Number(format) * 1024, 0xaa);
      expect((await userloop(['newfs_msdos', '-f', format, bsd])).status).toBe(0);
      expect((await userloop(['mkfs.fat', '-F12', ...equivalent, linux])).status).toBe(0);
      expect(parameterBlock(bsd).toString('hex')).toBe(parameterBlock(linux).toString('hex'));
      // Behind the boot sector nothing is left to differ.
      expect(fs.readFileSync(bsd).subarray(1024).equals(fs.readFileSync(linux).subarray(1024))).toBe(true);
    });
  }

  test('says what FreeBSD says of a floppy', async () => {
    const file = image('floppy.img', 1440 * 1024);
    const result = await userloop(['newfs_msdos', '-f', '1440', './floppy.img'], { cwd: folder });
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdout).toBe(
      './floppy.img: 2847 sectors in 2847 FAT12 clusters (512 bytes/cluster)\n' +
        'BytesPerSec=512 SecPerClust=1 ResSectors=1 FATs=2 RootDirEnts=224 Sectors=2880 Media=0xf0 FATsecs=9 ' +
        'SecPerTrack=18 Heads=2 HiddenSecs=0\n',
    );
    expect(fs.readFileSync(file).subarray(3, 11).toString()).toBe('BSD4.4  ');
  });

  test('uses 4 KiB clusters on a floppy that is not named as one', async () => {
    image('md0', 2880 * 512);
    const result = await userloop(['newfs_msdos', '-N', '-s2880', 'md0'], { cwd: folder });
    expect(result.stdout).toContain('2840 sectors in 355 FAT12 clusters (4096 bytes/cluster)');
  });

  test('-N leaves the file alone', async () => {
    const file = image('dry.img', 4 << 20, 0x77);
    expect((await userloop(['newfs_msdos', '-N', file])).status).toBe(0);
    expect(fs.readFileSync(file).equals(Buffer.alloc(4 << 20, 0x77))).toBe(true);
  });

  test('-C makes the file, -@ leaves what is in front alone', async () => {
    const file = path.join(folder, 'created.img');
    expect((await userloop(['newfs_msdos', '-C', '20m', '-@', '64k', '-F16', file])).status).toBe(0);
    const content = fs.readFileSync(file);
    expect(content.length).toBe(20 << 20);
    expect(content.subarray(0, 65_536).every((byte) => byte === 0)).toBe(true);
    expect(content.readUInt16LE(65_536 + 0x1fe)).toBe(0xaa55);
  });

  test('-A starts the root directory on a cluster', async () => {
    const file = image('aligned.img', 20 << 20);
    expect((await userloop(['newfs_msdos', '-A', '-c8', '-F16', file])).status).toBe(0);
    const view = viewOf(fs.readFileSync(file).subarray(0, 512));
    const tables = BootSector.BPB_NumFATs.get(view, 0) * BootSector.BPB_FATSz16.get(view, 0);
    expect((BootSector.BPB_RsvdSecCnt.get(view, 0) + tables) % 8).toBe(0);
  });

  test('-B takes the boot program and keeps its jump', async () => {
    const program = path.join(folder, 'boot.bin');
    fs.writeFileSync(program, Buffer.alloc(1024, 0x90));
    const file = image('boot.img', 1440 * 1024);
    expect((await userloop(['newfs_msdos', '-f1440', '-r', '2', '-B', program, file])).status).toBe(0);
    const content = fs.readFileSync(file);
    expect([...content.subarray(0, 13)]).toEqual([...Array<number>(11).fill(0x90), 0x00, 0x02]);
    expect(content.subarray(0x3e, 0x1fe).every((byte) => byte === 0x90)).toBe(true);
    expect(content.subarray(512, 1024).every((byte) => byte === 0x90)).toBe(true);
    expect(content.readUInt16LE(0x0e)).toBe(2);
  });

  test('-T fixes everything that depends on the time', async () => {
    const files = ['a.img', 'b.img'].map((name) => image(name, 1440 * 1024));
    for (const file of files) {
      expect((await userloop(['newfs_msdos', '-T', '1000000000', '-L', 'X', '-f1440', file])).status).toBe(0);
    }
    expect(fs.readFileSync(files[0]!).equals(fs.readFileSync(files[1]!))).toBe(true);
    // 2001-09-09 01:46:40 UTC as DOS has it.
    const label = fs.readFileSync(files[0]!).subarray(19 * 512, 19 * 512 + 32);
    expect(label.readUInt16LE(0x18)).toBe(((2001 - 1980) << 9) | (9 << 5) | 9);
    expect(label.readUInt16LE(0x16)).toBe((1 << 11) | (46 << 5) | 20);
  });

  test.each([
    [['-f', '1441'], '1441: unknown standard format'],
    [['-F', '13'], '13: bad FAT type'],
    [['-c', '3'], '3: bad sectors/cluster'],
    [['-S', '500'], '500: bad bytes/sector'],
    [['-m', '0x10'], '0x10: bad media descriptor'],
    [['-n', '17'], '17: bad number of FATs'],
    [['-L', 'TWELVE CHARS'], 'TWELVE CHARS: bad volume label'],
    [['-F', '32'], 'clusters too few clusters for FAT32, need 65525'],
    [['-F', '12', '-k', '3'], '-k is not a legal FAT12/16 option'],
    [['-s', '100000'], 'does not fit in'],
    [['-r', '60000'], 'meta data exceeds file system size'],
    [['-@', '3g'], 'behind the end'],
  ])('refuses %j and leaves the image alone', async (options, message) => {
    const file = image('refused.img', 2 << 20, 0x33);
    const result = await userloop(['newfs_msdos', ...options, file]);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(message);
    expect(fs.readFileSync(file).equals(Buffer.alloc(2 << 20, 0x33))).toBe(true);
  });

  test('names what it looked for', async () => {
    const result = await userloop(['newfs_msdos', 'no-such-md0'], { cwd: folder });
    expect(result).toMatchObject({
      status: 1,
      stderr: 'newfs_msdos: /dev/no-such-md0: No such file or directory\n',
    });
  });
});

describeWithTools(['fsck.fat'], 'newfs_msdos', () => {
  test.each([
    ['8m'],
    ['20m'],
    ['600m'],
    ['10g'],
    ['64m', '-F', '32', '-c', '1'],
    ['64m', '-F', '32', '-c', '1', '-i', '3', '-k', '8'],
    ['64m', '-S', '4096', '-F', '12'],
    ['64m', '-n', '1', '-e', '1024'],
  ])('makes what fsck.fat finds clean: -C %s %s %s %s %s', async (size, ...options) => {
    const file = path.join(folder, 'clean.img');
    const made = await userloop(['newfs_msdos', '-C', size, ...options, '-L', 'DATA', file]);
    expect(made).toMatchObject({ status: 0, stderr: '' });
    const judged = runTool('fsck.fat', ['-n', file]);
    expect(judged.stdout).not.toMatch(/differ|wrong|bad/i);
    expect(judged.status).toBe(0);
  });
});
