import { crc32c } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { CorruptImageError, UnsupportedError } from '../../../errors.ts';
import { inodeChecksum } from '../checksum.ts';
import { Inode, InodeFlag, InodeKind, ReservedInode } from '../inode.ts';
import {
  BlockType,
  JOURNAL_MAGIC,
  JournalSuperblock,
  journalSuperblockOf,
  readLogFormat,
} from '../journal/journal-superblock.ts';
import { CompatibleFeature, IncompatibleFeature, Superblock, SUPERBLOCK_OFFSET } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import { eachRun } from './file-runs.ts';
import { writeSuperblock } from './superblock-pass.ts';

/** `s_jnl_backup_type`: `s_jnl_blocks` holds a copy of the journal inode's map and size. */
const HAS_BACKUP = 1;
const MIN_BLOCKS = 1024;
/** Of `s_jnl_blocks`: the map, then the size, high half first. */
const BACKUP_SIZE = 60;

/** The journal's inode is a file with a journal in it, and its superblock says what the log looks like. */
export function checkJournal(check: ExtCheck): void {
  const { superblock, words } = check;
  const number = Superblock.s_journal_inum.get(superblock, 0);
  if ((words.compatible & CompatibleFeature.has_journal) === 0) {
    if (number !== 0 || Superblock.s_journal_dev.get(superblock, 0) !== 0) reportLeftover(check, number);
    else clearUnusedJournal(check);
    return;
  }
  // A journal on another device cannot be looked at from here.
  if (number === 0 && Superblock.s_journal_dev.get(superblock, 0) !== 0) return;
  let file = journalFile(check, number);
  if (file === undefined) {
    if (!replaceInode(check, number)) return;
    file = journalFile(check, ReservedInode.journal);
  }
  if (file !== undefined) checkLog(check, file);
}

interface JournalFile {
  readonly first: number;
  readonly blocks: number;
}

/** Where it begins and how long it is; undefined unless it is a file without holes. */
function journalFile(check: ExtCheck, number: number): JournalFile | undefined {
  if (number < 1 || number > check.geometry.inodeCount) return undefined;
  const inode = check.readInode(number);
  if ((Inode.i_mode.get(inode, 0) & 0xf000) !== InodeKind.file || Inode.i_links_count.get(inode, 0) === 0)
    return undefined;
  return isSealed(check, number, inode) ? fileOf(check, inode) : undefined;
}

function isSealed(check: ExtCheck, number: number, inode: DataView): boolean {
  if (check.seed === undefined) return true;
  const { inodeSize } = check.geometry;
  const bytes = new Uint8Array(inode.buffer);
  const expected = inodeChecksum(check.seed, number, bytes, 0, inodeSize);
  return Inode.i_checksum_lo.get(inode, 0) === (expected & 0xffff);
}

function fileOf(check: ExtCheck, inode: DataView): JournalFile | undefined {
  const size = Inode.i_size_lo.get(inode, 0) + Inode.i_size_high.get(inode, 0) * 0x1_0000_0000;
  const blocks = Math.floor(size / check.geometry.blockSize);
  let first = 0;
  let next = 0;
  const isSound = eachRun(check, inode, (position, start, length) => {
    if (position === 0) first = start;
    if (position === next) next = position + length;
  });
  return isSound && blocks >= MIN_BLOCKS && next >= blocks ? { first, blocks } : undefined;
}

/** Without a journal's inode: the superblock has a copy of its map. Returns whether there is an inode again. */
function replaceInode(check: ExtCheck, number: number): boolean {
  const { superblock } = check;
  const backup = backupInode(check);
  const isMended = check.ask({
    code: 'ext-journal-inode',
    structure: 'superblock',
    field: 's_journal_inum',
    offset: SUPERBLOCK_OFFSET + Superblock.s_journal_inum.offset,
    found: `inode ${number}, which is no journal`,
    expected: 'a file without holes that holds the journal',
    meaning: `The journal should be in inode ${number}, which is not a file that can hold it${backup === undefined ? '' : '; the superblock has a copy of its map'}`,
    text: `Superblock has an invalid journal (inode ${number}).\n`,
    question: 'Clear',
    action:
      backup === undefined
        ? 'gives up the journal: the file system goes without'
        : `makes inode ${ReservedInode.journal} the journal again`,
  });
  if (!isMended) return false;
  if (backup === undefined) {
    giveUpJournal(check);
    return false;
  }
  check.writeInode(ReservedInode.journal, backup);
  Superblock.s_journal_inum.set(superblock, 0, ReservedInode.journal);
  writeSuperblock(check);
  return true;
}

/** Inode 8 as the superblock remembers it; undefined unless it leads to a journal. */
function backupInode(check: ExtCheck): DataView | undefined {
  const { superblock, geometry } = check;
  if (Superblock.s_jnl_backup_type.get(superblock, 0) !== HAS_BACKUP) return undefined;
  const backup = Superblock.s_jnl_blocks.get(superblock, 0);
  const inode = check.readInode(ReservedInode.journal);
  const bytes = new Uint8Array(inode.buffer);
  bytes.fill(0);
  const root = backup.subarray(0, BACKUP_SIZE);
  Inode.i_block.set(inode, 0, root);
  const view = viewOf(backup);
  Inode.i_size_high.set(inode, 0, view.getUint32(BACKUP_SIZE, true));
  Inode.i_size_lo.set(inode, 0, view.getUint32(BACKUP_SIZE + 4, true));
  const hasExtents = (check.words.incompatible & IncompatibleFeature.extent) !== 0;
  Inode.i_flags.set(inode, 0, hasExtents && view.getUint16(0, true) === 0xf30a ? InodeFlag.extents : 0);
  Inode.i_mode.set(inode, 0, InodeKind.file | 0o600);
  Inode.i_links_count.set(inode, 0, 1);
  if (geometry.inodeSize > 128) Inode.i_extra_isize.set(inode, 0, Math.min(32, geometry.inodeSize - 128));
  const file = fileOf(check, inode);
  if (file === undefined) return undefined;
  // What its map counts is seen, and written, by pass 1.
  const head = new Uint8Array(geometry.blockSize);
  check.readBlock(file.first, head);
  return JournalSuperblock.h_magic.get(viewOf(head), 0) === JOURNAL_MAGIC ? inode : undefined;
}

function giveUpJournal(check: ExtCheck): void {
  const { superblock, words } = check;
  const number = Superblock.s_journal_inum.get(superblock, 0);
  Superblock.s_feature_compat.set(superblock, 0, words.compatible & ~CompatibleFeature.has_journal);
  Superblock.s_feature_incompat.set(superblock, 0, words.incompatible & ~IncompatibleFeature.needs_recovery);
  Superblock.s_journal_inum.set(superblock, 0, 0);
  Superblock.s_jnl_backup_type.set(superblock, 0, 0);
  Superblock.s_jnl_blocks.set(superblock, 0, new Uint8Array(68));
  writeSuperblock(check);
  if (number === ReservedInode.journal || number === 0) check.clearInode(ReservedInode.journal);
}

/** The superblock of the journal itself. */
function checkLog(check: ExtCheck, { first, blocks }: JournalFile): void {
  const { geometry, superblock, words } = check;
  const bytes = new Uint8Array(geometry.blockSize);
  check.readBlock(first, bytes);
  const view = journalSuperblockOf(bytes);
  const fault = logFault(view, geometry.blockSize, blocks);
  if (fault === undefined) return;
  const basics = {
    structure: 'journal superblock',
    field: fault.field,
    offset: first * geometry.blockSize,
    found: fault.found,
    expected: fault.expected,
  };
  if (fault.isUnknown) {
    check.ask({
      ...basics,
      code: 'ext-journal-feature',
      meaning: `The journal has features that are not known here (${fault.found}), so nothing can be said of it`,
      text: 'Journal superblock has an unknown incompatible feature flag set.\n',
      question: 'Abort',
    });
    return;
  }
  const isPending = (words.incompatible & IncompatibleFeature.needs_recovery) !== 0;
  if (!isPending && isHarmless(fault, view, blocks)) {
    check.ask({
      ...basics,
      code: 'ext-journal-log',
      severity: 'note',
      meaning: `The superblock of the journal says ${fault.field} ${fault.found}, with which a kernel may refuse to mount the volume`,
      text: '',
    });
    return;
  }
  const isMended = check.ask({
    ...basics,
    code: 'ext-journal-superblock',
    meaning: `The superblock of the journal cannot be believed: ${fault.field} is ${fault.found}${isPending ? '; what the journal holds is lost' : ''}`,
    text: 'Journal superblock is corrupt.\n',
    question: 'Fix',
    action: 'writes it anew, for a journal that holds nothing',
  });
  if (!isMended) return;
  bytes.fill(0);
  JournalSuperblock.h_magic.set(view, 0, JOURNAL_MAGIC);
  JournalSuperblock.h_blocktype.set(view, 0, BlockType.superblock2);
  JournalSuperblock.s_blocksize.set(view, 0, geometry.blockSize);
  JournalSuperblock.s_maxlen.set(view, 0, blocks);
  JournalSuperblock.s_first.set(view, 0, 1);
  // Old blocks of the log must not look as if they came next: any other number than a small one.
  const uuid = Superblock.s_uuid.get(superblock, 0);
  JournalSuperblock.s_sequence.set(view, 0, (crc32c(blocks, uuid) | 0x100) >>> 0);
  JournalSuperblock.s_uuid.set(view, 0, uuid);
  JournalSuperblock.s_nr_users.set(view, 0, 1);
  check.writeBlock(first, bytes);
  if (!isPending) return;
  Superblock.s_feature_incompat.set(superblock, 0, words.incompatible & ~IncompatibleFeature.needs_recovery);
  writeSuperblock(check);
}

interface LogFault {
  readonly field: string;
  readonly found: string;
  readonly expected: string;
  readonly isUnknown: boolean;
}

function logFault(view: DataView, blockSize: number, blocks: number): LogFault | undefined {
  try {
    readLogFormat(view, blockSize, blocks);
  } catch (error) {
    if (error instanceof UnsupportedError)
      return {
        field: 's_feature_incompat',
        found: error.features.join(', '),
        expected: 'features that are known',
        isUnknown: true,
      };
    if (!(error instanceof CorruptImageError)) throw error;
    const { field, found, expected } = error;
    return { field, found: `${found}`, expected: `${expected}`, isUnknown: false };
  }
  return undefined;
}

/** What the reference tool takes no notice of as long as the log is not replayed. */
function isHarmless({ field }: LogFault, view: DataView, blocks: number): boolean {
  if (field === 's_maxlen') return JournalSuperblock.s_maxlen.get(view, 0) <= blocks;
  return field === 's_first' || field === 's_start' || field === 's_num_fc_blks';
}

/** A volume without the feature has an inode for it nevertheless. */
function reportLeftover(check: ExtCheck, number: number): void {
  const { superblock } = check;
  const isMended = check.ask({
    code: 'ext-journal-leftover',
    severity: 'warning',
    structure: 'superblock',
    field: 's_journal_inum',
    offset: SUPERBLOCK_OFFSET + Superblock.s_journal_inum.offset,
    found: `${number}`,
    expected: '0, since the volume has no journal',
    meaning: `The superblock names inode ${number} as its journal, and says that it has none`,
    text: 'Superblock has_journal flag is clear, but a journal is present.\n',
    question: 'Clear',
    action: 'gives up the journal',
    safe: true,
  });
  if (!isMended) return;
  Superblock.s_journal_inum.set(superblock, 0, 0);
  Superblock.s_journal_dev.set(superblock, 0, 0);
  writeSuperblock(check);
  clearUnusedJournal(check);
}

/** Inode 8 of a volume without a journal. */
export function clearUnusedJournal(check: ExtCheck): void {
  const inode = check.readInode(ReservedInode.journal);
  if (Inode.i_links_count.get(inode, 0) === 0) return;
  const isMended = check.ask({
    code: 'ext-journal-unused',
    severity: 'warning',
    structure: 'inode',
    field: 'i_links_count',
    offset: check.inodeOffset(ReservedInode.journal) + Inode.i_links_count.offset,
    found: `${Inode.i_links_count.get(inode, 0)}`,
    expected: '0, since the journal is not there',
    meaning: `Inode ${ReservedInode.journal}, which is for a journal, is in use, and the volume has none there`,
    text: 'Journal inode is not in use, but contains data.  ',
    question: 'Clear',
    action: 'frees it and its blocks',
    safe: true,
  });
  if (isMended) check.clearInode(ReservedInode.journal);
}
