import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  argumentsOf,
  type Case,
  ENV,
  expectSame,
  format,
  GIB,
  KIB,
  MIB,
  prepare,
  runBoth,
  TIB,
} from '../support/mke2fs-cases.ts';
import { userloop } from '../support/run.ts';
import { allocatedBytes } from '../support/sparse-files.ts';
import { describeWithTools, runTool } from '../support/tools.ts';

const SIZES: readonly Case[] = [
  format(64 * KIB, '-N 16'),
  format(100 * KIB, '-N 16'),
  ...[120, 360, 720, 1440, 2880, 3071, 3072, 4096, 8192].map((kib) => format(kib * KIB)),
  ...[10, 33, 100, 511, 512, 513].map((mib) => format(mib * MIB)),
  ...[1, 2, 10, 64].map((gib) => format(gib * GIB)),
  format(3_000_999),
  format(undefined, '-- 1440'),
  format(undefined, '-- 20m'),
  format(undefined, '-- 8300'),
  format(undefined, '-b 4096 -- 5000'),
  format(MIB, '-- 2880s'),
  format(20 * MIB, '-- 10M'),
];

/** Round the first and the second boundary of groups of 8192 blocks, and where a last group is just large enough. */
const BOUNDARIES: readonly Case[] = [
  ...[8191, 8192, 8193, 8194, 8200, 8300].map((blocks) => format(undefined, `-b 1024 -- ${blocks}`)),
  ...[16384, 16385, 16386, 16500, 16800, 16870, 16880, 16900].map((blocks) =>
    format(undefined, `-b 1024 -- ${blocks}`),
  ),
  ...[32767, 32768, 32769, 33300, 33400].map((blocks) => format(undefined, `-b 4096 -i 65536 -- ${blocks}`)),
  ...[655, 656, 657, 658, 659, 660].map((blocks) =>
    format(undefined, `-b 1024 -g 328 -N 64 -- ${blocks + 60}`),
  ),
];

const OPTIONS: readonly Case[] = [
  ...['-b 1024', '-b 2048', '-b 4096', '-b 8192 -F', '-b 65536 -F', '-b 3000', '-b -2048'].map((o) =>
    format(40 * MIB, o),
  ),
  ...['-I 128', '-I 512', '-I 1024 -b 1024', '-I 4096 -b 4096 -i 65536', '-I 128 -b 4096'].map((o) =>
    format(20 * MIB, o),
  ),
  ...['-i 1024', '-i 65536', '-i 67108864', '-N 16', '-N 24', '-N 5000', '-m 0', '-m 0.5', '-m 50'].map((o) =>
    format(20 * MIB, o),
  ),
  ...[
    '-T floppy',
    '-T small',
    '-T default',
    '-T big',
    '-T huge',
    '-T news',
    '-T largefile',
    '-T largefile4',
  ].map((o) => format(20 * MIB, o)),
  ...[
    '-O none',
    '-O ^resize_inode',
    '-O ^sparse_super,^resize_inode',
    '-O sparse_super2',
    '-O sparse_super2,^resize_inode -E num_backup_sb=1',
    '-O sparse_super2 -E num_backup_sb=0',
    '-O meta_bg,^resize_inode',
    '-O ^dir_index',
    '-O ^filetype',
    '-O ^large_file -b 4096',
    '-O ^ext_attr',
    '-O none,filetype',
    '-r 0',
    '-r 1 -O ^filetype,^dir_index',
  ].map((o) => format(40 * MIB, o)),
  ...['-g 256', '-g 336', '-g 344', '-g 1024', '-g 8192', '-g 256 -O ^resize_inode'].map((o) =>
    format(20 * MIB, o),
  ),
  ...[
    '-E stride=4',
    '-E stride=16,stripe_width=64',
    '-E resize=1G',
    '-E resize=100000',
    '-E root_owner=70000:80000',
    '-E root_owner',
    '-E test_fs',
    '-E nodiscard',
    '-E lazy_itable_init=1',
    '-E discard,lazy_journal_init=0',
  ].map((o) => format(20 * MIB, o)),
  format(20 * MIB, '-L label -M /mnt/point -e remount-ro'),
  format(20 * MIB, '-L 12345678901234567890'),
  format(20 * MIB, '-o freebsd'),
  format(20 * MIB, '-o hurd'),
  format(20 * MIB, '-v'),
  format(20 * MIB, '-v -q'),
  format(20 * MIB, '-v -E root_owner=3:4,stride=2'),
  format(20 * MIB, '-q'),
  format(20 * MIB, '-c'),
  format(3 * MIB, '-cc -q'),
  format(20 * MIB, '-n'),
  format(20 * MIB, '-n -q'),
  format(20 * MIB, '-S -F -E nodiscard'),
  format(2 * MIB, '-U clear'),
  format(GIB, '-b 4096 -i 2048 -I 512'),
  // The article's partition: from sector 63 on.
  format(32256 + 503_968 * KIB, '-b1024 -E offset=32256 -- 503968'),
  format(20 * MIB, '-E offset=1024'),
  format(20 * MIB, '-E offset=512 -- 5000'),
];

const OLD_CONTENT: readonly Case[] = [
  format(3 * MIB, '', { dirty: true }),
  format(20 * MIB, '', { dirty: true }),
  format(20 * MIB, '-E nodiscard', { dirty: true }),
  format(20 * MIB, '-E nodiscard -b 4096', { dirty: true }),
  format(20 * MIB, '-E nodiscard -b 4096 -O sparse_super2', { dirty: true }),
  format(20 * MIB, '-E nodiscard,offset=32256 -- 8000', { dirty: true }),
];

const BAD_BLOCKS: readonly Case[] = [
  format(3 * MIB, '', { badBlocks: [100, 200] }),
  format(3 * MIB, '', { badBlocks: [5, 3000, 99_999, 0] }),
  format(20 * MIB, '', { badBlocks: [8193, 8300] }),
  format(20 * MIB, '', { badBlocks: Array.from({ length: 601 }, (_, i) => 1000 + i) }),
  format(40 * MIB, '-b 4096', { badBlocks: [20, 21, 22, 700] }),
];

const LARGE: readonly Case[] = [
  format(TIB, '-q'),
  // In large blocks: a host takes a minute to remove a file of a hundred thousand pieces.
  format(4 * TIB, '-q -F -b 65536 -i 4194304'),
  format(4 * TIB, '-n -q'),
  format(4 * TIB - 4096, '-n'),
  format(16 * GIB, '-n -- 15T'),
];

/** Everything that ends in a message; the image must stay as it was. */
const REFUSALS: readonly Case[] = [
  ...[
    '-b 512',
    '-b x',
    '-r 2',
    '-r x',
    '-I 64',
    '-I 384',
    '-I x',
    '-i 512',
    '-i x',
    '-N x',
    '-N 100000',
    '-m 51',
    '-m x',
    '-g 100',
    '-g 104',
    '-g 8200',
    '-g x',
    '-G 16',
    '-G 3',
    '-G x',
    '-e foo',
    '-O foo',
    '-O ^foo',
    '-O ^sparse_super',
    '-O meta_bg',
    '-T floppy -T small',
    '-t ext2 -t ext3',
    '-t foo',
    '-t ext4dev',

    '-b',
    '-E foo',
    '-E foo,bar',
    '-E offset=x',
    '-E offset',
    '-E resize=x',
    '-E resize=100',
    '-r 0 -E resize=1G',
    '-E root_owner=x',
    '-E stride=x,stripe_width=x',
    '-E num_backup_sb=3',
    '-E hash_seed=x',
    '-- 0',
    '-- x',
    '-- 10x',
    '-- 1 2',
    '-b 8192',
    '-N 4000000000',
  ].map((line) => format(3 * MIB, line)),
  format(undefined),
  format(undefined, '-n -- 100'),
  format(0),
  format(1000),
  format(5000),
  format(20 * KIB, '-b 4096'),
  format(GIB, '-n -- 16T'),
  format(GIB, '-n -b 1024 -- 4T'),
];

describeWithTools(['mke2fs', 'e2fsck'], 'mke2fs', () => {
  let version = '';
  beforeAll(() => {
    version = runTool('mke2fs', ['-V']).stderr;
  });

  test('the reference is the version whose bytes these are', () => {
    expect(version).toContain('1.47.0');
  });

  const GROUPS: readonly [name: string, cases: readonly Case[]][] = [
    ['sizes', SIZES],
    ['boundaries of groups', BOUNDARIES],
    ['options', OPTIONS],
    ['old content', OLD_CONTENT],
    ['bad blocks', BAD_BLOCKS],
  ];
  for (const [name, cases] of GROUPS) {
    describe(`writes the same bytes and prints the same text: ${name}`, () => {
      for (const one of cases) test(one.name, async () => void (await expectSame(one)));
    });
  }

  describe('writes the same bytes to sparse files of many TiB', () => {
    for (const one of LARGE) {
      test(one.name, async () => {
        const image = await expectSame(one);
        expect(allocatedBytes(image)).toBeLessThan(GIB);
      });
    }
  });

  describe('refuses with the same message and leaves the image alone', () => {
    for (const one of REFUSALS) {
      test(one.name, async () => {
        const { theirs, ours, files } = await runBoth(one);
        expect({ status: ours.status, stderr: ours.stderr }).toEqual({
          status: theirs.status,
          stderr: theirs.stderr,
        });
        expect(theirs.status).toBe(1);
        expect(fs.existsSync(files[1])).toBe(one.size !== undefined);
        if (one.size !== undefined) expect(allocatedBytes(files[1])).toBe(0);
      });
    }
  });

  describe('e2fsck finds nothing in it', () => {
    const sample = [
      format(1440 * KIB),
      format(100 * MIB, '-b 4096 -I 128'),
      format(40 * MIB, '-r 0'),
      format(20 * MIB, '-g 256 -O sparse_super2,^resize_inode'),
      format(40 * MIB, '-O meta_bg,^resize_inode -g 1024'),
      format(20 * MIB, '-E stride=16', { badBlocks: [500, 8300] }),
    ];
    for (const one of sample) {
      test(one.name, async () => {
        const file = prepare('checked', one);
        const made = await userloop(['mke2fs', '-q', ...argumentsOf(one)], {
          cwd: path.dirname(file),
          env: ENV,
        });
        expect(made.status).toBe(0);
        const checked = runTool('e2fsck', ['-fn', file]);
        expect(checked.stdout + checked.stderr).not.toMatch(/fix\?|WARNING/i);
        expect(checked.status).toBe(0);
      });
    }
  });
});
