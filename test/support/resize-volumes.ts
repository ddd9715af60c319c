import type { Random } from './random.ts';

export interface RandomVolume {
  /** Arguments of mke2fs, without image and size. */
  readonly args: readonly string[];
  /** Bytes. */
  readonly blockSize: number;
  readonly blockCount: number;
  /** Blocks by which it may grow at once. */
  readonly largest: number;
}

/** A volume of any kind whose size can be changed: from ext2 to ext4 with what mke2fs knows, some hundred to some ten thousand blocks. */
export function randomVolume(random: Random): RandomVolume {
  const maybe = (oneIn: number): boolean => random.below(oneIn) === 0;
  const type = random.pick(['ext2', 'ext3', 'ext4', 'ext4', 'ext4', 'ext4']);
  const blockSize = random.pick([1024, 1024, 2048, 4096]);
  const features: string[] = [];
  const extended: string[] = [];
  const groupSize = maybe(3) ? undefined : random.pick([512, 1024, 2048, 4096, 8192]);
  const hasMeta = maybe(6);
  if (hasMeta) features.push('meta_bg', '^resize_inode');
  else if (maybe(5)) features.push('^resize_inode');
  const sparse = random.below(8);
  if (sparse === 0 && !hasMeta) features.push('sparse_super2');
  if (sparse === 0 && maybe(2)) extended.push(`num_backup_sb=${random.below(3)}`);
  if (sparse === 1) features.push('^sparse_super', '^resize_inode');
  const hasJournal = type !== 'ext2' && !(type === 'ext4' && maybe(3));
  if (type === 'ext4') {
    if (!hasJournal) features.push('^has_journal');
    if (maybe(3)) features.push('^flex_bg');
    const hasExtents = !maybe(8);
    if (!hasExtents) features.push('^extent');
    if (!hasExtents || maybe(3)) features.push('^64bit');
    if (maybe(3)) features.push('^metadata_csum', random.pick(['uninit_bg', '^uninit_bg']));
    else if (maybe(4)) features.push('metadata_csum_seed');
    if (maybe(4)) features.push('inline_data');
    if (maybe(4) && hasJournal) features.push('orphan_file');
    if (maybe(8)) features.push('ea_inode');
  }
  if (maybe(5)) features.push('mmp');
  if (maybe(4)) features.push('^dir_index');
  const isPacked = type === 'ext4' && maybe(4);
  if (isPacked) extended.push('packed_meta_blocks=1');
  if (maybe(3)) extended.push(`lazy_itable_init=${random.below(2)}`);
  const inodeSize = features.includes('inline_data') || maybe(2) ? 256 : 128;
  const blockCount = 3000 + random.below((32 << 20) / blockSize);
  const args = ['-t', type, '-b', `${blockSize}`, '-I', `${inodeSize}`];
  if (features.length > 0) args.push('-O', features.join());
  if (extended.length > 0) args.push('-E', extended.join());
  if (groupSize !== undefined) args.push('-g', `${groupSize}`);
  if (type === 'ext4' && !features.includes('^flex_bg') && maybe(2))
    // mke2fs counts packed tables wrongly where flexible groups have one group.
    args.push('-G', `${2 ** (random.below(4) + (isPacked ? 1 : 0))}`);
  if (maybe(2)) args.push('-N', `${random.pick([300, 1000, 4000])}`);
  if (hasJournal && maybe(2)) args.push('-J', `size=${blockSize / 1024}`);
  return { args, blockSize, blockCount, largest: Math.ceil((48 << 20) / blockSize) };
}
