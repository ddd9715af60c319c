import { Random } from './random.ts';
import { type Case, format, KIB, MIB } from './mke2fs-cases.ts';

/** Features that are asked for or ruled out by chance; all that mke2fs knows, but for multiple-mount protection, which notes the machine. */
const FEATURES = (
  'has_journal extent flex_bg huge_file dir_nlink extra_isize uninit_bg ext_attr dir_index large_dir filetype metadata_csum ' +
  'metadata_csum_seed 64bit resize_inode sparse_super sparse_super2 meta_bg large_file inline_data ea_inode orphan_file quota project ' +
  'fast_commit casefold encrypt verity stable_inodes bigalloc'
).split(' ');

/** Command lines that nobody would think of: of any feature, size and option. `long` has more of each; the same ones for the same seed. */
export function randomMke2fsCase(seed: number): Case {
  const random = new Random(seed);
  const maybe = (oneIn: number): boolean => random.below(oneIn) === 0;
  const words: string[] = [];
  const add = (oneIn: number, option: string, values: readonly (string | number)[]): void => {
    if (maybe(oneIn)) words.push(`${option} ${random.pick(values)}`);
  };
  const type = random.pick(['ext2', 'ext3', 'ext4', 'ext4', 'ext4', 'ext4', 'ext4']);
  words.push(`-t ${type}`);
  add(2, '-b', [1024, 2048, 4096, 1024, 4096, 8192, -4096, 512]);
  add(3, '-I', [128, 256, 512, 1024, 2048, 200, 4096]);
  add(4, '-i', [1024, 2048, 4096, 5000, 16_384, 65_536, 1_000_000, 512]);
  add(6, '-N', [1, 11, 16, 100, 1000, 4097, 20_000, 300_000]);
  add(4, '-g', [256, 512, 1024, 2048, 4096, 8192, 1000, 65_528, 32_768]);
  add(4, '-G', [1, 2, 4, 8, 16, 64, 256, 3]);
  add(4, '-J', [
    'size=1',
    'size=4',
    'size=8',
    'size=16',
    'size=40',
    'location=2000',
    'size=4,location=1m',
    'size=6,fast_commit_size=200',
  ]);
  add(6, '-m', [0, 1, 2.5, 20, 49.9, 50, 51]);
  add(8, '-r', [0, 1]);
  add(8, '-e', ['continue', 'remount-ro', 'panic']);
  add(8, '-o', ['linux', 'hurd', 'freebsd', 'lites']);
  add(8, '-T', ['news', 'largefile', 'small', 'floppy', 'big', 'default', 'hurd']);
  add(12, '-C', [2048, 4096, 16_384, 65_536]);
  add(8, '-L', ['label', 'sixteen-letters-', 'more-than-sixteen-letters']);
  add(12, '-M', ['/mnt/somewhere']);
  if (maybe(4)) words.push(random.pick(['-q', '-v', '-n', '-F', '-j']));
  const extended = extendedOptions(random, maybe);
  if (extended.length > 0) words.push(`-E ${extended.join()}`);
  const rate = random.pick([4, 8, 8, 16, 100]);
  const features = FEATURES.filter(() => maybe(rate)).map((name) => (maybe(2) ? `^${name}` : name));
  if (features.length > 0) words.push(`-O ${features.join()}`);
  if (features.includes('quota') && features.includes('bigalloc')) return randomMke2fsCase(seed + 1e6);
  const isDirty = maybe(6);
  const size = sizeOf(random, isDirty);
  const badBlocks = maybe(12)
    ? [random.below(200) + 1, 300 + random.below(size / 4096)].toSorted((a, b) => a - b)
    : undefined;
  return format(size, words.join(' '), { dirty: isDirty, ...(badBlocks === undefined ? {} : { badBlocks }) });
}

function extendedOptions(random: Random, maybe: (oneIn: number) => boolean): string[] {
  const choices: readonly (readonly string[])[] = [
    ['packed_meta_blocks=1', 'packed_meta_blocks=0'],
    ['lazy_itable_init=0', 'lazy_itable_init=1'],
    ['lazy_journal_init=0', 'lazy_journal_init=1'],
    ['nodiscard', 'discard'],
    ['stride=4', 'stride=16,stripe_width=64', 'stripe_width=7', 'stride=300'],
    ['num_backup_sb=0', 'num_backup_sb=1', 'num_backup_sb=2'],
    ['resize=2000000', 'resize=100000', 'resize=1000'],
    ['root_owner=5:6', 'root_owner=70000:1'],
    ['quotatype=usrquota', 'quotatype=grpquota:prjquota'],
    ['encoding=utf8', 'encoding=utf8-12.1,encoding_flags=strict'],
    ['orphan_file_size=32k', 'orphan_file_size=1m', 'orphan_file_size=1000'],
    ['test_fs', 'assume_storage_prezeroed=1', 'no_copy_xattrs'],
  ];
  const rate = random.pick([6, 12, 30]);
  return choices.filter(() => maybe(rate)).map((options) => random.pick(options));
}

/** Bytes: from less than a volume needs, around the ends of groups, up to many groups. */
function sizeOf(random: Random, isSmall: boolean): number {
  const roll = random.below(isSmall ? 6 : 10);
  if (roll < 1) return KIB * (20 + random.below(400));
  if (roll < 3) return MIB * (1 + random.below(9));
  if (roll < 4) return 8 * MIB + KIB * (random.below(40) - 20);
  if (roll < 5) return KIB * random.below(40 * 1024) + 512 * random.below(2);
  if (roll < 6) return 16 * MIB + KIB * (random.below(300) - 20);
  if (roll < 8) return KIB * (40_000 + random.below(300_000));
  if (roll < 9) return 128 * MIB * (1 + random.below(9)) + KIB * (random.below(800) - 20);
  return MIB * (500 + random.below(8000));
}
