import { struct, u32be } from '../../../bytes/struct.ts';
import { type LogFormat } from './journal-superblock.ts';

/** Blocks whose older copies in the log must not be replayed: `jbd2_journal_revoke_header_t`. Block numbers follow, of 8 bytes with 64bit, else 4. */
export const RevokeBlock = struct('revoke block', 16, {
  h_magic: u32be(0x00),
  h_blocktype: u32be(0x04),
  h_sequence: u32be(0x08),
  r_count: u32be(0x0c), // bytes used, with these 16
});

/** Bytes of an entry. */
export function revokeSize(format: LogFormat): number {
  return format.has64bit ? 8 : 4;
}

export function readRevokes(view: DataView, format: LogFormat, visit: (block: number) => void): void {
  const size = revokeSize(format);
  const end = Math.min(RevokeBlock.r_count.get(view, 0), format.blockSize);
  for (let at = RevokeBlock.$size; at + size <= end; at += size) {
    visit(size === 4 ? view.getUint32(at) : view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4));
  }
}

export function writeRevoke(view: DataView, at: number, format: LogFormat, block: number): void {
  if (!format.has64bit) view.setUint32(at, block);
  else {
    view.setUint32(at, Math.floor(block / 0x1_0000_0000));
    view.setUint32(at + 4, block % 0x1_0000_0000);
  }
}
