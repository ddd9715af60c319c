import type { QuotaKind } from '../file-system.ts';
import { viewOf } from '../../bytes/struct.ts';
import {
  DEFAULT_GRACE,
  ENTRIES_PER_BLOCK,
  ENTRIES_START,
  EntriesHeader,
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

/** How a tree hangs together. */
interface TreeShape {
  /** Blocks of references, as often as something leads to them. */
  readonly nodes: number[];
  /** The block of entries that the way of each number ends at. */
  readonly ends: Map<number, number>;
}

/** Reads a quota file that may hold anything, and calls `visit` for each entry with its place in bytes, in the order of the tree. */
export function readQuotaFile(
  source: QuotaFileSource,
  kind: QuotaKind,
  visit: (record: QuotaRecord, position: number) => void,
  shape?: TreeShape,
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
  const walk = new TreeWalk(source, blocks, version, visit, shape);
  walk.node(ROOT_BLOCK, 0, 0);
  return { ...whole, fault: walk.fault };
}

/**
 * Reads a quota file that is to be written to, and calls `visit` for each number and the place of its entry. Whatever could lead a later change astray is a fault: an
 * entry off its way, a block with two jobs, lists of free blocks that are none.
 */
export function readSoundQuotaFile(
  source: QuotaFileSource,
  kind: QuotaKind,
  visit: (id: number, position: number) => void,
): QuotaFileState {
  const shape: TreeShape = { nodes: [], ends: new Map() };
  const counts = new Map<number, number>();
  const positions = new Map<number, number>();
  let twice: number | undefined;
  const state = readQuotaFile(
    source,
    kind,
    ({ id }, position) => {
      const block = Math.floor(position / TREE_BLOCK);
      counts.set(block, (counts.get(block) ?? 0) + 1);
      if (positions.has(id)) twice = id;
      positions.set(id, position);
    },
    shape,
  );
  if (state.fault !== undefined) return state;
  const fault = (text: string): QuotaFileState => ({ ...state, fault: text });
  if (!state.hasMagic) return fault(`it does not begin with the number of ${kind} quotas`);
  if (twice !== undefined) return fault(`${twice} has two entries`);
  for (const [id, position] of positions) {
    if (shape.ends.get(id) !== Math.floor(position / TREE_BLOCK))
      return fault(`the entry of ${id} is not where its number leads`);
    visit(id, position);
  }
  if (positions.size !== shape.ends.size)
    return fault(`it has ${positions.size} entries, and its tree leads to ${shape.ends.size}`);
  const inTree = new Set([0, ...shape.nodes, ...counts.keys()]);
  if (inTree.size !== 1 + shape.nodes.length + counts.size)
    return fault('a block of its tree has two places in that');
  return { ...state, fault: faultInLists(source, inTree, counts) };
}

function faultInLists(
  source: QuotaFileSource,
  inTree: ReadonlySet<number>,
  counts: ReadonlyMap<number, number>,
): string | undefined {
  const bytes = new Uint8Array(TREE_BLOCK);
  const view = viewOf(bytes);
  source.read(0, bytes);
  if (QuotaHeader.dqh_version.get(view, 0) !== NEW_VERSION) return 'its version is 0';
  const blocks = QuotaHeader.dqi_blocks.get(view, 0);
  const firstEntry = QuotaHeader.dqi_free_entry.get(view, 0);
  const free = new Set<number>();
  for (let block = QuotaHeader.dqi_free_blk.get(view, 0); block !== 0;) {
    if (block >= blocks || inTree.has(block) || free.has(block)) return `block ${block} of it is not free`;
    free.add(block);
    source.read(block, bytes);
    block = EntriesHeader.dqdh_next_free.get(view, 0);
  }
  const open = new Set<number>();
  for (let block = firstEntry, previous = 0; block !== 0;) {
    if (!counts.has(block) || open.has(block)) return `block ${block} of it does not hold entries`;
    open.add(block);
    source.read(block, bytes);
    if (EntriesHeader.dqdh_prev_free.get(view, 0) !== previous) return `block ${block} of it is in no list`;
    previous = block;
    block = EntriesHeader.dqdh_next_free.get(view, 0);
  }
  for (const [block, count] of counts) {
    source.read(block, bytes);
    const said = EntriesHeader.dqdh_entries.get(view, 0);
    if (said !== count) return `block ${block} of it has ${count} entries, and says ${said}`;
    if (open.has(block) !== count < ENTRIES_PER_BLOCK)
      return `block ${block} of it has ${count} entries, and is ${open.has(block) ? '' : 'not '}among those with room`;
  }
  return undefined;
}

class TreeWalk {
  fault: string | undefined;
  readonly #source: QuotaFileSource;
  readonly #blocks: number;
  readonly #version: number;
  readonly #visit: (record: QuotaRecord, position: number) => void;
  readonly #shape: TreeShape | undefined;
  /** By level: each block is entered once. */
  readonly #seen = Array.from({ length: TREE_DEPTH + 1 }, () => new Set<number>());
  #count = 0;

  constructor(
    source: QuotaFileSource,
    blocks: number,
    version: number,
    visit: (record: QuotaRecord, position: number) => void,
    shape: TreeShape | undefined,
  ) {
    this.#source = source;
    this.#blocks = blocks;
    this.#version = version;
    this.#visit = visit;
    this.#shape = shape;
  }

  /** `prefix`: the bytes of the numbers that the way here stands for. */
  node(block: number, level: number, prefix: number): void {
    if (level === TREE_DEPTH) this.#shape?.ends.set(prefix, block);
    else this.#shape?.nodes.push(block);
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
      this.#entries(view, block);
      return;
    }
    for (let index = 0; index < REFERENCES && this.fault === undefined; index++) {
      const below = view.getUint32(4 * index, true);
      if (below === 0) continue;
      if (below >= this.#blocks) {
        this.fault = `block ${block} of its tree leads to block ${below}, and there are ${this.#blocks}`;
        return;
      }
      this.node(below, level + 1, prefix * REFERENCES + index);
    }
  }

  #entries(view: DataView, block: number): void {
    const size = this.#version === 0 ? OldQuotaEntry.$size : QuotaEntry.$size;
    for (let at = ENTRIES_START; at + size <= TREE_BLOCK; at += size) {
      let isUsed = false;
      for (let i = at; i < at + size; i += 4) isUsed ||= view.getUint32(i, true) !== 0;
      if (!isUsed) continue;
      const record = this.#version === 0 ? oldRecordAt(view, at) : recordAt(view, at);
      this.#visit(record, block * TREE_BLOCK + at);
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
