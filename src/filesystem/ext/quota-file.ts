import { viewOf } from '../../bytes/struct.ts';
import {
  DEFAULT_GRACE,
  ENTRIES_START,
  NEW_VERSION,
  OldQuotaEntry,
  putRecord,
  QUOTA_MAGIC,
  QuotaEntry,
  type QuotaGrace,
  QuotaHeader,
  type QuotaRecord,
  oldRecordAt,
  recordAt,
  REFERENCES,
  ROOT_BLOCK,
  TREE_BLOCK,
  TREE_DEPTH,
} from './quota-entry.ts';
import type { QuotaKind } from './quota-kind.ts';
import { type QuotaBlocks, QuotaTree } from './quota-tree.ts';

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

/** A whole quota file with these entries, laid out as e2fsprogs does when they come in this order. */
export function makeQuotaFile(
  kind: QuotaKind,
  records: readonly QuotaRecord[],
  grace: QuotaGrace = DEFAULT_GRACE,
): Uint8Array {
  const blocks = new NewBlocks();
  const header = blocks.change(0);
  QuotaHeader.dqh_magic.set(header, 0, QUOTA_MAGIC[kind]);
  QuotaHeader.dqh_version.set(header, 0, NEW_VERSION);
  QuotaHeader.dqi_bgrace.set(header, 0, grace.blocks);
  QuotaHeader.dqi_igrace.set(header, 0, grace.inodes);
  QuotaHeader.dqi_blocks.set(header, 0, ROOT_BLOCK + 1);
  blocks.change(ROOT_BLOCK);
  const tree = new QuotaTree(blocks);
  for (const record of records) {
    const position = tree.insert(record.id);
    putRecord(blocks.change(Math.floor(position / TREE_BLOCK)), position % TREE_BLOCK, record);
  }
  return blocks.whole();
}

/** A file that grows in memory. */
class NewBlocks implements QuotaBlocks {
  readonly #views: DataView[] = [];

  look(block: number): DataView {
    return this.#views[block]!;
  }

  change(block: number): DataView {
    return (this.#views[block] ??= viewOf(new Uint8Array(TREE_BLOCK)));
  }

  whole(): Uint8Array {
    const whole = new Uint8Array(this.#views.length * TREE_BLOCK);
    for (const [index, view] of this.#views.entries())
      whole.set(new Uint8Array(view.buffer), index * TREE_BLOCK);
    return whole;
  }
}
