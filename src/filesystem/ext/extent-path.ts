import { CorruptImageError } from '../../errors.ts';
import { type BlockSeal, type CachedBlock, WriteRank } from './block-cache.ts';
import {
  EXTENT_MAGIC,
  ExtentHeader,
  ExtentIndex,
  MAX_EXTENT_DEPTH,
  childOf,
  entryAt,
  keyOf,
  lastNotAfter,
  lengthOf,
  nodeCapacity,
  startOf,
  writeIndex,
} from './extent-node.ts';
import { hex } from './geometry.ts';
import { Inode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import type { Volume } from './volume.ts';

const ROOT = Inode.i_block.offset;
/** Entries of the root, which lies in the inode. */
export const ROOT_CAPACITY = nodeCapacity(Inode.i_block.length);
/** Block numbers within a file have 32 bits. */
const END = 0x1_0000_0000;

/**
 * The way from the root of an extent tree down to the leaf that has, or would have, a certain block. Level 0 is the
 * root in the inode; every descent fills the path anew.
 */
export class ExtentPath {
  /** Level of the leaf. */
  depth = 0;
  /** First block that belongs to the next leaf; infinite in the last one. */
  next = Number.POSITIVE_INFINITY;
  readonly views: DataView[] = [];
  /** Where the node's header lies in its view. */
  readonly bases: number[] = [];
  /** Undefined for the root. */
  readonly blocks: (CachedBlock | undefined)[] = [];
  /** The entry that leads on. In the leaf: the last one that does not begin after the block, or -1. */
  readonly at: number[] = [];
  /** Blocks for copies of nodes, for `renew`. */
  readonly renewals: number[] = [];
  /** Blocks of the nodes that were copied. */
  readonly renewed: number[] = [];
  readonly #volume: Volume;
  /** Nodes whose entries have been checked. */
  readonly #sound = new WeakSet<CachedBlock>();
  /** The inode whose tree was descended last, and the seal of its nodes. */
  #sealed = 0;
  #generation = 0;
  #seal: BlockSeal | undefined;

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  /** Most entries of a node that is not the root. */
  get nodeCapacity(): number {
    return nodeCapacity(this.#volume.geometry.blockSize);
  }

  /**
   * Descends to `block`. `strict` is for those who will write: every entry of the nodes on the way must be sound, not
   * only what leads to the block.
   */
  descend(ref: InodeRef, block: number, strict: boolean): void {
    const { geometry } = this.#volume;
    let { view } = ref;
    let base = ref.base + ROOT;
    let cached: CachedBlock | undefined;
    this.#chooseSeal(ref);
    this.next = Number.POSITIVE_INFINITY;
    for (let level = 0; ; level++) {
      const size = level === 0 ? Inode.i_block.length : geometry.blockSize;
      const expected = level === 0 ? -1 : this.depth - level;
      const depth = requireHeader(ref, view, base, size, expected);
      if (level === 0) this.depth = depth;
      this.views[level] = view;
      this.bases[level] = base;
      this.blocks[level] = cached;
      if (strict && (cached === undefined || !this.#sound.has(cached))) {
        this.#checkEntries(ref, view, base, depth);
        if (cached !== undefined) this.#sound.add(cached);
      }
      const at = lastNotAfter(view, base, block);
      this.at[level] = depth === 0 ? at : Math.max(0, at);
      if (depth === 0) return;
      const lead = this.at[level]!;
      if (lead + 1 < ExtentHeader.eh_entries.get(view, base)) {
        this.next = Math.min(this.next, keyOf(view, base, lead + 1));
      }
      cached = this.#node(ref, childOf(view, entryAt(base, lead)));
      ({ view } = cached);
      base = 0;
    }
  }

  entries(level: number): number {
    return ExtentHeader.eh_entries.get(this.views[level]!, this.bases[level]!);
  }

  isFull(level: number): boolean {
    const view = this.views[level]!;
    const base = this.bases[level]!;
    return ExtentHeader.eh_entries.get(view, base) >= ExtentHeader.eh_max.get(view, base);
  }

  /** A fresh node, dirty. */
  create(block: number): CachedBlock {
    const node = this.#volume.cache.create(block, WriteRank.newMapping, this.#seal);
    this.#sound.add(node);
    return node;
  }

  /** A node that is in memory and known to be sound, or undefined. */
  sibling(block: number): CachedBlock | undefined {
    const node = this.#volume.cache.find(block);
    return node !== undefined && this.#sound.has(node) ? node : undefined;
  }

  /** The device has the node, and no journal makes one change of its writes and the others. */
  isExposed(node: CachedBlock | undefined): boolean {
    return node !== undefined && node.rank === WriteRank.mapping && !this.#volume.hasJournal;
  }

  /**
   * Lets the nodes on the path that the device has go on in other blocks, before any of them changes on a volume without a journal: the inode then
   * gets a new tree, its size and its count of blocks in one write. e2fsck drops whole extents that reach behind the size, or over the
   * next key. Without a block for it a node stays where it is. False: nothing has moved.
   */
  renew(): boolean {
    let hasMoved = false;
    for (let level = 1; level <= this.depth; level++) {
      const old = this.blocks[level]!;
      if (!this.isExposed(old)) continue;
      const block = this.renewals.pop();
      if (block === undefined) break;
      const node = this.create(block);
      node.bytes.set(old.bytes);
      this.blocks[level] = node;
      this.views[level] = node.view;
      const above = this.views[level - 1]!;
      const at = entryAt(this.bases[level - 1]!, this.at[level - 1]!);
      writeIndex(above, at, ExtentIndex.ei_block.get(above, at), block);
      this.markDirty(level - 1);
      this.renewed.push(old.index);
      hasMoved = true;
    }
    return hasMoved;
  }

  /** Nodes that `renew` moves when something changes from block `first` to block `last`. */
  renewalCount(ref: InodeRef, first: number, last: number): number {
    if (this.#volume.hasJournal) return 0;
    let count = 0;
    const former: (CachedBlock | undefined)[] = [];
    for (let block = first; block <= last; block = this.next) {
      this.descend(ref, block, true);
      for (let level = 1; level <= this.depth; level++) {
        if (this.blocks[level] !== former[level] && this.isExposed(this.blocks[level])) count++;
        former[level] = this.blocks[level];
      }
    }
    return count;
  }

  /** After the first entry of the node at `level` has changed: the keys above it follow. */
  fixKeys(level: number): void {
    const key = keyOf(this.views[level]!, this.bases[level]!, 0);
    for (let above = level - 1; above >= 0; above--) {
      const view = this.views[above]!;
      view.setUint32(entryAt(this.bases[above]!, this.at[above]!), key, true);
      this.markDirty(above);
      if (this.at[above] !== 0) return;
    }
  }

  /** The root is part of an inode, which the caller marks. */
  markDirty(level: number): void {
    const block = this.blocks[level];
    if (block !== undefined) this.#volume.cache.markDirty(block);
  }

  /** A node that is not on the path. */
  dirty(node: CachedBlock): void {
    this.#volume.cache.markDirty(node);
  }

  #chooseSeal(ref: InodeRef): void {
    const { seals } = this.#volume;
    if (seals === undefined) return;
    const generation = Inode.i_generation.get(ref.view, ref.base);
    if (this.#sealed === ref.number && this.#generation === generation) return;
    this.#sealed = ref.number;
    this.#generation = generation;
    this.#seal = seals.extents(ref.number, generation);
  }

  #node(ref: InodeRef, block: number): CachedBlock {
    this.#volume.checkPointer(block, ref.number, 'ei_leaf');
    return this.#volume.cache.get(block, WriteRank.mapping, this.#seal);
  }

  /** Entries in order, without overlaps, and within the volume. */
  #checkEntries(ref: InodeRef, view: DataView, base: number, depth: number): void {
    const volume = this.#volume;
    const { blocksPerCluster } = volume.geometry;
    const entries = ExtentHeader.eh_entries.get(view, base);
    let end = -1;
    for (let i = 0; i < entries; i++) {
      const key = keyOf(view, base, i);
      const at = entryAt(base, i);
      if (key < end || (depth > 0 && key === end)) {
        throw corrupt(ref, 'ee_block', `${key} after ${end - 1}`, 'entries in order');
      }
      if (depth > 0) {
        volume.checkPointer(childOf(view, at), ref.number, 'ei_leaf');
        end = key;
        continue;
      }
      const length = lengthOf(view, at);
      if (length === 0 || key + length > END) {
        throw corrupt(ref, 'ee_len', `${length} at block ${key}`, `1 to ${END - key}`);
      }
      volume.checkPointer(startOf(view, at), ref.number, 'ee_start');
      volume.checkPointer(startOf(view, at) + length - 1, ref.number, 'ee_start');
      if (startOf(view, at) % blocksPerCluster !== key % blocksPerCluster)
        throw corrupt(
          ref,
          'ee_start',
          `block ${startOf(view, at)} for block ${key}`,
          `block ${key % blocksPerCluster} of a cluster`,
        );
      end = key + length;
    }
  }
}

/** The depth of the node, which must be `expected` unless that is negative. */
function requireHeader(ref: InodeRef, view: DataView, base: number, size: number, expected: number): number {
  const magic = ExtentHeader.eh_magic.get(view, base);
  if (magic !== EXTENT_MAGIC) throw corrupt(ref, 'eh_magic', hex(magic, 4), hex(EXTENT_MAGIC, 4));
  const entries = ExtentHeader.eh_entries.get(view, base);
  const limit = ExtentHeader.eh_max.get(view, base);
  const most = nodeCapacity(size);
  // libext2fs takes up to two entries less than there is room for.
  if (limit > most || limit < most - 2) throw corrupt(ref, 'eh_max', `${limit}`, `${most - 2} to ${most}`);
  const depth = ExtentHeader.eh_depth.get(view, base);
  if (entries > limit || (entries === 0 && depth > 0)) {
    throw corrupt(ref, 'eh_entries', `${entries}`, `${depth > 0 ? 1 : 0} to ${limit}`);
  }
  if (expected < 0 ? depth <= MAX_EXTENT_DEPTH : depth === expected) return depth;
  throw corrupt(ref, 'eh_depth', `${depth}`, expected < 0 ? `at most ${MAX_EXTENT_DEPTH}` : `${expected}`);
}

function corrupt(ref: InodeRef, field: string, found: string, expected: string): CorruptImageError {
  return new CorruptImageError({ structure: `extent tree of inode ${ref.number}`, field, found, expected });
}
