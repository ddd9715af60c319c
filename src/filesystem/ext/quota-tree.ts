import { CorruptImageError } from '../../errors.ts';
import {
  ENTRIES_PER_BLOCK,
  ENTRIES_START,
  EntriesHeader,
  QuotaEntry,
  QuotaHeader,
  ROOT_BLOCK,
  TREE_BLOCK,
  TREE_DEPTH,
} from './quota-entry.ts';

const HEADER_BLOCK = 0;

/** The blocks of a quota file, 1024 bytes each, in place. */
export interface QuotaBlocks {
  /** To be read. */
  look(block: number): DataView;
  /** To be changed. */
  change(block: number): DataView;
}

/**
 * The tree of a quota file, version 1: four levels of references, one for each byte of the number, lead to blocks of entries. Blocks that hold nothing are in
 * a list, and so are those of entries with room, both in the order in which Linux and e2fsprogs keep them (Linux fs/quota/quota_tree.c).
 */
export class QuotaTree {
  readonly #blocks: QuotaBlocks;

  constructor(blocks: QuotaBlocks) {
    this.#blocks = blocks;
  }

  /** Blocks in the file, those that hold nothing with them. */
  get blockCount(): number {
    return QuotaHeader.dqi_blocks.get(this.#blocks.look(HEADER_BLOCK), 0);
  }

  /** Blocks by which the file grows when `id`, which has no entry, gets one. */
  growth(id: number): number {
    const header = this.#blocks.look(HEADER_BLOCK);
    let missing = QuotaHeader.dqi_free_entry.get(header, 0) === 0 ? 1 : 0;
    for (let level = 0, node = ROOT_BLOCK; level < TREE_DEPTH - 1; level++) {
      node = this.#blocks.look(node).getUint32(referenceAt(id, level), true);
      if (node !== 0) continue;
      missing += TREE_DEPTH - 1 - level;
      break;
    }
    let free = QuotaHeader.dqi_free_blk.get(header, 0);
    for (; free !== 0 && missing > 0; missing--)
      free = EntriesHeader.dqdh_next_free.get(this.#blocks.look(free), 0);
    return missing;
  }

  /** Gives `id`, which has none, an entry of zeros but for the number; returns its place in bytes. The file must have blocks enough. */
  insert(id: number): number {
    let node = ROOT_BLOCK;
    for (let level = 0; level < TREE_DEPTH - 1; level++) {
      const at = referenceAt(id, level);
      let below = this.#blocks.look(node).getUint32(at, true);
      if (below === 0) {
        below = this.#take();
        this.#blocks.change(node).setUint32(at, below, true);
      }
      node = below;
    }
    const at = referenceAt(id, TREE_DEPTH - 1);
    const known = this.#blocks.look(node).getUint32(at, true);
    if (known !== 0) throw corrupt(node, `block ${known} for ${id}, which has no entry there`);
    const position = this.#place(id);
    this.#blocks.change(node).setUint32(at, Math.floor(position / TREE_BLOCK), true);
    return position;
  }

  /** Takes the entry of `id` away, which lies at `position`. */
  delete(id: number, position: number): void {
    const path = [ROOT_BLOCK];
    for (let level = 0; level < TREE_DEPTH; level++)
      path.push(this.#blocks.look(path[level]!).getUint32(referenceAt(id, level), true));
    const last = Math.floor(position / TREE_BLOCK);
    if (path[TREE_DEPTH] !== last) throw corrupt(path[TREE_DEPTH]!, `the end of the way to ${id}`);
    this.#clear(last, position % TREE_BLOCK);
    for (let level = TREE_DEPTH - 1; level >= 0; level--) {
      const node = path[level]!;
      const view = this.#blocks.change(node);
      view.setUint32(referenceAt(id, level), 0, true);
      if (node === ROOT_BLOCK || !isEmpty(view)) return;
      this.#give(node, view);
    }
  }

  #place(id: number): number {
    let block = QuotaHeader.dqi_free_entry.get(this.#blocks.look(HEADER_BLOCK), 0);
    if (block === 0) {
      block = this.#take();
      QuotaHeader.dqi_free_entry.set(this.#blocks.change(HEADER_BLOCK), 0, block);
    }
    const view = this.#blocks.change(block);
    const count = EntriesHeader.dqdh_entries.get(view, 0) + 1;
    if (count >= ENTRIES_PER_BLOCK) this.#unlist(view);
    EntriesHeader.dqdh_entries.set(view, 0, count);
    let at = ENTRIES_START;
    while (at + QuotaEntry.$size <= TREE_BLOCK && !isEmpty(view, at, QuotaEntry.$size))
      at += QuotaEntry.$size;
    if (at + QuotaEntry.$size > TREE_BLOCK) throw corrupt(block, `${count - 1} entries and no room`);
    QuotaEntry.dqb_id.set(view, at, id);
    markUsed(view, at);
    return block * TREE_BLOCK + at;
  }

  #clear(block: number, at: number): void {
    const view = this.#blocks.change(block);
    new Uint8Array(view.buffer, view.byteOffset + at, QuotaEntry.$size).fill(0);
    const count = EntriesHeader.dqdh_entries.get(view, 0) - 1;
    EntriesHeader.dqdh_entries.set(view, 0, Math.max(0, count));
    if (count <= 0) {
      if (ENTRIES_PER_BLOCK > 1) this.#unlist(view);
      this.#give(block, view);
    } else if (count === ENTRIES_PER_BLOCK - 1) this.#list(block, view);
  }

  /** A block of zeros. */
  #take(): number {
    const header = this.#blocks.change(HEADER_BLOCK);
    const free = QuotaHeader.dqi_free_blk.get(header, 0);
    if (free === 0) {
      const block = QuotaHeader.dqi_blocks.get(header, 0);
      QuotaHeader.dqi_blocks.set(header, 0, block + 1);
      erase(this.#blocks.change(block));
      return block;
    }
    const view = this.#blocks.change(free);
    QuotaHeader.dqi_free_blk.set(header, 0, EntriesHeader.dqdh_next_free.get(view, 0));
    erase(view);
    return free;
  }

  /** The block holds nothing from now on. */
  #give(block: number, view: DataView): void {
    const header = this.#blocks.change(HEADER_BLOCK);
    erase(view);
    EntriesHeader.dqdh_next_free.set(view, 0, QuotaHeader.dqi_free_blk.get(header, 0));
    QuotaHeader.dqi_free_blk.set(header, 0, block);
  }

  /** Puts a block of entries before the others with room. */
  #list(block: number, view: DataView): void {
    const header = this.#blocks.change(HEADER_BLOCK);
    const first = QuotaHeader.dqi_free_entry.get(header, 0);
    EntriesHeader.dqdh_next_free.set(view, 0, first);
    EntriesHeader.dqdh_prev_free.set(view, 0, 0);
    if (first !== 0) EntriesHeader.dqdh_prev_free.set(this.#blocks.change(first), 0, block);
    QuotaHeader.dqi_free_entry.set(header, 0, block);
  }

  /** Takes a block of entries out of the list of those with room. */
  #unlist(view: DataView): void {
    const next = EntriesHeader.dqdh_next_free.get(view, 0);
    const previous = EntriesHeader.dqdh_prev_free.get(view, 0);
    if (next !== 0) EntriesHeader.dqdh_prev_free.set(this.#blocks.change(next), 0, previous);
    if (previous !== 0) EntriesHeader.dqdh_next_free.set(this.#blocks.change(previous), 0, next);
    else QuotaHeader.dqi_free_entry.set(this.#blocks.change(HEADER_BLOCK), 0, next);
    EntriesHeader.dqdh_next_free.set(view, 0, 0);
    EntriesHeader.dqdh_prev_free.set(view, 0, 0);
  }
}

/** An entry of zeros would not be one: that of 0 without anything says so by a time, which means nothing where there is no limit. */
export function markUsed(view: DataView, at: number): void {
  if (isEmpty(view, at, QuotaEntry.$size)) QuotaEntry.dqb_itime.set(view, at, 1n);
}

/** Byte of a block of references that `id` is found at. */
function referenceAt(id: number, level: number): number {
  return 4 * ((id >>> (8 * (TREE_DEPTH - 1 - level))) & 0xff);
}

function isEmpty(view: DataView, start = 0, length: number = TREE_BLOCK): boolean {
  for (let at = start; at < start + length; at += 4) if (view.getUint32(at, true) !== 0) return false;
  return true;
}

function erase(view: DataView): void {
  new Uint8Array(view.buffer, view.byteOffset, TREE_BLOCK).fill(0);
}

function corrupt(block: number, found: string): CorruptImageError {
  return new CorruptImageError({
    structure: 'quota file',
    field: `block ${block} of its tree`,
    found,
    expected: 'a sound tree',
  });
}
