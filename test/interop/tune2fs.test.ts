import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { viewOf } from '../../src/bytes/struct.ts';
import { isSuperblockSealed } from '../../src/filesystem/ext/checksum.ts';
import { hasSuperblockCopy } from '../../src/filesystem/ext/geometry.ts';
import { Superblock } from '../../src/filesystem/ext/superblock.ts';
import { type DebugfsJournal, makeDebugfsJournal } from '../support/dirty-journals.ts';
import { userloop } from '../support/run.ts';
import { describeWithTools, runTool, memoryFolder } from '../support/tools.ts';

const folder = memoryFolder();
const NAME = 'volume.img';
const theirs = path.join(folder, 'theirs');
const ours = path.join(folder, 'ours');
fs.mkdirSync(theirs);
fs.mkdirSync(ours);

const UUID = [
  '-U',
  '11111111-2222-3333-4444-555555555555',
  '-E',
  'hash_seed=66666666-7777-8888-9999-aaaaaaaaaaaa',
];

/** Images to change: more than the defaults, so that every line of the listing is seen. */
const images: Readonly<Record<string, readonly string[]>> = {
  ext4: ['-t', 'ext4', ...UUID],
  seed: ['-t', 'ext4', '-O', 'metadata_csum_seed,^has_journal', '-b', '4096', ...UUID],
  ext3: ['-t', 'ext3', '-b', '1024', '-L', 'third', '-M', '/mnt/somewhere', ...UUID],
  ext2: ['-t', 'ext2', '-b', '2048', '-I', '128', '-m', '1', ...UUID],
  plain: ['-t', 'ext2', '-r', '0', '-b', '1024'],
  dense: ['-t', 'ext2', '-O', '^sparse_super,^resize_inode', ...UUID],
  orphans: ['-t', 'ext4', '-O', 'orphan_file', ...UUID],
  raid: [
    '-t',
    'ext4',
    '-E',
    'stride=16,stripe_width=64,num_backup_sb=1',
    '-O',
    'sparse_super2,^has_journal,bigalloc',
    ...UUID,
  ],
  groups: [
    '-t',
    'ext4',
    '-O',
    '^has_journal,meta_bg,^resize_inode,^metadata_csum,uninit_bg',
    '-b',
    '1024',
    '-g',
    '1024',
    ...UUID,
  ],
};

const changes: readonly (readonly [image: string, ...args: string[]])[] = [
  ...Object.keys(images).map((image) => [image, '-l'] as const),
  ...Object.keys(images).map((image) => [image, '-L', 'a label', '-m', '2', '-c', '7'] as const),
  ['ext4', '-L', '12345678901234567890'],
  ['ext4', '-L', ''],
  ['ext4', '-L', 'ünï'],
  ['ext4', '-m', '0'],
  ['ext4', '-m', '3.14159265'],
  ['ext4', '-m', '50'],
  ['ext4', '-m', '50.1'],
  ['ext4', '-m', '-1'],
  ['ext4', '-m', 'x'],
  ['ext4', '-r', '0'],
  ['ext4', '-r', '1000'],
  ['ext4', '-r', '0x10'],
  ['ext4', '-r', '99999999'],
  ['ext4', '-r', 'many'],
  ['ext4', '-c', '20', '-C', '3'],
  ['ext4', '-c', '-1'],
  ['ext4', '-c', '0'],
  ['ext4', '-c', 'random'],
  ['ext4', '-c', '16001'],
  ['ext4', '-c', 'x'],
  ['ext4', '-C', '16001'],
  ['ext4', '-e', 'continue'],
  ['ext4', '-e', 'remount-ro'],
  ['ext4', '-e', 'panic'],
  ['ext4', '-e', 'explode'],
  ['ext4', '-i', '0'],
  ['ext4', '-i', '10', '-l'],
  ['ext4', '-i', '10d'],
  ['ext4', '-i', '3m', '-l'],
  ['ext4', '-i', '7w', '-l'],
  ['ext4', '-i', '100000s', '-l'],
  ['ext4', '-i', '10dd'],
  ['ext4', '-i', '10y'],
  ['ext4', '-i', '100000'],
  ['ext4', '-u', '5', '-g', '6', '-l'],
  ['ext4', '-u', 'root', '-g', 'root'],
  ['ext4', '-u', 'no-such-user'],
  ['ext4', '-g', 'no-such-group'],
  ['ext4', '-u', '12345', '-g', '54321', '-l'],
  ['ext4', '-M', '/mnt/elsewhere', '-l'],
  ['ext4', '-M', '/x'.repeat(50)],
  ['ext4', '-T', '20200102'],
  ['ext4', '-T', '2020010203'],
  ['ext4', '-T', '20200102030405', '-l'],
  ['ext4', '-T', 'yesterday'],
  ['ext4', '-T', '2020'],
  ['ext4', '-s', '1'],
  ['ext4', '-s', '0'],
  ['ext4', '-o', 'acl,^user_xattr,journal_data_writeback', '-l'],
  ['ext4', '-o', 'debug,bsdgroups,uid16,nobarrier,block_validity,discard,nodelalloc', '-l'],
  ['ext4', '-o', '^acl,^user_xattr', '-l'],
  ['ext4', '-o', 'no_such_option'],
  ['ext4', '-o', 'acl', '-o', 'acl'],
  ['ext4', '-E', 'stride=8,stripe_width=32', '-l'],
  ['ext4', '-E', 'stripe-width=32,stride=4'],
  ['ext4', '-E', 'stride=x'],
  ['ext4', '-E', 'stride'],
  ['ext4', '-E', 'stride=8,bogus'],
  ['ext4', '-E', 'test_fs', '-l'],
  ['ext4', '-E', '^test_fs'],
  ['ext4', '-E', 'force_fsck', '-l'],
  ['ext4', '-E', 'hash_alg=tea', '-l'],
  ['ext4', '-E', 'hash_alg=legacy', '-l'],
  ['ext4', '-E', 'hash-alg=md5'],
  ['ext4', '-E', 'mount_opts=nodelalloc,force_fsck', '-l'],
  ['ext4', '-E', `mount_opts=${'o'.repeat(70)}`],
  ['ext4', '-E', 'mmp_update_interval=7'],
  ['ext4', '-E', 'mmp_update_interval=1'],
  ['ext4', '-E', 'mmp_update_interval=1000'],
  ['ext4', '-E', 'clear_mmp'],
  ['ext4', '-f', '-E', 'clear_mmp'],
  ['ext4', '-f'],
  ['ext4'],
  ['ext4', '-l', '-l'],
  ['ext4', '-X'],
  ['ext4', '-L'],
  ['ext4', '-O', 'large_dir,ea_inode,stable_inodes', '-l'],
  ['ext4', '-O', 'fast_commit', '-l'],
  ['ext4', '-O', 'encrypt,verity', '-l'],
  ['ext4', '-O', '^filetype'],
  ['ext4', '-O', '^large_file,^huge_file,^dir_nlink,^extra_isize', '-l'],
  ['ext4', '-O', '^resize_inode'],
  ['ext4', '-O', 'read-only', '-l'],
  ['ext4', '-O', '^read-only'],
  ['ext4', '-O', 'metadata_csum_seed', '-l'],
  ['ext4', '-O', 'metadata_csum_seed', '-U', '99999999-8888-7777-6666-555555555555', '-l'],
  ['ext4', '-O', 'dir_index,extent,extents,flex_bg,sparse_super,uninit_bg'],
  ['ext4', '-O', '^extent'],
  ['ext4', '-O', '^sparse_super'],
  ['ext4', '-O', 'inline_data'],
  ['ext4', '-O', 'meta_bg,large_dir'],
  ['ext4', '-O', 'nonsense'],
  ['ext4', '-O', 'large_dir,nonsense'],
  ['ext4', '-O', 'feature_r20'],
  ['ext4', '-O', 'large_dir', '-O', 'verity'],
  ['ext4', '-O', 'stable_inodes', '-U', 'clear'],
  ['ext4', '-U', 'nonsense', '-O', 'metadata_csum_seed'],
  ['seed', '-U', '99999999-8888-7777-6666-555555555555', '-l'],
  ['seed', '-U', 'clear', '-l'],
  ['seed', '-U', 'null'],
  ['seed', '-O', '^metadata_csum_seed', '-l'],
  ['ext3', '-U', 'clear', '-l'],
  ['ext3', '-O', 'extent,large_dir,^dir_index', '-l'],
  ['ext3', '-O', 'metadata_csum_seed'],
  ['ext2', '-U', '99999999-8888-7777-6666-555555555555', '-l'],
  ['ext2', '-U', 'no'],
  ['ext2', '-O', '^dir_index', '-l'],
  ['ext2', '-O', 'filetype,dir_nlink', '-l'],
  ['plain', '-O', 'large_file', '-l'],
  ['plain', '-O', 'sparse_super', '-l'],
  ['dense', '-s', '1', '-l'],
  ['dense', '-O', 'sparse_super,^large_file', '-l'],
  ['plain', '-U', '99999999-8888-7777-6666-555555555555', '-L', 'x', '-l'],
  ['raid', '-E', 'stride=1', '-r', '100', '-l'],
  ['groups', '-O', 'sparse_super'],
  ['groups', '-L', 'meta', '-T', '20210203', '-l'],
  [
    'ext4',
    '-l',
    '-c',
    '5',
    '-e',
    'panic',
    '-i',
    '1w',
    '-g',
    '3',
    '-u',
    '4',
    '-m',
    '1',
    '-M',
    'm',
    '-L',
    'l',
    '-o',
    'acl',
    '-E',
    'stride=2,test_fs',
    '-T',
    '20220304',
    '-O',
    'large_dir',
  ],
];

/** Volumes whose journal holds changes. */
const dirty: readonly (readonly [string, DebugfsJournal])[] = [
  ['dirty3', { type: 'ext3', blockSize: 1024, features: 'none,has_journal,filetype', open: '', seed: 3 }],
  ['dirty4', { type: 'ext4', blockSize: 4096, features: 'has_journal,extent', open: '-c -v 3', seed: 22 }],
];
const dirtyChanges: readonly (readonly string[])[] = [
  ['-l'],
  ['-f'],
  ['-L', 'replayed'],
  ['-c', '7'],
  ['-O', 'large_dir'],
  ['-g', '7'],
  ['-m', '70'],
  ['-E', 'hash_alg=tea'],
];

/** Both tools write the time of their own clocks, which the checksum covers. */
function withoutTimes(file: string, wasReplayed = false): Buffer {
  const bytes = fs.readFileSync(file);
  const view = viewOf(bytes);
  const blockSize = 1024 << Superblock.s_log_block_size.get(view, 1024);
  const first = Superblock.s_first_data_block.get(view, 1024);
  const perGroup = Superblock.s_blocks_per_group.get(view, 1024);
  const superblock = viewOf(bytes.subarray(1024, 2048));
  for (let group = 0; (first + group * perGroup) * blockSize + 1024 <= bytes.length; group++) {
    if (!hasSuperblockCopy(superblock, group)) continue;
    const at = group === 0 ? 1024 : (first + group * perGroup) * blockSize;
    expect(isSuperblockSealed(viewOf(bytes.subarray(at, at + 1024))), `superblock of group ${group}`).toBe(
      true,
    );
    Superblock.s_wtime.set(view, at, 0);
    Superblock.s_checksum.set(view, at, 0);
    if (!wasReplayed) continue;
    // e2fsprogs sets the last check to the end of time after a replay, counts what it has written, and leaves the copies as they are.
    Superblock.s_lastcheck.set(view, at, 0);
    Superblock.s_kbytes_written.set(view, at, 0n);
    if (group > 0) bytes.fill(0, at, at + 1024);
  }
  return bytes;
}

describeWithTools(['mke2fs', 'tune2fs', 'e2label', 'debugfs'], 'tune2fs', () => {
  for (const [name, args] of Object.entries(images)) {
    const made = runTool('mke2fs', ['-q', '-F', ...args, path.join(folder, name), '10M']);
    if (made.status !== 0) throw new Error(made.stderr);
  }

  for (const [name, journal] of dirty) {
    fs.copyFileSync(makeDebugfsJournal(journal), path.join(folder, name));
  }
  const all = [
    ...changes,
    ...dirty.flatMap(([name]) => dirtyChanges.map((args) => [name, ...args] as const)),
  ];

  for (const [image, ...args] of all) {
    test(`says and writes the same: ${image}: ${args.join(' ')}`, async () => {
      for (const place of [theirs, ours]) fs.copyFileSync(path.join(folder, image), path.join(place, NAME));
      const env = { ...process.env, LC_ALL: 'C' };
      const theirResult = runTool('tune2fs', [...args, NAME], { cwd: theirs, env });
      const ourResult = await userloop(['tune2fs', ...args, NAME], { cwd: ours });
      expect(ourResult.stdout).toBe(theirResult.stdout);
      // It names itself as it was called.
      expect(ourResult.stderr).toBe(theirResult.stderr.replaceAll(/\/\S*\/tune2fs/g, 'tune2fs'));
      expect(ourResult.status).toBe(theirResult.status);
      const isDirty = dirty.some(([name]) => name === image);
      const [theirBytes, ourBytes] = [theirs, ours].map((place) =>
        withoutTimes(path.join(place, NAME), isDirty),
      );
      const same = Buffer.compare(ourBytes!, theirBytes!) === 0;
      expect(same ? '' : firstDifference(ourBytes!, theirBytes!)).toBe('');
    });
  }
});

describeWithTools(['mke2fs', 'e2label'], 'e2label', () => {
  const cases: readonly (readonly string[])[] = [
    [NAME],
    [NAME, 'new'],
    [NAME, ''],
    [NAME, '12345678901234567890'],
    [NAME, 'a', 'b'],
    [],
    ['absent.img'],
    ['absent.img', 'new'],
    ['zeros.img'],
    ['zeros.img', 'new'],
  ];
  for (const args of cases) {
    test(`says and writes the same: ${args.join(' ')}`, async () => {
      for (const place of [theirs, ours]) {
        fs.copyFileSync(path.join(folder, 'ext3'), path.join(place, NAME));
        fs.writeFileSync(path.join(place, 'zeros.img'), new Uint8Array(100_000));
      }
      const theirResult = runTool('e2label', args, { cwd: theirs });
      const ourResult = await userloop(['e2label', ...args], { cwd: ours });
      expect(ourResult.stdout).toBe(theirResult.stdout);
      expect(ourResult.stderr).toBe(theirResult.stderr.replaceAll(/\/\S*\/e2label/g, 'e2label'));
      expect(ourResult.status).toBe(theirResult.status);
      const [theirBytes, ourBytes] = [theirs, ours].map((place) => withoutTimes(path.join(place, NAME)));
      expect(Buffer.compare(ourBytes!, theirBytes!)).toBe(0);
    });
  }
});

test('What would rewrite more than the superblock is refused by name, and changes nothing', async () => {
  if (!fs.existsSync(path.join(folder, 'ext4'))) return;
  const file = path.join(ours, NAME);
  for (const [image, args, words] of [
    ['ext3', ['-O', 'metadata_csum'], /setting metadata_csum/i],
    ['ext4', ['-O', '^has_journal,project,quota'], /setting quota, setting project/],
    ['ext4', ['-O', '^64bit,^flex_bg'], /clearing 64bit, clearing flex_bg/],
    ['orphans', ['-O', '^has_journal'], /clear orphan_file as well/],
    ['ext4', ['-O', '^dir_index'], /dir_index with metadata_csum/],
    ['raid', ['-j'], /bigalloc/],
    ['ext4', ['-I', '512'], /another inode size/],
    ['ext4', ['-Q', 'usrquota'], /quotas/],
    ['ext4', ['-E', 'encoding=utf8'], /encoding is not supported/],
  ] as const) {
    fs.copyFileSync(path.join(folder, image), file);
    const result = await userloop(['tune2fs', ...args, NAME], { cwd: ours });
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(words);
    expect(Buffer.compare(fs.readFileSync(file), fs.readFileSync(path.join(folder, image)))).toBe(0);
  }
});

function firstDifference(a: Buffer, b: Buffer): string {
  for (let at = 0; at < a.length; at++) {
    if (a[at] !== b[at]) return `byte ${at} is ${a[at]}, not ${b[at]}`;
  }
  return 'lengths';
}
