import { viewOf } from '../../../bytes/struct.ts';
import { FsError } from '../../../errors.ts';
import { InodeKind, ReservedInode } from '../inode.ts';
import { type FeatureSet, hasCompatible, hasIncompatible } from './features.ts';
import { fileBlocks, fillFile, type FileSpace } from './file-blocks.ts';
import { inodeRecord, type InodeShape } from './inode-record.ts';
import type { ExtLayout } from './layout.ts';
import { invalid } from './parameters.ts';

/** How long the journal is, blocks. */
export interface JournalSize {
  readonly blocks: number;
  readonly fastCommitBlocks: number;
}

const MAGIC = 0xc03b_3998;
/** `h_blocktype` of the superblock that has features. */
const SUPERBLOCK_V2 = 4;
export const MIN_JOURNAL_BLOCKS = 1024;
export const MAX_JOURNAL_BLOCKS = 10_240_000;
/** Blocks of a default journal for volumes of fewer blocks than the first number. */
const DEFAULT_BLOCKS: readonly (readonly [below: number, blocks: number])[] = [
  [2048, 0],
  [32768, 1024],
  [256 * 1024, 4096],
  [512 * 1024, 8192],
  [4096 * 1024, 16384],
  [8192 * 1024, 32768],
  [16384 * 1024, 65536],
  [32768 * 1024, 131072],
];
const LARGEST_DEFAULT = 262144;
/** A journal has one block for fast commits for so many of its others. */
const FAST_COMMIT_SHARE = 64;

/** What is asked for. */
export interface JournalWish {
  /** MiB; what the volume's size suggests where there is none. */
  readonly size?: number | undefined;
  /** KiB. */
  readonly fastCommitSize?: number | undefined;
}

/** Blocks of a journal that nobody asked a size for; 0: the volume is too small. */
export function defaultJournalBlocks(blockCount: number): number {
  return DEFAULT_BLOCKS.find(([below]) => blockCount < below)?.[1] ?? LARGEST_DEFAULT;
}

/** Undefined for a volume that has none, or is too small; ENOSPC or EINVAL for a size that cannot be. */
export function journalSize(layout: ExtLayout, freeBlocks: number): JournalSize | undefined {
  if (!hasCompatible(layout.features, 'has_journal')) return undefined;
  const { blockCount, blockSize, features } = layout;
  if (defaultJournalBlocks(blockCount) === 0) return undefined;
  return journalSizeFor(
    { blockCount, blockSize, features, freeBlocks },
    layout.parameters.options.journal ?? {},
  );
}

/** ENOSPC or EINVAL for a size that cannot be. */
export function journalSizeFor(
  volume: {
    readonly blockCount: number;
    readonly blockSize: number;
    readonly freeBlocks: number;
    readonly features: FeatureSet;
  },
  wish: JournalWish,
): JournalSize {
  const byDefault = defaultJournalBlocks(volume.blockCount);
  const fast = hasCompatible(volume.features, 'fast_commit');
  // Its share is of the default journal, whatever size was asked for.
  const wished =
    wish.fastCommitSize === undefined
      ? undefined
      : Math.floor(wish.fastCommitSize / (volume.blockSize / 1024));
  const fastCommitBlocks = fast ? (wished ?? byDefault / FAST_COMMIT_SHARE) : 0;
  if (!wish.size) {
    return { blocks: byDefault, fastCommitBlocks };
  }
  const blocks = wish.size * ((1 << 20) / volume.blockSize);
  if (blocks < MIN_JOURNAL_BLOCKS || blocks + fastCommitBlocks > MAX_JOURNAL_BLOCKS) {
    throw invalid(
      `\nThe total requested journal size is ${blocks + fastCommitBlocks} blocks; it must be\n` +
        `between ${MIN_JOURNAL_BLOCKS} and ${MAX_JOURNAL_BLOCKS} blocks.  Aborting.\n`,
    );
  }
  if (blocks + fastCommitBlocks > volume.freeBlocks / 2)
    throw new FsError('ENOSPC', { detail: '\nTotal journal size too big for filesystem.\n' });
  return { blocks, fastCommitBlocks };
}

/** What a journal is made on. */
export interface JournalSpace extends FileSpace {
  readonly layout: FileSpace['layout'] &
    InodeShape & {
      readonly firstDataBlock: number;
      readonly blockCount: number;
      readonly blocksPerGroup: number;
      readonly groupCount: number;
      readonly flexGroups: number;
      readonly parameters: {
        readonly packedMetaBlocks: boolean;
        readonly options: { readonly uuid: Uint8Array };
      };
    };
  /** Where the blocks of this inode are looked for. */
  goalOf(inode: number): number;
  /** Blocks of a group that are free, as its descriptor counts them. */
  freeClusters(group: number): number;
  readInode(inode: number): void;
  putInode(inode: number, record: Uint8Array): void;
}

export interface NewJournal {
  /** `s_jnl_blocks`. */
  readonly backup: Uint8Array;
  /** Blocks. */
  readonly total: number;
}

/** Makes inode 8 a journal that holds nothing. `location`: a block to look from, for a journal of extents. */
export function makeJournal(volume: JournalSpace, size: JournalSize, location?: number): NewJournal {
  const { layout } = volume;
  const total = size.blocks + size.fastCommitBlocks;
  const blocks = fileBlocks(volume, ReservedInode.journal);
  volume.readInode(ReservedInode.journal);
  // A block map is filled near its inode, whatever was asked for; with packed tables all is at the start, likewise.
  const goal = hasIncompatible(layout.features, 'extent')
    ? layout.parameters.packedMetaBlocks
      ? 0
      : (location ?? middle(volume))
    : volume.goalOf(ReservedInode.journal);
  const first = fillFile(volume, blocks, total, goal);
  const root = blocks.root();
  const bytes = total * layout.blockSize;
  volume.putInode(
    ReservedInode.journal,
    inodeRecord(layout, {
      mode: InodeKind.file | 0o600,
      links: 1,
      size: bytes,
      blockCount: blocks.blockCount,
      root,
      flags: blocks.flags,
    }),
  );
  volume.putBlock(first, journalSuperblock(layout, size));
  const backup = new Uint8Array(68);
  backup.set(root);
  viewOf(backup).setUint32(60, Math.floor(bytes / 0x1_0000_0000), true);
  viewOf(backup).setUint32(64, bytes >>> 0, true);
  return { backup, total };
}

/** Big-endian, Linux Documentation/filesystems/ext4/journal.rst. */
function journalSuperblock(layout: JournalSpace['layout'], size: JournalSize): Uint8Array {
  const bytes = new Uint8Array(layout.blockSize);
  const view = viewOf(bytes);
  view.setUint32(0x00, MAGIC);
  view.setUint32(0x04, SUPERBLOCK_V2);
  view.setUint32(0x0c, layout.blockSize);
  view.setUint32(0x10, size.blocks + size.fastCommitBlocks);
  view.setUint32(0x14, 1); // s_first
  view.setUint32(0x18, 1); // s_sequence
  bytes.set(layout.parameters.options.uuid, 0x30);
  view.setUint32(0x40, 1); // s_nr_users
  view.setUint32(0x54, size.fastCommitBlocks);
  return bytes;
}

/** Where the way to it is short from anywhere: the group with most room in the middle. */
function middle(volume: JournalSpace): number {
  const { firstDataBlock, blockCount, blocksPerGroup, groupCount, flexGroups } = volume.layout;
  const last = groupCount - 1;
  const half = Math.floor((Math.floor((blockCount - firstDataBlock) / 2) - firstDataBlock) / blocksPerGroup);
  let start = Math.max(half - 1, 0);
  let end = Math.min(half + 1, last);
  if (flexGroups > 1 && half > flexGroups) {
    start = half - (half % flexGroups);
    while (start <= last && volume.freeClusters(start) === 0) start++;
    if (start > last) start = 0;
    end = Math.min(start + 1, last);
  }
  let best = start;
  for (let group = start + 1; group <= end; group++)
    if (volume.freeClusters(group) > volume.freeClusters(best)) best = group;
  return firstDataBlock + best * blocksPerGroup;
}
