import fs from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { AttachedTest, describeWithDevices } from '../support/attached.ts';
import { type RunResult, userloop } from '../support/run.ts';
import { describeWithTools, memoryFolder, runTool } from '../support/tools.ts';

const MIB = 1 << 20;
const CLOCK = { E2FSPROGS_FAKE_TIME: '1600000000', SOURCE_DATE_EPOCH: '1600000000' };
const UUID = '6c1d2f68-9f3c-4f0e-9a59-7b1d4b0f6f10';
/** What lies outside of the partitions. */
const OUTSIDE = 0xa5;

/** Bytes: the partitions of `disk.img`, the last one logical. */
const PARTS = {
  1: { offset: MIB, size: 10 * MIB },
  2: { offset: 11 * MIB, size: 16 * MIB },
  5: { offset: 28 * MIB, size: 4 * MIB },
} as const;
type Part = keyof typeof PARTS;
const TABLE = 'label: dos\nlabel-id: 0x12345678\n1M,10M,c\n11M,16M,83\n27M,,5\n28M,4M,83\n';

let folder: string;
beforeEach(() => {
  folder = memoryFolder();
});

/** An image that is `OUTSIDE` everywhere but in its table and its partitions. */
function makeDisk(): Buffer {
  const disk = path.join(folder, 'disk.img');
  const bytes = Buffer.alloc(40 * MIB, OUTSIDE);
  for (const at of [0, 27 * MIB]) bytes.fill(0, at, at + 512);
  for (const { offset, size } of Object.values(PARTS)) bytes.fill(0, offset, offset + size);
  fs.writeFileSync(disk, bytes);
  expect(runTool('sfdisk', ['-q', '--wipe=never', disk], { input: TABLE })).toMatchObject({ status: 0 });
  return fs.readFileSync(disk);
}

function ours(...argv: string[]): Promise<RunResult> {
  return userloop(argv, { cwd: folder, env: CLOCK });
}

/** The disk with what is now in the file `piece` as the partition. */
function withPiece(disk: Buffer, part: Part): Buffer {
  const expected = Buffer.from(disk);
  fs.readFileSync(path.join(folder, 'piece')).copy(expected, PARTS[part].offset);
  return expected;
}

function cut(disk: Buffer, part: Part): void {
  const { offset, size } = PARTS[part];
  fs.writeFileSync(path.join(folder, 'piece'), disk.subarray(offset, offset + size));
}

function theirs(...[program = '', ...args]: string[]): ReturnType<typeof runTool> {
  return runTool(program, [...args], { cwd: folder, env: CLOCK });
}

const now = (): Buffer => fs.readFileSync(path.join(folder, 'disk.img'));

describeWithTools(
  ['sfdisk', 'mkfs.fat', 'mke2fs', 'tune2fs', 'e2label', 'resize2fs', 'dumpe2fs', 'e2fsck', 'fsck.fat'],
  'a partition of an image, for the classic commands',
  () => {
    test.each<[Part, string, string]>([
      // As on a partition's device: where it starts is in the boot sector.
      [1, 'mkfs.fat --invariant -n BOOT', '-h 2048'],
      [1, 'mkfs.fat --invariant -F 32 -s 1', '-h 2048'],
      [5, 'mkfs.fat --invariant', '-h 57344'],
      [1, 'mkfs.fat --invariant -h 7', ''],
      [2, `mke2fs -q -t ext2 -U ${UUID} -E hash_seed=${UUID},nodiscard -L root`, ''],
      [2, `mke2fs -q -t ext4 -U ${UUID} -E hash_seed=${UUID},nodiscard`, ''],
      [5, `mke2fs -q -t ext3 -U ${UUID} -E hash_seed=${UUID},nodiscard`, ''],
    ])('%i is formatted as the reference tool does its bytes: %s', async (part, line, more) => {
      const disk = makeDisk();
      cut(disk, part);
      const [program, ...args] = line.split(' ');
      expect(await ours(program!, ...args, `disk.img:${part}`)).toMatchObject({ status: 0 });
      const partition = more === '' ? [] : more.split(' ');
      expect(theirs(program!, ...args, ...partition, 'piece').status).toBe(0);
      expect(now()).toEqual(withPiece(disk, part));
    });

    test('is changed and checked as the reference tools do its bytes', async () => {
      let disk = makeDisk();
      expect((await ours('mke2fs', '-q', 'disk.img:2')).status).toBe(0);
      expect((await ours('mkfs', '-t', 'fat', 'disk.img:1')).status).toBe(0);
      for (const line of ['e2fsck -fn', 'tune2fs -L root -m 1', 'e2label after', 'resize2fs 12M']) {
        disk = now();
        cut(disk, 2);
        const [program = '', ...args] = line.split(' ');
        const options = args.filter((each) => program !== 'e2label' && program !== 'resize2fs' && each);
        const operands = args.filter((each) => !options.includes(each));
        const mine = await ours(program, ...options, 'disk.img:2', ...operands);
        const reference = theirs(program, ...options, 'piece', ...operands);
        expect([line, mine.status]).toEqual([line, reference.status]);
        // e2fsck makes an underscore of a colon.
        expect(mine.stdout.replaceAll(/disk\.img[:_]2/g, 'piece'), line).toBe(reference.stdout);
        expect(now().equals(withPiece(disk, 2)), line).toBe(true);
      }
      disk = now();
      cut(disk, 2);
      expect((await ours('dumpe2fs', 'disk.img:2')).stdout).toBe(theirs('dumpe2fs', 'piece').stdout);
      cut(disk, 1);
      const fsck = theirs('fsck.fat', '-n', 'piece');
      expect(await ours('fsck.fat', '-n', 'disk.img:1')).toMatchObject({
        status: fsck.status,
        stdout: fsck.stdout.replaceAll('piece', 'disk.img:1'),
      });
      expect((await ours('newfs_msdos', 'disk.img:5')).status).toBe(0);
      expect(now().subarray(0, PARTS[5].offset)).toEqual(disk.subarray(0, PARTS[5].offset));
      expect(now().subarray(PARTS[5].offset + PARTS[5].size)).toEqual(
        disk.subarray(PARTS[5].offset + PARTS[5].size),
      );
    });

    test('must be there, hold the file system, and hold no other partitions', async () => {
      const disk = makeDisk();
      const missing = 'there is no partition 7: the image has 1, 2, 3, 5';
      const cases: [string, string][] = [
        ['mke2fs -q disk.img:7', `mke2fs: disk.img:7: ${missing}`],
        // A size does not make a file of that name.
        ['mke2fs -q disk.img:7 8M', `mke2fs: disk.img:7: ${missing}`],
        ['mke2fs -q disk.img:3', 'mke2fs: disk.img:3: partition 3 holds the logical partitions'],
        [
          'mke2fs -q -F disk.img:5 8M',
          'disk.img:5 has 4194304 bytes; the file system would end at byte 8388608',
        ],
        ['mkfs.fat disk.img:7', `mkfs.fat: unable to open disk.img:7: ${missing}`],
        ['mkfs.fat disk.img:5 8192', 'mkfs.fat: disk.img:5 has 4096 blocks of 1024 bytes, not 8192'],
        ['newfs_msdos disk.img:7', `newfs_msdos: disk.img:7: ${missing}`],
        ['tune2fs -L x disk.img:7', `${missing} while trying to open disk.img:7`],
        ['dumpe2fs disk.img:7', `${missing} while trying to open disk.img:7`],
        ['resize2fs disk.img:7', `${missing} while opening disk.img:7`],
        ['e2fsck -fn disk.img:7', `T${missing.slice(1)} while trying to open disk.img:7`],
        ['fsck.fat -n disk.img:7', `open: ${missing}`],
      ];
      for (const [line, message] of cases) {
        const { status, stderr } = await ours(...line.split(' '));
        expect(stderr, line).toContain(`${message}\n`);
        expect(status, line).not.toBe(0);
      }
      expect(now()).toEqual(disk);
      expect(fs.readdirSync(folder)).toEqual(['disk.img']);
    });

    test('is not what a file is whose name looks like it', async () => {
      const disk = makeDisk();
      for (const name of ['disk.img:1', 'disk.img:9', 'disk.img@1M']) {
        fs.writeFileSync(path.join(folder, name), Buffer.alloc(2 * MIB));
        expect((await ours('mke2fs', '-q', name)).status).toBe(0);
        expect((await ours('e2label', name, 'named')).status).toBe(0);
        expect(runTool('e2label', [path.join(folder, name)]).stdout).toBe('named\n');
        expect((await ours('mkfs.fat', name)).status).toBe(0);
        expect(runTool('fsck.fat', ['-n', path.join(folder, name)]).status).toBe(0);
      }
      // Nor where there is no such image.
      expect((await ours('mke2fs', '-q', 'other.img:1', '2M')).status).toBe(0);
      expect(fs.statSync(path.join(folder, 'other.img:1')).size).toBe(2 * MIB);
      expect(now()).toEqual(disk);
    });

    test('can be named by where it starts', async () => {
      const disk = makeDisk();
      cut(disk, 1);
      expect((await ours('mkfs.fat', '--invariant', 'disk.img@1M')).status).toBe(0);
      expect(theirs('mkfs.fat', '--invariant', '-h', '2048', 'piece').status).toBe(0);
      expect(now()).toEqual(withPiece(disk, 1));
    });
  },
);

describeWithDevices(
  ['sfdisk', 'e2label'],
  'a partition of an attached image, for the classic commands',
  () => {
    test('is that of the device, and refused by the name of the image', async () => {
      const devices = new AttachedTest();
      try {
        const image = devices.image('disk.img', 40 * MIB);
        runTool('sfdisk', ['-q', image], { input: TABLE });
        const run = (...argv: string[]): Promise<RunResult> =>
          userloop(argv, { cwd: devices.folder, env: devices.env });
        const name = (await run('attach', image)).stdout.trim().split('\n')[0]!;
        expect(await run('mke2fs', '-q', '-L', 'attached', `${name}:2`)).toMatchObject({ status: 0 });
        expect((await run('mkfs.fat', `${name}:1`)).status).toBe(0);
        for (const program of ['mke2fs', 'mkfs.fat', 'newfs_msdos']) {
          const { status, stderr } = await run(program, 'disk.img:2');
          expect([program, status]).toEqual([program, 1]);
          expect(stderr).toContain('is attached as');
        }
        expect((await run('e2label', 'disk.img:2')).stdout).toBe('attached\n');
        expect((await run('detach', name)).status).toBe(0);
        const bytes = fs.readFileSync(image);
        expect(bytes.readUInt32LE(PARTS[1].offset + 0x1c)).toBe(2048);
        expect(bytes.toString('latin1', PARTS[2].offset + 1024 + 0x78, PARTS[2].offset + 1024 + 0x80)).toBe(
          'attached',
        );
      } finally {
        await devices.end();
      }
    });
  },
);
