import type { BlockDevice } from '../../../device/block-device.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { isOwnError, UnsupportedError } from '../../../errors.ts';
import { ExtCore } from '../ext-core.ts';
import { Inode, InodeFlag, InodeKind, ReservedInode } from '../inode.ts';
import type { InodeRef } from '../inode-table.ts';
import { Superblock } from '../superblock.ts';
import type { Volume } from '../volume.ts';
import { journalUuid, openExternalJournal } from './external-journal.ts';
import { JournalArea } from './journal-area.ts';

/** `s_jnl_backup_type`: `s_jnl_blocks` holds `i_block`, then both halves of the size, of the journal's inode. */
const BACKUP_OF_BLOCKS = 1;
const EXTENT_MAGIC = 0xf30a;

/** The journal of the volume, wherever its inode, or the superblock's copy of that, says, or on `external`. UnsupportedError when it is another device that is not given. */
export function openJournalArea(volume: Volume, external?: BlockDevice): JournalArea {
  const { superblock } = volume;
  const number = Superblock.s_journal_inum.get(superblock, 0);
  if (number === 0) {
    if (external !== undefined) return openExternalJournal(volume, external);
    const uuid = journalUuid(superblock);
    throw new UnsupportedError(
      `It is on another device, with the UUID ${uuid}: "e2fsck -j" replays it from there`,
      ['a journal on another device'],
    );
  }
  const core = new ExtCore(volume);
  try {
    return areaOf(core, core.inodes.load(number));
  } catch (error) {
    const backup = backupOf(core, number);
    if (backup === undefined || !(isOwnError(error) || error instanceof RangeError)) throw error;
    return areaOf(core, backup);
  }
}

function areaOf(core: ExtCore, ref: InodeRef): JournalArea {
  const { volume, inodes } = core;
  const { blockSize } = volume.geometry;
  const isFile = (Inode.i_mode.get(ref.view, ref.base) & 0xf000) === InodeKind.file;
  if (!isFile || Inode.i_links_count.get(ref.view, ref.base) === 0) {
    throw inodes.corrupt(ref, 'i_mode', 'no file', 'the journal');
  }
  const length = Math.floor(inodes.size(ref) / blockSize);
  if (length > volume.geometry.blockCount) {
    throw inodes.corrupt(ref, 'i_size_lo', `${length} blocks`, `at most ${volume.geometry.blockCount}`);
  }
  return JournalArea.open(volume.device, {
    blockSize,
    length,
    map: (block, limit, run) => core.fileMap.map(ref, block, limit, run),
  });
}

/** An inode made of the superblock's copy of `i_block` and the size. */
function backupOf(core: ExtCore, number: number): InodeRef | undefined {
  const { superblock } = core.volume;
  if (Superblock.s_jnl_backup_type.get(superblock, 0) !== BACKUP_OF_BLOCKS) return undefined;
  const words = Superblock.s_jnl_blocks.get(superblock, 0);
  const backup = viewOf(words);
  const bytes = new Uint8Array(core.volume.geometry.inodeSize);
  const view = viewOf(bytes);
  const { length } = Inode.i_block;
  Inode.i_mode.set(view, 0, InodeKind.file | 0o600);
  Inode.i_links_count.set(view, 0, 1);
  Inode.i_block.set(view, 0, words.subarray(0, length));
  Inode.i_size_high.set(view, 0, backup.getUint32(length, true));
  Inode.i_size_lo.set(view, 0, backup.getUint32(length + 4, true));
  if (backup.getUint16(0, true) === EXTENT_MAGIC) Inode.i_flags.set(view, 0, InodeFlag.extents);
  const block = { ...core.inodes.load(ReservedInode.root).block, bytes, view };
  return { number, block, view, base: 0 };
}
