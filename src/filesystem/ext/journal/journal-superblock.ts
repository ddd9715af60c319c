import { crc32c } from '../../../bytes/crc32c.ts';
import { bytes, struct, u32be, u8, viewOf } from '../../../bytes/struct.ts';
import { CorruptImageError, UnsupportedError } from '../../../errors.ts';
import { hex } from '../geometry.ts';

/** Every block of the log that is not a copy begins so: `struct journal_header_s`, Linux Documentation/filesystems/ext4/journal.rst. */
export const BlockHeader = struct('journal block header', 12, {
  h_magic: u32be(0x00), // 0xc03b3998
  h_blocktype: u32be(0x04),
  h_sequence: u32be(0x08), // of the transaction
});

export const JOURNAL_MAGIC = 0xc03b_3998;

/** `h_blocktype`. */
export const BlockType = {
  descriptor: 1,
  commit: 2,
  superblock1: 3,
  superblock2: 4,
  revoke: 5,
} as const;

/** The first block of a journal: `journal_superblock_t`. Version 1 ends before `s_feature_compat`. */
export const JournalSuperblock = struct('journal superblock', 1024, {
  h_magic: u32be(0x00),
  h_blocktype: u32be(0x04),
  h_sequence: u32be(0x08),
  s_blocksize: u32be(0x0c),
  s_maxlen: u32be(0x10), // blocks
  s_first: u32be(0x14), // first block of the log
  s_sequence: u32be(0x18), // first that the log may hold
  s_start: u32be(0x1c), // block where that one begins; 0: the log is empty
  s_errno: u32be(0x20),
  s_feature_compat: u32be(0x24),
  s_feature_incompat: u32be(0x28),
  s_feature_ro_compat: u32be(0x2c),
  s_uuid: bytes(0x30, 16),
  s_nr_users: u32be(0x40),
  s_dynsuper: u32be(0x44),
  s_max_transaction: u32be(0x48),
  s_max_trans_data: u32be(0x4c),
  s_checksum_type: u8(0x50), // 4: crc32c
  s_num_fc_blks: u32be(0x54), // 0: 256
  s_head: u32be(0x58),
  s_checksum: u32be(0xfc),
  s_users: bytes(0x100, 768),
});

/** `s_feature_compat`. */
export const JournalCompatible = { checksum: 0x1 } as const;

/** `s_feature_incompat`. */
export const JournalIncompatible = {
  revoke: 0x01,
  '64bit': 0x02,
  async_commit: 0x04,
  csum_v2: 0x08,
  csum_v3: 0x10,
  fast_commit: 0x20,
} as const;

const KNOWN_INCOMPATIBLE = Object.values(JournalIncompatible).reduce((all, bit) => all | bit, 0);
const CRC32C = 4;
const DEFAULT_FAST_COMMIT_BLOCKS = 256;

/** What the blocks of a log look like. */
export interface LogFormat {
  /** Bytes. */
  readonly blockSize: number;
  /** First block of the ring, and the first behind it. */
  readonly first: number;
  readonly end: number;
  /** Blocks behind the ring for fast commits. */
  readonly fastCommitBlocks: number;
  /** Checksums of single blocks: 0: none, 2: 16 bits, 3: 32 bits. */
  readonly checksumVersion: 0 | 2 | 3;
  /** Commit blocks sum up their transaction (`checksum`). */
  readonly sumsTransactions: boolean;
  readonly has64bit: boolean;
  readonly asynchronous: boolean;
  /** The CRC-32C with which every other begins. */
  readonly seed: number;
}

/** CorruptImageError, or UnsupportedError with the names of the features. `blocks`: how long the journal's file is. */
export function readLogFormat(view: DataView, blockSize: number, blocks: number): LogFormat {
  checkHead(view);
  const version2 = JournalSuperblock.h_blocktype.get(view, 0) === BlockType.superblock2;
  const incompatible = version2 ? JournalSuperblock.s_feature_incompat.get(view, 0) : 0;
  const compatible = version2 ? JournalSuperblock.s_feature_compat.get(view, 0) : 0;
  const readOnlyCompatible = version2 ? JournalSuperblock.s_feature_ro_compat.get(view, 0) : 0;
  const unknown = (incompatible & ~KNOWN_INCOMPATIBLE) >>> 0;
  if (unknown !== 0 || readOnlyCompatible !== 0) {
    const names = [`journal features ${hex(unknown, 1)} and ${hex(readOnlyCompatible, 1)}`];
    throw new UnsupportedError(`The journal cannot be read: unsupported ${names.join(', ')}`, names);
  }
  const checksumVersion =
    (incompatible & JournalIncompatible.csum_v3) !== 0
      ? 3
      : (incompatible & JournalIncompatible.csum_v2) !== 0
        ? 2
        : 0;
  if (checksumVersion !== 0) checkSum(view);

  requireField('s_blocksize', JournalSuperblock.s_blocksize.get(view, 0), blockSize, blockSize);
  const length = JournalSuperblock.s_maxlen.get(view, 0);
  requireField('s_maxlen', length, 4, blocks);
  let fastCommitBlocks = 0;
  if ((incompatible & JournalIncompatible.fast_commit) !== 0) {
    fastCommitBlocks = JournalSuperblock.s_num_fc_blks.get(view, 0) || DEFAULT_FAST_COMMIT_BLOCKS;
    requireField('s_num_fc_blks', fastCommitBlocks, 1, length - 4);
  }
  const end = length - fastCommitBlocks;
  const first = JournalSuperblock.s_first.get(view, 0);
  requireField('s_first', first, 1, end - 3);
  const start = JournalSuperblock.s_start.get(view, 0);
  if (start !== 0) requireField('s_start', start, first, end - 1);
  return {
    blockSize,
    first,
    end,
    fastCommitBlocks,
    checksumVersion,
    sumsTransactions: (compatible & JournalCompatible.checksum) !== 0,
    has64bit: (incompatible & JournalIncompatible['64bit']) !== 0,
    asynchronous: (incompatible & JournalIncompatible.async_commit) !== 0,
    seed: checksumVersion === 0 ? 0 : crc32c(0xffff_ffff, JournalSuperblock.s_uuid.get(view, 0)),
  };
}

/** Brings the checksum up to date, where the journal has checksums. */
export function sealJournalSuperblock(view: DataView): void {
  const features = JournalSuperblock.s_feature_incompat.get(view, 0);
  if ((features & (JournalIncompatible.csum_v2 | JournalIncompatible.csum_v3)) === 0) return;
  JournalSuperblock.s_checksum_type.set(view, 0, CRC32C);
  JournalSuperblock.s_checksum.set(view, 0, checksumOf(view));
}

/** Is `a` the later one? Numbers of transactions wrap around. */
export function isLater(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

function checksumOf(view: DataView): number {
  const sum = JournalSuperblock.s_checksum.get(view, 0);
  JournalSuperblock.s_checksum.set(view, 0, 0);
  const content = new Uint8Array(view.buffer, view.byteOffset, JournalSuperblock.$size);
  const computed = crc32c(0xffff_ffff, content);
  JournalSuperblock.s_checksum.set(view, 0, sum);
  return computed;
}

function checkHead(view: DataView): void {
  const magic = JournalSuperblock.h_magic.get(view, 0);
  const type = JournalSuperblock.h_blocktype.get(view, 0);
  if (magic !== JOURNAL_MAGIC) throw corrupt('h_magic', hex(magic, 8), hex(JOURNAL_MAGIC, 8));
  if (type === BlockType.superblock1 || type === BlockType.superblock2) return;
  throw corrupt('h_blocktype', `${type}`, '3 or 4');
}

function checkSum(view: DataView): void {
  const type = JournalSuperblock.s_checksum_type.get(view, 0);
  if (type !== CRC32C) throw corrupt('s_checksum_type', `${type}`, `${CRC32C} (crc32c)`);
  const found = JournalSuperblock.s_checksum.get(view, 0);
  const expected = checksumOf(view);
  if (found !== expected) throw corrupt('s_checksum', hex(found, 8), hex(expected, 8));
}

function requireField(field: string, value: number, least: number, most: number): void {
  if (value >= least && value <= most) return;
  throw corrupt(field, `${value}`, least === most ? `${least}` : `${least} to ${most}`);
}

function corrupt(field: string, found: string, expected: string): CorruptImageError {
  return new CorruptImageError({ structure: JournalSuperblock.$name, field, found, expected });
}

/** The first 1024 bytes of a journal's first block, as a view of their own. */
export function journalSuperblockOf(block: Uint8Array): DataView {
  return viewOf(block.subarray(0, JournalSuperblock.$size));
}
