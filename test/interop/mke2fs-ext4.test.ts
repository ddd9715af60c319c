import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  argumentsOf,
  type Case,
  ENV,
  expectSame,
  format,
  GIB,
  MIB,
  prepare,
  runBoth,
  TIB,
} from '../support/mke2fs-cases.ts';
import { userloop } from '../support/run.ts';
import { allocatedBytes } from '../support/sparse-files.ts';
import { describeWithTools, runTool, temporaryFolder } from '../support/tools.ts';

const SIZES: readonly Case[] = [
  ...[1, 2, 3, 8, 20, 100, 511, 512, 1000].map((mib) => format(mib * MIB, '-t ext4')),
  ...[2, 20, 100].map((mib) => format(mib * MIB, '-t ext3')),
  ...[2, 16, 17, 100].map((gib) => format(gib * GIB, '-t ext4')),
  format(2 * GIB, '-t ext3'),
  format(undefined, '-t ext4 -- 20m'),
  format(undefined, '-t ext4 -b 4096 -- 32769'),
  format(undefined, '-t ext4 -b 1024 -- 16880'),
  format(undefined, '-t ext3 -b 1024 -- 16880'),
];

const BLOCKS: readonly Case[] = [1024, 2048, 4096].flatMap((blockSize) =>
  ['ext3', 'ext4'].flatMap((type) =>
    [8, 40, 300].map((mib) => format(mib * MIB, `-t ${type} -b ${blockSize}`)),
  ),
);

const FEATURES: readonly Case[] = [
  '^has_journal',
  '^has_journal,^resize_inode',
  '^extent,^64bit',
  '^extent,^64bit,^metadata_csum',
  '^64bit',
  '^metadata_csum',
  '^metadata_csum,^64bit,^flex_bg',
  'uninit_bg',
  'uninit_bg,^metadata_csum',
  'uninit_bg,^metadata_csum,^64bit',
  '^flex_bg',
  '^huge_file,^dir_nlink,^extra_isize',
  'metadata_csum_seed',
  'orphan_file',
  'orphan_file,quota',
  'fast_commit',
  'fast_commit,^has_journal',
  'quota',
  'quota,^has_journal',
  'quota,project',
  'project',
  'inline_data',
  'bigalloc',
  'bigalloc -C 4096',
  'bigalloc -b 4096 -C 16384',
  'bigalloc,^has_journal',
  'encrypt',
  'casefold',
  'verity,ea_inode,stable_inodes,large_dir',
  'meta_bg,^resize_inode',
  'sparse_super2',
  '^sparse_super,^resize_inode',
  '^filetype,^ext_attr,^dir_index',
  '^large_file',
].map((features) => format(40 * MIB, `-t ext4 -O ${features}`));

const OPTIONS: readonly Case[] = [
  ...['-j', '-J size=4', '-j -b 4096 -L label', '-O has_journal -J size=1'].map((o) => format(40 * MIB, o)),
  ...[
    '-t ext3 -J location=5000',
    '-t ext4 -J location=5000',
    '-t ext4 -J size=4,location=3m',
    '-t ext4 -J size=0',
    '-t ext4 -J size=4,fast_commit_size=100 -O fast_commit',
    '-t ext4 -G 1',
    '-t ext4 -G 2',
    '-t ext4 -G 4',
    '-t ext4 -g 1024 -G 64',
    '-t ext4 -I 128',
    '-t ext4 -I 512',
    '-t ext4 -I 1024 -b 1024',
    '-t ext4 -i 1024',
    '-t ext4 -N 16',
    '-t ext4 -m 0 -r 1 -M /mnt -e panic',
    '-t ext4 -T news',
    '-t ext4 -T largefile',
    '-t ext4 -T largefile4 -b 1024',
    '-t ext4 -T hurd',
    '-t ext4 -o hurd',
    '-t ext4 -v',
    '-t ext4 -v -O bigalloc',
    '-t ext4 -n',
    '-t ext4 -v -q',
    '-t ext4 -E packed_meta_blocks=1',
    '-t ext4 -E packed_meta_blocks=1 -b 4096',
    '-t ext4 -E packed_meta_blocks=0',
    '-t ext4 -E stride=4,stripe_width=16',
    '-t ext4 -E root_owner=5:6',
    '-t ext4 -b 1024 -O quota,project -E root_owner=1000:6',
    '-t ext4 -E resize=1G',
    '-t ext4 -E offset=1048576',
    '-t ext4 -E num_backup_sb=1 -O sparse_super2',
    '-t ext4 -E test_fs',
    '-t ext4 -E nodiscard',
    '-t ext4 -E nodiscard,lazy_itable_init=0',
    '-t ext4 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1',
    '-t ext4 -E encoding=utf8',
    '-t ext4 -E encoding=utf8,encoding_flags=strict',
    '-t ext4 -E quotatype=usrquota -O quota',
    '-t ext4 -E quotatype=usrquota:prjquota -O quota,project',
    '-t ext4 -E orphan_file_size=64k -O orphan_file',
    '-t ext4 -E mmp_update_interval=7',
    '-t ext4 -E no_copy_xattrs',
    '-t ext4 -c -q',
  ].map((o) => format(20 * MIB, o)),
  format(300 * MIB, '-t ext4 -b 1024 -g 1024 -J size=100'),
  format(100 * MIB, '-t ext4 -b 1024 -g 512 -O ^flex_bg -J size=33'),
  format(GIB, '-t ext4 -O orphan_file,quota,inline_data,casefold -b 2048'),
  format(20 * MIB, '-t ext4', { badBlocks: [1500, 8300] }),
];

const OLD_CONTENT: readonly Case[] = [
  '-t ext4',
  '-t ext3 -E nodiscard',
  '-t ext4 -E nodiscard',
  '-t ext4 -E nodiscard,lazy_itable_init=0',
  '-t ext4 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1',
  '-t ext4 -E nodiscard,assume_storage_prezeroed=1',
].map((line) => format(20 * MIB, line, { dirty: true }));

const LARGE: readonly Case[] = [
  format(TIB, '-t ext4 -q'),
  format(4 * TIB, '-t ext4 -q'),
  format(16 * TIB - GIB, '-t ext4 -q'),
  format(16 * TIB - GIB, '-t ext4 -n -v'),
];

/** Everything that ends in a message; the image must stay as it was. */
const REFUSALS: readonly Case[] = [
  '-t ext4 -O ^extent',
  '-t ext4 -O ^sparse_super',
  '-t ext4 -O meta_bg',
  '-t ext4 -O metadata_csum_seed,^metadata_csum',
  '-t ext4 -O orphan_file,^has_journal',
  '-t ext3 -O bigalloc',
  '-t ext4 -I 128 -O inline_data',
  '-t ext4 -I 128 -O project,quota',
  '-t ext4 -G 64 -O ^flex_bg',
  '-t ext4 -G 3',
  '-t ext4 -C 4096',
  '-t ext4 -J size=x',
  '-t ext4 -J foo',
  '-t ext4 -J size=15',
  '-t ext4 -b 4096 -J size=2',
  '-t ext4 -E encoding=foo',
  '-t ext4 -E encoding_flags=strict',
  '-t ext4 -E encoding=utf8,encoding_flags=x',
  '-t ext4 -E quotatype=foo',
].map((line) => format(20 * MIB, line));

/** Options that a random command line is put together from; an empty one is none. */
const CHOICES: readonly (readonly string[])[] = [
  ['-t ext3', '-t ext4', '-t ext4', '-t ext4'],
  ['', '-b 1024', '-b 2048', '-b 4096'],
  ['', '', '-I 128', '-I 256', '-I 512'],
  ['', '', '-i 4096', '-i 65536'],
  ['', '', '', '-g 1024', '-g 2048'],
  ['', '', '-J size=4', '-J size=8'],
  ['', '', '-m 0', '-m 2.5'],
  ['', '', '-q', '-v'],
];
const TOGGLED =
  'has_journal flex_bg huge_file dir_nlink extra_isize uninit_bg ext_attr dir_index large_dir filetype metadata_csum'.split(
    ' ',
  );
const RANDOM_CASES = Number(process.env['USERLOOP_MKE2FS_CASES'] ?? 24);

/** Linear congruence (Numerical Recipes): the same cases in every run. */
function randomCases(seed: number, count: number): Case[] {
  let state = seed;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * limit);
  };
  return Array.from({ length: count }, () => {
    const words = CHOICES.map((choices) => choices[below(choices.length)]!);
    const features = TOGGLED.filter(() => below(6) === 0).map((name) => (below(2) === 0 ? `^${name}` : name));
    if (features.length > 0) words.push(`-O ${features.join(',')}`);
    const mib = [3, 9, 20, 64, 130, 700][below(6)]!;
    return format(mib * MIB, words.filter((word) => word !== '').join(' '));
  });
}

const CONFIGURATION =
  '# a comment\n[defaults]\n\tbase_features = sparse_super,filetype\n\tblocksize = 2048\n' +
  '\tinode_size = 512\n\tinode_ratio = 8192\n\treserved_ratio = 2\n' +
  '[fs_types]\n\text4 = {\n\t\tfeatures = extent,flex_bg,has_journal\n\t\tflex_bg_size = 4\n\t}\n' +
  '\tsmall = {\n\t\tinode_ratio = 4096\n\t}\n\tmine = {\n\t\tblocksize = 4096\n\t}\n';
const UNUSUAL_CONFIGURATION =
  '[defaults]\n\tbase_features = sparse_super,filetype,resize_inode,dir_index\n' +
  '\tdefault_mntopts = acl,discard,journal_data_ordered\n\terrors = panic\n\thash_alg = tea\n' +
  '\tdiscard = 0\n\tlazy_itable_init = 0\n\tblocksize = 2048\n\tinode_ratio = 8192\n' +
  '\tpacked_meta_blocks = 1\n\tcluster_size = 8192\n\tdefault_features = ^ext_attr\n' +
  '[fs_types]\n\text4 = {\n\t\tfeatures = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit\n' +
  '\t\toptions = stride=4,stripe_width=16\n\t\tflex_bg_size = 8\n\t}\n' +
  '\text3 = {\n\t\tfeatures = has_journal\n\t}\n';

describeWithTools(['mke2fs', 'e2fsck', 'debugfs'], 'mke2fs for ext3 and ext4', () => {
  const GROUPS: readonly [name: string, cases: readonly Case[]][] = [
    ['sizes', SIZES],
    ['block sizes', BLOCKS],
    ['features', FEATURES],
    ['options', OPTIONS],
    ['old content', OLD_CONTENT],
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

  describe('does the same on command lines by chance', () => {
    for (const one of randomCases(20_261_122, RANDOM_CASES)) {
      test(one.name, async () => {
        const { theirs, ours } = await runBoth(one);
        if (theirs.status === 0) await expectSame(one);
        else expect([ours.status, ours.stderr]).toEqual([theirs.status, theirs.stderr]);
      });
    }
  });

  describe('refuses with the same message and leaves the image alone', () => {
    for (const one of REFUSALS) {
      test(one.name, async () => {
        const { theirs, ours, files } = await runBoth(one);
        expect([ours.status, ours.stderr]).toEqual([theirs.status, theirs.stderr]);
        expect(theirs.status).toBe(1);
        expect(allocatedBytes(files[1])).toBe(0);
      });
    }
  });

  test('the block of multiple-mount protection is what the reference takes for one', async () => {
    const one = format(20 * MIB, '-t ext4 -O mmp');
    const file = prepare('checked', one);
    const made = await userloop(['mke2fs', ...argumentsOf(one)], { cwd: path.dirname(file), env: ENV });
    expect(made.stdout).toContain('Multiple mount protection is enabled with update interval 5 seconds.\n');
    expect(runTool('debugfs', ['-R', 'dump_mmp', file]).stdout).toContain('magic: 0x4d4d50');
    expect(runTool('e2fsck', ['-fn', file]).status).toBe(0);
  });

  describe.each([
    ['mke2fs.conf is read where MKE2FS_CONFIG names one', CONFIGURATION],
    ['so are the choices that few make', UNUSUAL_CONFIGURATION],
  ])('%s', (_, text) => {
    const configuration = path.join(temporaryFolder(), 'mke2fs.conf');
    fs.writeFileSync(configuration, text);
    test.each([
      '-t ext4 -v',
      '-t ext4 -T mine -v',
      '-t ext4 -O bigalloc',
      '-t ext3',
      '-T small',
      '-T floppy',
      '-t ext4 -E stride=8 -e continue -b 1024',
      '-t ext4 -E discard',
      '-I 128',
    ])('%s', async (line) => {
      const one = format(50 * MIB, line);
      const argv = argumentsOf(one);
      const files = [prepare('theirs', one), prepare('ours', one)] as const;
      const env = { ...ENV, MKE2FS_CONFIG: configuration };
      const theirs = runTool('mke2fs', argv, {
        cwd: path.dirname(files[0]),
        env: { ...process.env, ...env },
      });
      const ours = await userloop(['mke2fs', ...argv], { cwd: path.dirname(files[1]), env });
      expect([ours.status, ours.stdout, ours.stderr]).toEqual([theirs.status, theirs.stdout, theirs.stderr]);
      if (theirs.status === 0) expect(fs.readFileSync(files[0]).equals(fs.readFileSync(files[1]))).toBe(true);
    });
  });
});
