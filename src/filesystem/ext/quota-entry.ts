import type { QuotaKind } from '../file-system.ts';
import { struct, token64le, u16le, u32le } from '../../bytes/struct.ts';

/** What the file of each kind begins with (Linux fs/quota/quotaio_v2.h). */
export const QUOTA_MAGIC: Readonly<Record<QuotaKind, number>> = {
  user: 0xd9c0_1f11,
  group: 0xd9c0_1927,
  project: 0xd9c0_3f14,
};

/** Bytes of a block of the file's own tree, whatever blocks the volume has. */
export const TREE_BLOCK = 1024;
/** Levels of references between the header and the entries. */
export const TREE_DEPTH = 4;
export const ROOT_BLOCK = 1;
export const REFERENCES = TREE_BLOCK / 4;
export const ENTRIES_START = 16;
export const NEW_VERSION = 1;

/** Start of the file: `v2_disk_dqheader` and `v2_disk_dqinfo`, Linux fs/quota/quotaio_v2.h. */
export const QuotaHeader = struct('v2_disk_dqheader', 32, {
  dqh_magic: u32le(0x00),
  dqh_version: u32le(0x04),
  dqi_bgrace: u32le(0x08), // seconds for which a soft limit may be exceeded
  dqi_igrace: u32le(0x0c),
  dqi_flags: u32le(0x10),
  dqi_blocks: u32le(0x14), // blocks of the tree, the header with them
  dqi_free_blk: u32le(0x18),
  dqi_free_entry: u32le(0x1c), // the first block of entries with room
});

/** What one user has: `v2r1_disk_dqblk`, Linux fs/quota/quotaio_v2.h. */
export const QuotaEntry = struct('v2r1_disk_dqblk', 72, {
  dqb_id: u32le(0x00),
  dqb_ihardlimit: token64le(0x08),
  dqb_isoftlimit: token64le(0x10),
  dqb_curinodes: token64le(0x18),
  dqb_bhardlimit: token64le(0x20), // blocks of 1 KiB
  dqb_bsoftlimit: token64le(0x28),
  dqb_curspace: token64le(0x30), // bytes
  dqb_btime: token64le(0x38),
  dqb_itime: token64le(0x40),
});

/** The same with version 0: `v2r0_disk_dqblk`. */
export const OldQuotaEntry = struct('v2r0_disk_dqblk', 48, {
  dqb_id: u32le(0x00),
  dqb_ihardlimit: u32le(0x04),
  dqb_isoftlimit: u32le(0x08),
  dqb_curinodes: u32le(0x0c),
  dqb_bhardlimit: u32le(0x10),
  dqb_bsoftlimit: u32le(0x14),
  dqb_curspace: token64le(0x18),
  dqb_btime: token64le(0x20),
  dqb_itime: token64le(0x28),
});

export const ENTRIES_PER_BLOCK = Math.floor((TREE_BLOCK - ENTRIES_START) / QuotaEntry.$size);

/** The block of entries begins with its place in the list of those with room: `qt_disk_dqdbheader`, Linux fs/quota/quota_tree.h. */
export const EntriesHeader = struct('qt_disk_dqdbheader', ENTRIES_START, {
  dqdh_next_free: u32le(0x00),
  dqdh_prev_free: u32le(0x04),
  dqdh_entries: u16le(0x08),
});

export interface QuotaLimits {
  readonly hardInodes: bigint;
  readonly softInodes: bigint;
  readonly hardBlocks: bigint;
  readonly softBlocks: bigint;
  readonly blockTime: bigint;
  readonly inodeTime: bigint;
}

export interface QuotaRecord extends QuotaLimits {
  readonly id: number;
  /** Bytes. */
  readonly space: bigint;
  readonly inodes: bigint;
}

export const NO_LIMITS: QuotaLimits = {
  hardInodes: 0n,
  softInodes: 0n,
  hardBlocks: 0n,
  softBlocks: 0n,
  blockTime: 0n,
  inodeTime: 0n,
};

/** Seconds for which soft limits may be exceeded. */
export interface QuotaGrace {
  readonly blocks: number;
  readonly inodes: number;
}

export const DEFAULT_GRACE: QuotaGrace = { blocks: 604_800, inodes: 604_800 };

/** Writes an entry wholly. */
export function putRecord(view: DataView, at: number, record: QuotaRecord): void {
  QuotaEntry.dqb_id.set(view, at, record.id);
  QuotaEntry.dqb_ihardlimit.set(view, at, record.hardInodes);
  QuotaEntry.dqb_isoftlimit.set(view, at, record.softInodes);
  QuotaEntry.dqb_curinodes.set(view, at, record.inodes);
  QuotaEntry.dqb_bhardlimit.set(view, at, record.hardBlocks);
  QuotaEntry.dqb_bsoftlimit.set(view, at, record.softBlocks);
  QuotaEntry.dqb_curspace.set(view, at, record.space);
  QuotaEntry.dqb_btime.set(view, at, record.blockTime);
  QuotaEntry.dqb_itime.set(view, at, record.inodeTime);
}

/** What an entry in use says. */
export function recordAt(view: DataView, at: number): QuotaRecord {
  return {
    id: QuotaEntry.dqb_id.get(view, at),
    hardInodes: QuotaEntry.dqb_ihardlimit.get(view, at),
    softInodes: QuotaEntry.dqb_isoftlimit.get(view, at),
    inodes: QuotaEntry.dqb_curinodes.get(view, at),
    hardBlocks: QuotaEntry.dqb_bhardlimit.get(view, at),
    softBlocks: QuotaEntry.dqb_bsoftlimit.get(view, at),
    space: QuotaEntry.dqb_curspace.get(view, at),
    blockTime: QuotaEntry.dqb_btime.get(view, at),
    inodeTime: QuotaEntry.dqb_itime.get(view, at),
  };
}

/** The same with version 0. */
export function oldRecordAt(view: DataView, at: number): QuotaRecord {
  return {
    id: OldQuotaEntry.dqb_id.get(view, at),
    hardInodes: BigInt(OldQuotaEntry.dqb_ihardlimit.get(view, at)),
    softInodes: BigInt(OldQuotaEntry.dqb_isoftlimit.get(view, at)),
    inodes: BigInt(OldQuotaEntry.dqb_curinodes.get(view, at)),
    hardBlocks: BigInt(OldQuotaEntry.dqb_bhardlimit.get(view, at)),
    softBlocks: BigInt(OldQuotaEntry.dqb_bsoftlimit.get(view, at)),
    space: OldQuotaEntry.dqb_curspace.get(view, at),
    blockTime: OldQuotaEntry.dqb_btime.get(view, at),
    inodeTime: OldQuotaEntry.dqb_itime.get(view, at),
  };
}
