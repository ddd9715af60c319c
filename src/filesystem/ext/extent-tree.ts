import { FsError } from '../../errors.ts';
import {
  ExtentHeader,
  MAX_EXTENT_DEPTH,
  MAX_UNWRITTEN,
  MAX_WRITTEN,
  copyEntries,
  entryAt,
  isUnwritten,
  keyOf,
  lengthOf,
  setLength,
  shiftEntries,
  startOf,
  writeExtent,
  writeHeader,
  writeIndex,
} from './extent-node.ts';
import { ExtentPath, ROOT_CAPACITY } from './extent-path.ts';
import { type Freed, collapseRoot, dropNode, joinNodes } from './extent-shrinking.ts';
import { Inode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import type { Volume } from './volume.ts';

/** What lies at a block of a file, in one piece. Callers own it and pass it in again. Counted in blocks. */
export interface ExtentRun {
  /** On the device; 0 for a hole. */
  start: number;
  length: number;
  /** Has space, but reads as zeros. */
  unwritten: boolean;
}

/**
 * The extent tree of a file (Linux Documentation/filesystems/ext4/ifork.rst): a B+ tree with four entries in `i_block`
 * and the rest in blocks. This is its shape alone: blocks come from `spare`, whose owner counts them, and go to `freed`.
 * No node but the root is ever empty, and every key is that of the first entry below it, as e2fsck wants it.
 */
export class ExtentTree {
  /** Blocks for new nodes. */
  readonly spare: number[] = [];
  /** Blocks for nodes that go on elsewhere, and those that they leave (`ExtentPath.renew`). */
  readonly renewals: number[];
  readonly renewed: number[];
  readonly #path: ExtentPath;
  /** Extents have been joined since the last `compact`: there are fewer entries. */
  #hasJoined = false;

  constructor(volume: Volume) {
    this.#path = new ExtentPath(volume);
    ({ renewals: this.renewals, renewed: this.renewed } = this.#path);
  }

  /** An empty tree. */
  plant(ref: InodeRef): void {
    writeHeader(ref.view, ref.base + Inode.i_block.offset, 0, ROOT_CAPACITY, 0);
  }

  /** Fills `run` with what is at `block`, at most `limit` blocks. `strict` as in `ExtentPath.descend`. */
  look(ref: InodeRef, block: number, limit: number, run: ExtentRun, strict: boolean): void {
    const path = this.#path;
    path.descend(ref, block, strict);
    const { depth } = path;
    const view = path.views[depth]!;
    const base = path.bases[depth]!;
    const index = path.at[depth]!;
    run.start = 0;
    run.unwritten = false;
    if (index >= 0) {
      const at = entryAt(base, index);
      const within = block - keyOf(view, base, index);
      const length = lengthOf(view, at);
      if (within < length) {
        run.start = startOf(view, at) + within;
        run.length = Math.min(limit, length - within);
        run.unwritten = isUnwritten(view, at);
        return;
      }
    }
    let end = Math.min(block + limit, path.next);
    if (index + 1 < path.entries(depth)) end = Math.min(end, keyOf(view, base, index + 1));
    run.length = Math.max(1, end - block);
  }

  /** Where the block would continue what lies before it: the goal for its allocation, or 0. */
  goal(ref: InodeRef, block: number): number {
    const path = this.#path;
    path.descend(ref, block, false);
    const index = path.at[path.depth]!;
    if (index < 0) return 0;
    const view = path.views[path.depth]!;
    const at = entryAt(path.bases[path.depth]!, index);
    return startOf(view, at) + lengthOf(view, at);
  }

  /** The whole extent that has a block, and its first block; undefined for a hole. */
  extentOf(ref: InodeRef, block: number): { first: number; run: ExtentRun } | undefined {
    const path = this.#path;
    path.descend(ref, block, true);
    const index = path.at[path.depth]!;
    if (index < 0) return undefined;
    const view = path.views[path.depth]!;
    const base = path.bases[path.depth]!;
    const at = entryAt(base, index);
    const first = keyOf(view, base, index);
    const length = lengthOf(view, at);
    if (block >= first + length) return undefined;
    return { first, run: { start: startOf(view, at), length, unwritten: isUnwritten(view, at) } };
  }

  /** Blocks of nodes that `count` more entries between the blocks `first` and `last` may need. */
  growth(ref: InodeRef, first: number, last: number, count: number): number {
    const path = this.#path;
    path.descend(ref, first, true);
    const { depth } = path;
    const room = ExtentHeader.eh_max.get(path.views[depth]!, path.bases[depth]!) - path.entries(depth);
    if (path.next > last && room >= count) return 0;
    if (count === 1) {
      // Every full node from the leaf up is split; above a full root there is a level more.
      let full = 0;
      while (full <= depth && path.isFull(depth - full)) full++;
      return full;
    }
    let leaves = 1;
    for (; path.next <= last; leaves++) path.descend(ref, path.next, true);
    const half = Math.floor(path.nodeCapacity / 2) - 1;
    const splits = Math.min(count, leaves + Math.ceil(count / half));
    return splits * (depth + 1) + 3;
  }

  /** Blocks that `renewals` should have for a change from block `first` to block `last`. */
  renewalCount(ref: InodeRef, first: number, last: number): number {
    return this.#path.renewalCount(ref, first, last);
  }

  /** Maps a hole. Joins neighbours where it can. `spare` must have what `growth` says. */
  insert(ref: InodeRef, block: number, start: number, length: number, unwritten: boolean): void {
    for (let done = 0; done < length;) {
      done += this.#insertSome(ref, block + done, start + done, length - done, unwritten);
    }
  }

  /** Unmaps `[from, to)`; cutting an extent in two takes `growth` of one entry. What lies between the edges goes as a whole. */
  remove(ref: InodeRef, from: number, to: number, freed: Freed): void {
    const path = this.#path;
    for (const edge of [from, to - 1]) {
      if (edge === 0 || edge === Number.POSITIVE_INFINITY) continue;
      path.descend(ref, edge, true);
      path.renew();
    }
    for (let block = from; block < to;) {
      path.descend(ref, block, true);
      const { depth, next } = path;
      const view = path.views[depth]!;
      const base = path.bases[depth]!;
      let index = path.at[depth]!;
      if (index < 0 || keyOf(view, base, index) + lengthOf(view, entryAt(base, index)) <= block) index++;
      if (index >= path.entries(depth)) {
        block = Math.max(next, block + 1);
        continue;
      }
      const at = entryAt(base, index);
      const first = keyOf(view, base, index);
      if (first >= to) break;
      const end = first + lengthOf(view, at);
      const low = Math.max(first, block);
      const high = Math.min(end, to);
      path.markDirty(depth);
      freed(startOf(view, at) + low - first, high - low);
      if (low === first && high === end) {
        shiftEntries(view, base, index, -1);
        if (path.entries(depth) === 0) dropNode(path, depth, freed);
        else if (index === 0) path.fixKeys(depth);
      } else this.#cut(ref, index, low, high);
      block = high;
    }
    joinNodes(path, ref, from, freed);
    collapseRoot(path, ref, freed);
  }

  /** Makes what was unwritten in `[from, to)` written; cutting takes `growth` of two entries. */
  convert(ref: InodeRef, from: number, to: number): void {
    const path = this.#path;
    for (let block = from; block < to;) {
      path.descend(ref, block, true);
      path.renew();
      const { depth, next } = path;
      const view = path.views[depth]!;
      const base = path.bases[depth]!;
      let index = path.at[depth]!;
      if (index < 0 || keyOf(view, base, index) + lengthOf(view, entryAt(base, index)) <= block) index++;
      if (index >= path.entries(depth)) {
        block = Math.max(next, block + 1);
        continue;
      }
      const at = entryAt(base, index);
      const first = keyOf(view, base, index);
      if (first >= to) break;
      const length = lengthOf(view, at);
      const end = first + length;
      const low = Math.max(first, block);
      const high = Math.min(end, to);
      block = high;
      if (!isUnwritten(view, at)) continue;
      path.markDirty(depth);
      if (low === first && high === end) {
        setLength(view, at, length, false);
        this.#joinNext(index);
        if (index > 0) this.#joinNext(index - 1);
        continue;
      }
      const start = startOf(view, at) + low - first;
      this.#cut(ref, index, low, high);
      this.insert(ref, low, start, high - low, false);
    }
  }

  /** After insertions and conversions around a block that have joined extents: joins nodes and takes levels away that this has made needless. */
  compact(ref: InodeRef, block: number, freed: Freed): void {
    if (!this.#hasJoined) return;
    this.#hasJoined = false;
    joinNodes(this.#path, ref, block, freed);
    collapseRoot(this.#path, ref, freed);
  }

  /** Every node but the root, and every extent that reaches into `[from, to)`, in the order of the file. */
  walk(ref: InodeRef, from: number, to: number, node: (block: number) => void, extent: Freed): void {
    const path = this.#path;
    const last: number[] = [];
    for (let block = from; block < to;) {
      path.descend(ref, block, true);
      const { depth, next } = path;
      for (let level = 1; level <= depth; level++) {
        const { index } = path.blocks[level]!;
        if (last[level] !== index) node(index);
        last[level] = index;
      }
      const view = path.views[depth]!;
      const base = path.bases[depth]!;
      const entries = path.entries(depth);
      for (let index = Math.max(0, path.at[depth]!); index < entries; index++) {
        const at = entryAt(base, index);
        const first = keyOf(view, base, index);
        const low = Math.max(first, block);
        const high = Math.min(first + lengthOf(view, at), to);
        if (low < high) extent(startOf(view, at) + low - first, high - low);
      }
      block = Math.max(next, block + 1);
    }
  }

  /** Maps as much as goes into one extent, or makes room and maps nothing; returns the blocks that were mapped. */
  #insertSome(ref: InodeRef, block: number, start: number, length: number, unwritten: boolean): number {
    const path = this.#path;
    const most = unwritten ? MAX_UNWRITTEN : MAX_WRITTEN;
    path.descend(ref, block, true);
    path.renew();
    const { depth } = path;
    const view = path.views[depth]!;
    const base = path.bases[depth]!;
    const before = path.at[depth]!;
    if (before >= 0) {
      const at = entryAt(base, before);
      const known = lengthOf(view, at);
      const continues =
        isUnwritten(view, at) === unwritten &&
        keyOf(view, base, before) + known === block &&
        startOf(view, at) + known === start;
      if (continues && known < most) {
        const taken = Math.min(most - known, length);
        setLength(view, at, known + taken, unwritten);
        if (taken === length) this.#joinNext(before);
        path.markDirty(depth);
        return taken;
      }
    }
    const index = before + 1;
    const taken = Math.min(most, length);
    if (taken === length && index < path.entries(depth)) {
      const at = entryAt(base, index);
      const sum = length + lengthOf(view, at);
      const leads =
        isUnwritten(view, at) === unwritten &&
        keyOf(view, base, index) === block + length &&
        startOf(view, at) === start + length;
      if (leads && sum <= most) {
        writeExtent(view, at, block, start, sum, unwritten);
        if (index === 0) path.fixKeys(depth);
        path.markDirty(depth);
        return length;
      }
    }
    if (path.isFull(depth)) {
      this.#makeRoom(ref);
      return 0;
    }
    shiftEntries(view, base, index, 1);
    writeExtent(view, entryAt(base, index), block, start, taken, unwritten);
    if (index === 0) path.fixKeys(depth);
    path.markDirty(depth);
    return taken;
  }

  /** Takes `[low, high)`, not all of it, out of an extent of the leaf on the path, which is dirty. */
  #cut(ref: InodeRef, index: number, low: number, high: number): void {
    const path = this.#path;
    const { depth } = path;
    const view = path.views[depth]!;
    const base = path.bases[depth]!;
    const at = entryAt(base, index);
    const first = keyOf(view, base, index);
    const end = first + lengthOf(view, at);
    const start = startOf(view, at);
    const unwritten = isUnwritten(view, at);
    if (low > first) {
      setLength(view, at, low - first, unwritten);
      if (high < end) this.insert(ref, high, start + high - first, end - high, unwritten);
      return;
    }
    writeExtent(view, at, high, start + high - first, end - high, unwritten);
    if (index === 0) path.fixKeys(depth);
  }

  /** Joins an extent of the leaf on the path with the one behind it, if they are one. */
  #joinNext(index: number): void {
    const path = this.#path;
    const { depth } = path;
    if (index + 1 >= path.entries(depth)) return;
    const view = path.views[depth]!;
    const base = path.bases[depth]!;
    const at = entryAt(base, index);
    const behind = entryAt(base, index + 1);
    const length = lengthOf(view, at);
    const unwritten = isUnwritten(view, at);
    const sum = length + lengthOf(view, behind);
    if (
      isUnwritten(view, behind) !== unwritten ||
      keyOf(view, base, index) + length !== keyOf(view, base, index + 1) ||
      startOf(view, at) + length !== startOf(view, behind) ||
      sum > (unwritten ? MAX_UNWRITTEN : MAX_WRITTEN)
    ) {
      return;
    }
    setLength(view, at, sum, unwritten);
    shiftEntries(view, base, index + 1, -1);
    this.#hasJoined = true;
  }

  /** Splits the uppermost of the full nodes above the leaf on the path, which is full itself. Changes the path's meaning. */
  #makeRoom(ref: InodeRef): void {
    const path = this.#path;
    let level = path.depth;
    while (level > 0 && path.isFull(level - 1)) level--;
    if (level === 0) {
      this.#growRoot(ref);
      return;
    }
    const view = path.views[level]!;
    const base = path.bases[level]!;
    const entries = path.entries(level);
    // Who appends leaves full nodes behind.
    const kept = path.at[level] === entries - 1 ? entries - 1 : entries >>> 1;
    const node = path.create(this.#take());
    copyEntries(view, base, kept, node.view, 0, entries - kept);
    writeHeader(node.view, 0, entries - kept, path.nodeCapacity, path.depth - level);
    ExtentHeader.eh_entries.set(view, base, kept);
    path.markDirty(level);
    const above = path.views[level - 1]!;
    const index = path.at[level - 1]! + 1;
    shiftEntries(above, path.bases[level - 1]!, index, 1);
    writeIndex(above, entryAt(path.bases[level - 1]!, index), keyOf(node.view, 0, 0), node.index);
    path.markDirty(level - 1);
  }

  /** The entries of the root move into a node, the only one that the root then leads to. */
  #growRoot(ref: InodeRef): void {
    const path = this.#path;
    const { depth } = path;
    if (depth >= MAX_EXTENT_DEPTH) {
      throw new FsError('EFBIG', {
        syscall: 'write',
        detail: `the extents of inode ${ref.number} need more than ${MAX_EXTENT_DEPTH} levels`,
      });
    }
    const view = path.views[0]!;
    const base = path.bases[0]!;
    const entries = path.entries(0);
    const node = path.create(this.#take());
    copyEntries(view, base, 0, node.view, 0, entries);
    writeHeader(node.view, 0, entries, path.nodeCapacity, depth);
    writeHeader(view, base, 1, ROOT_CAPACITY, depth + 1);
    writeIndex(view, entryAt(base, 0), keyOf(node.view, 0, 0), node.index);
  }

  #take(): number {
    const block = this.spare.pop();
    if (block === undefined) throw new FsError('ENOSPC', { syscall: 'write' });
    return block;
  }
}
