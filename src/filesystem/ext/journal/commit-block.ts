import { bytes, struct, u32be, u8 } from '../../../bytes/struct.ts';
import { blockChecksum } from './descriptor-tag.ts';
import type { LogFormat } from './journal-superblock.ts';

/** The block that makes a transaction count: `struct commit_header`, Linux Documentation/filesystems/ext4/journal.rst. */
export const CommitBlock = struct('commit block', 64, {
  h_magic: u32be(0x00),
  h_blocktype: u32be(0x04),
  h_sequence: u32be(0x08),
  h_chksum_type: u8(0x0c), // 1: CRC-32 of the whole transaction; 0 else
  h_chksum_size: u8(0x0d),
  h_padding: bytes(0x0e, 2),
  h_chksum: u32be(0x10), // the first of eight words; the others are not used
  h_commit_sec_high: u32be(0x30),
  h_commit_sec: u32be(0x34),
  h_commit_nsec: u32be(0x38),
});

/** `h_chksum_type`, and the bytes of such a sum. */
const CRC32 = 1;
const CRC32_SIZE = 4;

/** When the transaction was committed, seconds since 1970. */
export function commitTime(view: DataView): number {
  return CommitBlock.h_commit_sec_high.get(view, 0) * 0x1_0000_0000 + CommitBlock.h_commit_sec.get(view, 0);
}

/** Does the commit block have the checksum that it should? `block` is changed for the time of the call. */
export function hasCommitChecksum(format: LogFormat, block: Uint8Array, view: DataView): boolean {
  if (format.checksumVersion === 0) return true;
  const found = CommitBlock.h_chksum.get(view, 0);
  if (found === blockChecksum(format, block, CommitBlock.h_chksum.offset)) return true;
  // Some kernels sum up the header as if the rest were zeros.
  const head = new Uint8Array(block.length);
  head.set(block.subarray(0, CommitBlock.$size));
  return found === blockChecksum(format, head, CommitBlock.h_chksum.offset);
}

/** Is this the sum of the transaction's blocks, or is there none? */
export function agreesWithSum(view: DataView, sum: number): boolean {
  const type = CommitBlock.h_chksum_type.get(view, 0);
  const size = CommitBlock.h_chksum_size.get(view, 0);
  const found = CommitBlock.h_chksum.get(view, 0);
  if (type === CRC32 && size === CRC32_SIZE && found === sum) return true;
  return type === 0 && size === 0 && found === 0;
}
