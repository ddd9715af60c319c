import { CorruptImageError, FsError } from '../../../errors.ts';
import { journalSizeFor, type JournalWish, makeJournal, MIN_JOURNAL_BLOCKS } from '../format/journal.ts';
import { Inode, InodeFlag, ReservedInode } from '../inode.ts';
import { CompatibleFeature, Superblock } from '../superblock.ts';
import type { VolumeEdit } from './volume-edit.ts';

/** `s_jnl_backup_type`: `s_jnl_blocks` holds `i_block`, then both halves of the size, of the journal's inode. */
const BACKUP_OF_BLOCKS = 1;

export interface NewJournalOptions extends JournalWish {
  /** A block to look for room from. */
  readonly location?: number | undefined;
}

/**
 * Makes a journal in the volume, which has none. FsError with the words of e2fsprogs as `detail`: ENOSPC or EINVAL for a size that cannot be,
 * ENOSPC without room, EEXIST when inode 8 has blocks.
 */
export function addJournal(edit: VolumeEdit, superblock: DataView, options: NewJournalOptions): void {
  const { blockCount, blockSize, features } = edit.layout;
  const size = journalSizeFor({ blockCount, blockSize, features, freeBlocks: edit.freeBlocks }, options);
  if (size.blocks < MIN_JOURNAL_BLOCKS) {
    throw new FsError('EINVAL', { detail: `Journal must be at least ${MIN_JOURNAL_BLOCKS} blocks` });
  }
  if (edit.sectorsOf(ReservedInode.journal) > 0) {
    throw new FsError('EEXIST', { detail: 'File exists' });
  }
  const { backup, total } = makeJournal(edit, size, options.location);
  Superblock.s_jnl_backup_type.set(superblock, 0, BACKUP_OF_BLOCKS);
  Superblock.s_jnl_blocks.set(superblock, 0, backup);
  Superblock.s_journal_inum.set(superblock, 0, ReservedInode.journal);
  Superblock.s_journal_dev.set(superblock, 0, 0);
  Superblock.s_journal_uuid.get(superblock, 0).fill(0);
  addOverhead(superblock, total);
  const compatible = Superblock.s_feature_compat.get(superblock, 0);
  Superblock.s_feature_compat.set(superblock, 0, compatible | CompatibleFeature.has_journal);
}

/** Gives up the journal that lies in the volume. A journal in a file of a directory stays there, as a file. */
export function removeJournal(edit: VolumeEdit, superblock: DataView): void {
  const number = Superblock.s_journal_inum.get(superblock, 0);
  const { core } = edit;
  const ref = core.inodes.load(number);
  if (number === ReservedInode.journal) {
    addOverhead(superblock, -Math.floor(core.inodes.size(ref) / edit.layout.blockSize));
    const runs = core.fileMap.requireFreeable(ref, 0);
    edit.giveUp(runs, number, (_, base, bytes) => bytes.fill(0, base, base + 128));
  } else if (number < core.volume.geometry.firstInode) {
    throw new CorruptImageError({
      structure: Superblock.$name,
      field: 's_journal_inum',
      found: `${number}`,
      expected: `${ReservedInode.journal}, or a file`,
    });
  } else {
    edit.giveUp([], number, (view, base) => {
      Inode.i_flags.set(view, base, Inode.i_flags.get(view, base) & ~InodeFlag.immutable);
    });
  }
  Superblock.s_journal_inum.set(superblock, 0, 0);
  Superblock.s_jnl_blocks.get(superblock, 0).fill(0);
  const compatible = Superblock.s_feature_compat.get(superblock, 0);
  Superblock.s_feature_compat.set(superblock, 0, compatible & ~CompatibleFeature.has_journal);
}

/** Blocks that are the format's own; a journal counts, its map does not. */
function addOverhead(superblock: DataView, blocks: number): void {
  const before = Superblock.s_overhead_blocks.get(superblock, 0);
  Superblock.s_overhead_blocks.set(superblock, 0, Math.max(before + blocks, 0));
}
