import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { allocatedBytes, firstSparseDifference } from '../support/sparse-files.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

/** Sectors of 512 bytes whose automatic layout has exactly the last (or first) cluster count of a FAT width, and their neighbours. */
const BOUNDARIES = [
  // FAT12 to FAT16 with 4 sectors a cluster: where 4084 clusters end, and where 4087 entries begin.
  16_384, 16_396, 16_397, 16_400, 16_412, 16_413, 16_416,
];

interface Case {
  readonly name: string;
  /** IMG stands for the image. */
  readonly args: readonly string[];
  /** Bytes of the image before; undefined: there is none. */
  readonly size?: number;
  /** What the image holds before; default a hole. */
  readonly fill?: number;
  readonly stdin?: string;
  readonly files?: Readonly<Record<string, string>>;
}

function sized(sectors: number, ...args: string[]): Case {
  return { name: `${sectors} sectors ${args.join(' ')}`.trim(), args: [...args, 'IMG'], size: sectors * 512 };
}

function created(kib: number, ...args: string[]): Case {
  return { name: `-C ${kib} ${args.join(' ')}`.trim(), args: [...args, '-C', 'IMG', `${kib}`] };
}

const MIB = 1024;
const GIB = 1024 * MIB;

const SIZES: readonly Case[] = [
  ...[160, 180, 320, 360, 720, 1200, 1232, 1440, 2880, 4096, 4128, 8191, 8192, 16_384, 32_768].map((kib) =>
    created(kib),
  ),
  ...[64 * MIB, 128 * MIB, 131_322, 256 * MIB, 262_372, 511 * MIB, 512 * MIB - 1, 512 * MIB, GIB].map((kib) =>
    created(kib),
  ),
  ...[2, 8, 9, 17, 33, 2048].map((gib) => created(gib * GIB)),
  ...BOUNDARIES.map((sectors) => sized(sectors)),
  ...[16_340, 16_349, 16_350, 16_360].map((sectors) => sized(sectors, '-a')),
  // 65524 and 65525 clusters of one sector, of FAT16 and FAT32.
  ...[66_067, 66_068, 66_069].map((sectors) => sized(sectors, '-a', '-F16', '-s1')),
  ...[66_580, 66_581, 66_582].map((sectors) => sized(sectors, '-a', '-F32', '-s1')),
  { name: 'a file that is no whole number of KiB', args: ['IMG'], size: 3_000_999 },
];

const OPTIONS: readonly Case[] = [
  created(20_000, '-F', '12'),
  created(20_000, '-F16'),
  created(40_000, '-F32'),
  created(1440, '-F32'),
  created(300_000, '-F', '32'),
  created(20_000, '-s', '1'),
  created(20_000, '-s64'),
  created(600_000, '-F32', '-s', '128'),
  ...[1024, 2048, 4096, 8192, 32_768].map((size) => created(200_000, '-S', `${size}`)),
  created(5_000_000, '-S', '4096'),
  ...[1, 3, 4].map((count) => created(20_000, '-f', `${count}`)),
  created(20_000, '-R', '7'),
  created(40_000, '-F32', '-R', '2'),
  created(40_000, '-F32', '-R', '5', '-a'),
  created(2_000_000, '-R', '777'),
  created(20_000, '-r', '100'),
  created(20_000, '-r', '7000'),
  created(40_000, '-r', '32767', '-F16'),
  created(1440, '-r', '16'),
  created(40_000, '-F32', '-r', '200'),
  created(20_000, '-h', '63'),
  created(20_000, '-h', '0xffffffff'),
  created(20_000, '-M', '0xf0'),
  created(1440, '-M', '0xf9'),
  created(20_000, '-D', '0x81'),
  created(20_000, '-M', '0xf0', '-D', '1'),
  created(1440, '-n', 'BOOT'),
  created(40_000, '-F32', '-n', 'MY DISK'),
  created(1440, '-n', 'lower'),
  created(1440, '-n', 'NO NAME'),
  created(1440, '-n', '   '),
  created(1440, '-n', 'BOOT', '--codepage', '437'),
  created(1440, '-i', 'deadbeef'),
  created(1440, '-i', '0x12'),
  created(20_001, '-g', '2/18'),
  created(20_001, '-g', '255/7', '-a'),
  created(20_000, '-a'),
  created(600_000, '-a'),
  ...[720, 1440, 20_000, 40_000, 600_000].map((kib) => created(kib, '-A')),
  created(40_000, '-A', '-F32'),
  created(5000, '-A', '-F12'),
  created(20_000, '--variant=ATARI'),
  created(1440, '-A', '--variant', 'standard'),
  ...[1440, 20_000, 40_000].map((kib) => created(kib, '--mbr')),
  created(2_000_000, '--mbr=y'),
  created(20_000_000, '--mbr=yes'),
  created(3000, '--mbr', '-g', '2/100'),
  created(20_000, '--mbr=n'),
  created(20_000, '-A', '--mbr'),
  created(1440, '--offset', '100'),
  { name: '--offset in a disk image', args: ['--offset', '2048', 'IMG'], size: 40 * 1024 * 1024 },
  { name: '--offset with -F32', args: ['--offset=63', '-F32', 'IMG'], size: 100 * 1024 * 1024 },
  created(40_000, '-F32', '-b', '0'),
  created(40_000, '-F32', '-b', '12'),
  created(40_000, '-F32', '-b', '31'),
  { name: 'a block count below the size', args: ['IMG', '1000'], size: 1440 * 1024 },
  { name: 'a block count above the size', args: ['IMG', '5000'], size: 1440 * 1024 },
  { name: 'a block count that makes the file grow', args: ['IMG', '1440'], size: 4096 },
  { name: 'a floppy that held something else', args: ['IMG'], size: 1440 * 1024, fill: 0xaa },
  { name: 'a disk that held something else', args: ['-F32', 'IMG'], size: 40 * 1024 * 1024, fill: 0xaa },
  { name: 'a large sector that held something else', args: ['-S2048', 'IMG'], size: 1440 * 1024, fill: 0xaa },
];

const LONG_MESSAGE = 'A text that goes on and on. '.repeat(20);
const FILES: readonly Case[] = [
  { ...created(1440, '-m', 'msg'), files: { msg: 'Hi\tthere,\nno\r\n\nsystem\x00here\n' } },
  { ...created(1440, '-m', 'msg'), name: '-m too long', files: { msg: LONG_MESSAGE } },
  { ...created(40_000, '-F32', '-m', 'msg'), name: '-m too long on FAT32', files: { msg: LONG_MESSAGE } },
  {
    ...created(40_000, '--mbr', '-m', 'msg'),
    name: '-m too long before a table',
    files: { msg: LONG_MESSAGE },
  },
  { ...created(1440, '-m', '-'), stdin: 'From standard input\n' },
  created(1440, '-m', 'absent'),
  { ...created(1440, '-l', 'bad'), files: { bad: '100\n101\n\n 1439\n' } },
  { ...created(20_000, '-s', '8', '-l', 'bad'), files: { bad: '1000\n1001\n9999' } },
  { ...created(40_000, '-F32', '-l', 'bad'), files: { bad: '5000\n' } },
  created(1440, '-c'),
  { name: '-c on data', args: ['-c', 'IMG'], size: 1440 * 1024, fill: 0x55 },
];

const ERRORS: readonly Case[] = [
  ...[
    ['-b', 'x'],
    ['-b', '65536'],
    ['-D', '256'],
    ['-D', ''],
    ['-f', '0'],
    ['-f', '5'],
    ['-F', '13'],
    ['-F', 'x'],
    ['-g', '1/2/3'],
    ['-g', '0/1'],
    ['-g', '70000/1'],
    ['-h', '-1'],
    ['-h', '08'],
    ['-h', ' 7'],
    ['-i', 'xyz'],
    ['-i', '123456789'],
    ['-i', ''],
    ['-M', '0xf7'],
    ['-M', 'x'],
    ['-r', '15'],
    ['-r', '32769'],
    ['-R', '0'],
    ['-R', '65536'],
    ['-s', '3'],
    ['-s', '256'],
    ['-S', '256'],
    ['-S', '600'],
    ['--mbr=q'],
    ['--offset', 'x'],
    ['--offset', '-1'],
    ['--variant', 'x'],
    ['--codepage', 'x'],
    ['--codepage', '99999'],
    ['-Z'],
    ['--foo'],
    ['--o'],
    ['-c', '-l', 'bad'],
    ['-n', 'TWELVE CHARS'],
    ['-n', 'A*B'],
    ['-n', ' A'],
    ['-n', 'A\tB'],
    ['-n', '日本'],
    ['-R', '1', '-F32'],
    ['-b', '1', '-F32'],
    ['-b', '32', '-F32'],
    ['-F12', '-s1'],
    ['-A', '-S', '512', '-s', '1', '-F12'],
  ].map((args) => ({ name: args.join(' '), args: [...args, 'IMG'], size: 20_000 * 512, fill: 0xe5 })),
  {
    name: 'hidden sectors past 16 bits on Atari',
    args: ['-A', '-h', '65536', 'IMG'],
    size: 20_480_000,
    fill: 0xe5,
  },
  { name: 'no operand', args: [] },
  { name: 'an operand too many', args: ['IMG', '10', '20'], size: 20_480 },
  { name: 'a block count that is none', args: ['IMG', '10k'], size: 20_480 },
  { name: '-C without a size', args: ['-C', 'IMG'] },
  { name: '-C over a file that is there', args: ['-C', 'IMG', '1440'], size: 20_480 },
  { name: '-C in a folder that is not there', args: ['-C', 'absent/x', '1440'] },
  { name: 'a file that is not there', args: ['IMG'] },
  { name: 'a folder', args: ['.'] },
  { name: 'an empty file', args: ['IMG'], size: 0 },
  { name: 'the empty name', args: [''] },
  // 65525 clusters are FAT32's.
  sized(66_070, '-a', '-F16', '-s1'),
  { name: 'a FAT16 too small', args: ['-F16', 'IMG'], size: 1440 * 1024, fill: 0xe5 },
  ...[1, 10, 33, 49].map((kib) => ({ name: `${kib} KiB`, args: ['IMG'], size: kib * 1024, fill: 0xe5 })),
  { name: 'a FAT16 too large', args: ['-F16', 'IMG'], size: 8 * 2 ** 30 },
  { name: 'an Atari too large', args: ['-A', 'IMG'], size: 8 * 2 ** 30 },
  { ...created(1440, '-l', 'bad'), name: '-l in front of the data', files: { bad: '5\n' } },
  { ...created(1440, '-l', 'bad'), name: '-l behind the end', files: { bad: '1440\n' } },
  { ...created(1440, '-l', 'bad'), name: '-l without numbers', files: { bad: '100x\n' } },
  created(1440, '-l', 'absent'),
];

interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly image: string;
}

/** The usage is each program's own; what is said before it is not. */
function withoutUsage(text: string): string {
  return text.replace(/^Usage: [^]*/m, '');
}

describeWithTools(['mkfs.fat', 'fsck.fat'], 'mkfs.fat against dosfstools', () => {
  let folder: string;
  let number = 0;

  beforeAll(() => {
    folder = temporaryFolder();
    expect(runTool('mkfs.fat', ['--help']).stdout, 'the judge is dosfstools 4.2').toContain('4.2');
  });

  function prepare(kind: string, one: Case): string {
    const place = path.join(folder, `${number++}-${kind}`);
    fs.mkdirSync(place);
    const image = path.join(place, 'x.img');
    if (one.size !== undefined) {
      if (one.fill === undefined) fs.writeFileSync(image, '');
      else fs.writeFileSync(image, Buffer.alloc(one.size, one.fill));
      fs.truncateSync(image, one.size);
    }
    for (const [name, content] of Object.entries(one.files ?? {})) {
      fs.writeFileSync(path.join(place, name), content);
    }
    return image;
  }

  async function runBoth(one: Case, verbosity: readonly string[]): Promise<{ theirs: Run; ours: Run }> {
    const argv = ['--invariant', ...verbosity, ...one.args.map((arg) => (arg === 'IMG' ? 'x.img' : arg))];
    const theirImage = prepare('theirs', one);
    const theirs = runTool('mkfs.fat', argv, {
      cwd: path.dirname(theirImage),
      argv0: 'mkfs.fat',
      input: one.stdin ?? '',
    });
    const ourImage = prepare('ours', one);
    const ours = await userloop(['mkfs.fat', ...argv], {
      cwd: path.dirname(ourImage),
      stdin: one.stdin ?? '',
    });
    return { theirs: { ...theirs, image: theirImage }, ours: { ...ours, image: ourImage } };
  }

  async function compare(one: Case, verbosity: readonly string[]): Promise<Run> {
    const { theirs, ours } = await runBoth(one, verbosity);
    expect(withoutUsage(ours.stdout)).toBe(withoutUsage(theirs.stdout));
    expect(withoutUsage(ours.stderr)).toBe(withoutUsage(theirs.stderr));
    expect(ours.status).toBe(theirs.status);
    expect(fs.existsSync(ours.image)).toBe(fs.existsSync(theirs.image));
    if (fs.existsSync(ours.image)) expect(firstSparseDifference(theirs.image, ours.image)).toBeUndefined();
    fs.rmSync(path.dirname(theirs.image), { recursive: true });
    return ours;
  }

  describe('writes the same bytes and says the same', () => {
    for (const one of [...SIZES, ...OPTIONS, ...FILES]) {
      test(one.name, async () => {
        const ours = await compare(one, ['-v', '-v']);
        expect(ours.status).toBe(0);
        fs.rmSync(path.dirname(ours.image), { recursive: true });
      });
    }
  });

  describe('says the same with fewer words', () => {
    for (const verbosity of [[], ['-v']]) {
      test(`${verbosity.length} times -v`, async () => {
        await compare(created(1440, '-n', 'X'), verbosity);
        await compare(created(2_000_000, '--mbr'), verbosity);
        await compare(created(40_000, '-A'), verbosity);
      });
    }
  });

  describe('refuses with the same words and leaves the image alone', () => {
    for (const one of ERRORS) {
      test(one.name, async () => {
        const ours = await compare(one, []);
        expect(ours.status).toBe(1);
        if (one.fill !== undefined) {
          const content = fs.readFileSync(ours.image);
          expect(content.equals(Buffer.alloc(one.size!, one.fill))).toBe(true);
        }
      });
    }
  });

  describe('makes what fsck.fat finds clean', () => {
    for (const one of [
      created(1440, '-n', 'A'),
      created(20_000),
      created(40_000, '-F32', '-n', 'B'),
      created(5_000_000),
      created(200_000, '-S', '4096'),
    ]) {
      test(one.name, async () => {
        const image = prepare('ours', one);
        const made = await userloop(['mkfs.fat', ...one.args.map((arg) => (arg === 'IMG' ? image : arg))]);
        expect(made.status).toBe(0);
        expect(runTool('fsck.fat', ['-n', image]).status).toBe(0);
      });
    }
  });

  test('a dense sweep of sizes comes out the same', async () => {
    const differing: string[] = [];
    // Odd steps, so that tracks, clusters and FAT sectors all drift against each other.
    for (let sectors = 90; sectors < 3_000_000; sectors += Math.ceil(sectors / 9) | 1) {
      const one = sized(sectors);
      const { theirs, ours } = await runBoth(one, ['-v', '-v']);
      const same =
        ours.stdout === theirs.stdout &&
        ours.stderr === theirs.stderr &&
        firstSparseDifference(theirs.image, ours.image) === undefined;
      if (!same) differing.push(one.name);
      fs.rmSync(path.dirname(theirs.image), { recursive: true });
      fs.rmSync(path.dirname(ours.image), { recursive: true });
    }
    expect(differing).toEqual([]);
  });

  test('a volume ID on the command line takes the place of --invariant where there is no label', async () => {
    const images = ['theirs', 'ours'].map((kind) =>
      prepare(kind, { name: '', args: [], size: 40_000 * 1024 }),
    );
    expect(runTool('mkfs.fat', ['-i', '89abcdef', images[0]!]).status).toBe(0);
    expect((await userloop(['mkfs.fat', '-i', '89abcdef', images[1]!])).status).toBe(0);
    expect(firstSparseDifference(images[0]!, images[1]!)).toBeUndefined();
  });

  test('2 TiB take no more of the disk than the tool takes', async () => {
    const { theirs, ours } = await runBoth(created(2048 * GIB), []);
    expect(ours.status).toBe(0);
    expect(allocatedBytes(ours.image)).toBeLessThanOrEqual(allocatedBytes(theirs.image));
    expect(allocatedBytes(ours.image)).toBeLessThan(1 << 20);
  });
});
