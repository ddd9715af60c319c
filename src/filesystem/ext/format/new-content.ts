import { FsError } from '../../../errors.ts';
import { ReservedInode } from '../inode.ts';
import { makeBadBlocksInode } from './bad-blocks-inode.ts';
import { hasCompatible, hasIncompatible, hasReadOnlyCompatible } from './features.ts';
import { type JournalSize, makeJournal } from './journal.ts';
import type { ExtLayout } from './layout.ts';
import { makeMountProtection } from './multiple-mount-protection.ts';
import { NewVolume } from './new-volume.ts';
import { makeOrphanFile } from './orphan-file.ts';
import { FIRST_INODE, invalid } from './parameters.ts';
import { makeQuotaFiles } from './quota-files.ts';
import { makeResizeInode } from './resize-inode.ts';
import { makeLostAndFound, makeRootDirectory } from './root-directory.ts';

export interface NewContentOptions {
  /** Blocks that must hold nothing. */
  readonly badBlocks?: readonly number[];
  /** Superblocks and descriptors and nothing else. */
  readonly superblockOnly?: boolean;
  /** Undefined: no journal. */
  readonly journal?: JournalSize | undefined;
}

/** Gives the first files their blocks, in the reference's order; ENOSPC when there is no room for them. */
export function makeContent(layout: ExtLayout, options: NewContentOptions): NewVolume {
  const volume = new NewVolume(layout, options.badBlocks ?? []);
  const { features } = layout;
  if (options.superblockOnly === true) {
    if (hasCompatible(features, 'has_journal')) volume.superblockFields.journalInode = ReservedInode.journal;
    return volume;
  }
  if (hasCompatible(features, 'orphan_file') && !hasCompatible(features, 'has_journal'))
    throw invalid('cannot set orphan_file feature without a journal.');
  if (layout.inodeCount < FIRST_INODE - 1 && hasReadOnlyCompatible(features, 'metadata_csum'))
    throw invalid('ext2fs_write_inode_full: Illegal inode number while writing reserved inodes');
  if (layout.inodeCount < FIRST_INODE) {
    throw new FsError('ENOSPC', {
      detail: 'ext2fs_mkdir: Could not allocate inode in ext2 filesystem while creating /lost+found',
    });
  }
  volume.takeInodes(FIRST_INODE);
  // So that their checksums are right though nothing is in them.
  if (volume.checksumSeed !== undefined)
    for (let inode = 1; inode < FIRST_INODE; inode++)
      volume.putInode(inode, new Uint8Array(layout.inodeSize));
  makeRootDirectory(volume);
  makeLostAndFound(volume);
  makeBadBlocksInode(volume);
  if (hasCompatible(features, 'resize_inode')) makeResizeInode(volume);
  if (options.journal !== undefined) {
    const { location } = layout.parameters.options.journal ?? {};
    const { backup, total } = journalOrReason(() => makeJournal(volume, options.journal!, location));
    volume.superblockFields.journalInode = ReservedInode.journal;
    volume.superblockFields.journalBackup = backup;
    volume.journalBlocks = total;
  }
  if (hasIncompatible(features, 'mmp')) makeMountProtection(volume);
  if (hasReadOnlyCompatible(features, 'quota')) makeQuotaFiles(volume);
  if (hasCompatible(features, 'orphan_file') && options.journal !== undefined) {
    const asked = layout.parameters.options.orphanFileSize;
    const blocks = asked === undefined ? undefined : Math.ceil(asked / layout.blockSize);
    volume.superblockFields.orphanFileInode = makeOrphanFile(volume, blocks);
  }
  volume.countBitmaps();
  volume.sealInodes();
  return volume;
}

/** What the reference was about to do when there was no room. */
export const NO_ROOM_FOR_JOURNAL = 'while trying to create journal';

function journalOrReason<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof FsError) || error.code !== 'ENOSPC') throw error;
    throw new FsError('ENOSPC', { detail: `${error.detail} \n\t${NO_ROOM_FOR_JOURNAL}` });
  }
}
