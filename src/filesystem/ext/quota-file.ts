import { struct, token64le, u16le, u32le, viewOf } from '../../bytes/struct.ts';

/** Whose use of the volume a quota file counts; in the order in which e2fsprogs numbers them. */
export const QUOTA_KINDS = ['user', 'group', 'project'] as const;
export type QuotaKind = (typeof QUOTA_KINDS)[number];

/** What the file of each kind begins with (Linux fs/quota/quotaio_v2.h). */
export const QUOTA_MAGIC: Readonly<Record<QuotaKind, number>> = {
  user: 0xd9c0_1f11,
  group: 0xd9c0_1927,
  project: 0xd9c0_3f14,
};

/** Bytes of a block of the file's own tree, whatever blocks the volume has. */
export const TREE_BLOCK = 1024;
/** Levels of references between the header and the entries. */
const TREE_DEPTH = 4;
const ROOT_BLOCK = 1;
const REFERENCES = TREE_BLOCK / 4;
const ENTRIES_START = 16;
const NEW_VERSION = 1;

/** Start of the file: `v2_disk_dqheader` and `v2_disk_dqinfo`, Linux fs/quota/quotaio_v2.h. */
const QuotaHeader = struct('v2_disk_dqheader', 32, {
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
const QuotaEntry = struct('v2r1_disk_dqblk', 72, {
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
const OldQuotaEntry = struct('v2r0_disk_dqblk', 48, {
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

/** The block of entries begins with its place in the list of those with room: `qt_disk_dqdbheader`, Linux fs/quota/quota_tree.h. */
const EntriesHeader = struct('qt_disk_dqdbheader', ENTRIES_START, {
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

export interface QuotaFileSource {
  /** Bytes of the file. */
  readonly size: number;
  /** Block of the tree by its number; zeros where the file has a hole. */
  read(block: number, into: Uint8Array): void;
  /** More blocks than can be in the file, whatever its map says. */
  readonly maxBlocks: number;
}

/** What the file is like as a whole. */
export interface QuotaFileState {
  /** Why it cannot be read, or not to its end. */
  readonly fault: string | undefined;
  readonly hasMagic: boolean;
  readonly grace: QuotaGrace;
}

/** Reads a quota file that may hold anything, and calls `visit` for each entry, in the order of the tree. */
export function readQuotaFile(
  source: QuotaFileSource,
  kind: QuotaKind,
  visit: (record: QuotaRecord) => void,
): QuotaFileState {
  const bytes = new Uint8Array(TREE_BLOCK);
  const view = viewOf(bytes);
  const state = { hasMagic: false, grace: DEFAULT_GRACE };
  if (source.size < QuotaHeader.$size) return { ...state, fault: `it has ${source.size} bytes` };
  source.read(0, bytes);
  const version = QuotaHeader.dqh_version.get(view, 0);
  if (version > NEW_VERSION) return { ...state, fault: `its version is ${version}` };
  const blocks = QuotaHeader.dqi_blocks.get(view, 0);
  const whole = {
    hasMagic: QuotaHeader.dqh_magic.get(view, 0) === QUOTA_MAGIC[kind],
    grace: {
      blocks: QuotaHeader.dqi_bgrace.get(view, 0),
      inodes: QuotaHeader.dqi_igrace.get(view, 0),
    },
  };
  if (blocks * TREE_BLOCK > source.size)
    return { ...whole, fault: `it has ${source.size} bytes, and its tree ${blocks} blocks` };
  for (const field of ['dqi_free_blk', 'dqi_free_entry'] as const) {
    const value = QuotaHeader[field].get(view, 0);
    if (value >= blocks)
      return { ...whole, fault: `${field} is ${value}, and its tree has ${blocks} blocks` };
  }
  const walk = new TreeWalk(source, blocks, version, visit);
  walk.node(ROOT_BLOCK, 0);
  return { ...whole, fault: walk.fault };
}

class TreeWalk {
  fault: string | undefined;
  readonly #source: QuotaFileSource;
  readonly #blocks: number;
  readonly #version: number;
  readonly #visit: (record: QuotaRecord) => void;
  /** By level: each block is entered once. */
  readonly #seen = Array.from({ length: TREE_DEPTH + 1 }, () => new Set<number>());
  #count = 0;

  constructor(
    source: QuotaFileSource,
    blocks: number,
    version: number,
    visit: (record: QuotaRecord) => void,
  ) {
    this.#source = source;
    this.#blocks = blocks;
    this.#version = version;
    this.#visit = visit;
  }

  node(block: number, level: number): void {
    if (this.#seen[level]!.has(block)) return;
    this.#seen[level]!.add(block);
    if (++this.#count > (TREE_DEPTH + 1) * this.#source.maxBlocks) {
      this.fault = `its tree has more than ${this.#count} blocks, which are more than there are`;
      return;
    }
    const bytes = new Uint8Array(TREE_BLOCK);
    this.#source.read(block, bytes);
    const view = viewOf(bytes);
    if (level === TREE_DEPTH) {
      this.#entries(view);
      return;
    }
    for (let index = 0; index < REFERENCES && this.fault === undefined; index++) {
      const below = view.getUint32(4 * index, true);
      if (below === 0) continue;
      if (below >= this.#blocks) {
        this.fault = `block ${block} of its tree leads to block ${below}, and there are ${this.#blocks}`;
        return;
      }
      this.node(below, level + 1);
    }
  }

  #entries(view: DataView): void {
    const size = this.#version === 0 ? OldQuotaEntry.$size : QuotaEntry.$size;
    for (let at = ENTRIES_START; at + size <= TREE_BLOCK; at += size) {
      let isUsed = false;
      for (let i = at; i < at + size; i += 4) isUsed ||= view.getUint32(i, true) !== 0;
      if (isUsed) this.#visit(this.#version === 0 ? oldRecordAt(view, at) : recordAt(view, at));
    }
  }
}

function recordAt(view: DataView, at: number): QuotaRecord {
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

function oldRecordAt(view: DataView, at: number): QuotaRecord {
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

/** A whole quota file with these entries, laid out as e2fsprogs does when they come in this order. */
export function makeQuotaFile(
  kind: QuotaKind,
  records: readonly QuotaRecord[],
  grace: QuotaGrace = DEFAULT_GRACE,
): Uint8Array {
  const tree = new NewTree();
  for (const record of records) tree.insert(record);
  return tree.finish(kind, grace);
}

class NewTree {
  #blocks: DataView[] = [emptyBlock(), emptyBlock()];
  /** The block of entries that is being filled; 0: none has room. */
  #open = 0;

  insert(record: QuotaRecord): void {
    let block = ROOT_BLOCK;
    for (let level = 0; level < TREE_DEPTH; level++) {
      const at = 4 * ((record.id >>> (8 * (TREE_DEPTH - 1 - level))) & 0xff);
      const node = this.#blocks[block]!;
      let below = node.getUint32(at, true);
      if (below === 0) {
        below = level === TREE_DEPTH - 1 ? this.#put(record) : this.#blocks.push(emptyBlock()) - 1;
        node.setUint32(at, below, true);
      }
      block = below;
    }
  }

  #put(record: QuotaRecord): number {
    if (this.#open === 0) this.#open = this.#blocks.push(emptyBlock()) - 1;
    const block = this.#open;
    const view = this.#blocks[block]!;
    const count = EntriesHeader.dqdh_entries.get(view, 0);
    const at = ENTRIES_START + count * QuotaEntry.$size;
    QuotaEntry.dqb_id.set(view, at, record.id);
    QuotaEntry.dqb_ihardlimit.set(view, at, record.hardInodes);
    QuotaEntry.dqb_isoftlimit.set(view, at, record.softInodes);
    QuotaEntry.dqb_curinodes.set(view, at, record.inodes);
    QuotaEntry.dqb_bhardlimit.set(view, at, record.hardBlocks);
    QuotaEntry.dqb_bsoftlimit.set(view, at, record.softBlocks);
    QuotaEntry.dqb_curspace.set(view, at, record.space);
    QuotaEntry.dqb_btime.set(view, at, record.blockTime);
    QuotaEntry.dqb_itime.set(view, at, record.inodeTime);
    EntriesHeader.dqdh_entries.set(view, 0, count + 1);
    if (at + 2 * QuotaEntry.$size > TREE_BLOCK) this.#open = 0;
    return block;
  }

  finish(kind: QuotaKind, grace: QuotaGrace): Uint8Array {
    const header = this.#blocks[0]!;
    QuotaHeader.dqh_magic.set(header, 0, QUOTA_MAGIC[kind]);
    QuotaHeader.dqh_version.set(header, 0, NEW_VERSION);
    QuotaHeader.dqi_bgrace.set(header, 0, grace.blocks);
    QuotaHeader.dqi_igrace.set(header, 0, grace.inodes);
    QuotaHeader.dqi_blocks.set(header, 0, this.#blocks.length);
    QuotaHeader.dqi_free_entry.set(header, 0, this.#open);
    const whole = new Uint8Array(this.#blocks.length * TREE_BLOCK);
    for (const [index, view] of this.#blocks.entries())
      whole.set(new Uint8Array(view.buffer), index * TREE_BLOCK);
    return whole;
  }
}

function emptyBlock(): DataView {
  return viewOf(new Uint8Array(TREE_BLOCK));
}
