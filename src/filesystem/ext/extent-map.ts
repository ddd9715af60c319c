import { FsError } from '../../errors.ts';
import type { BlockAllocator, BlockRun } from './block-allocator.ts';
import { ClusterPlan } from './cluster-plan.ts';
import { clustersOf, roundDown, roundUp } from './clusters.ts';
import { MAX_FILE_BLOCKS, MAX_WRITTEN } from './extent-node.ts';
import { beginTree, hasEmptyTree } from './extent-root.ts';
import { type ExtentRun, ExtentTree } from './extent-tree.ts';
import type { MappedRun } from './file-map.ts';
import { InodeFlag } from './inode.ts';
import type { InodeRef, InodeTable } from './inode-table.ts';
import { RunCollector } from './run-collector.ts';
import type { Volume } from './volume.ts';

/** What `ExtentMap` maps in one go, in blocks. */
interface Placing {
  /** Of the file. */
  readonly total: number;
  /** From the allocator. */
  readonly taken: number;
  /** Where nodes go when nothing was taken. */
  readonly goal: number;
  readonly unwritten: boolean;
}

/** The blocks of files with extents: what `BlockMap` is to the others. All blocks, those of nodes too, are taken before the first change. */
export class ExtentMap {
  readonly #volume: Volume;
  readonly #inodes: InodeTable;
  readonly #allocator: BlockAllocator;
  readonly #tree: ExtentTree;
  readonly #run: ExtentRun = { start: 0, length: 0, unwritten: false };
  /** Holes of the range at hand: first block and length of each. */
  readonly #holes: number[] = [];
  #hasUnwritten = false;
  /** Blocks a cluster; with more than one, holes are mapped by a plan. */
  readonly #ratio: number;
  readonly #plan: ClusterPlan | undefined;

  constructor(volume: Volume, inodes: InodeTable, allocator: BlockAllocator) {
    this.#volume = volume;
    this.#inodes = inodes;
    this.#allocator = allocator;
    this.#tree = new ExtentTree(volume);
    this.#ratio = volume.geometry.blocksPerCluster;
    this.#plan = this.#ratio === 1 ? undefined : new ClusterPlan(this.#tree, this.#ratio);
  }

  /** Blocks that a file can have: without `huge_file`, `i_blocks` counts up to 2^32 sectors. */
  get maxBlocks(): number {
    const { sectorsPerBlock } = this.#volume.geometry;
    return this.#inodes.countsHugeFiles ? MAX_FILE_BLOCKS : Math.floor(MAX_FILE_BLOCKS / sectorsPerBlock) - 1;
  }

  /** Gives a new inode an empty tree. */
  plant(ref: InodeRef): void {
    this.#inodes.setFlag(ref, InodeFlag.extents, true);
    this.#tree.plant(ref);
  }

  /** Fills `run` with the blocks from `block` on that lie in one piece, or hold nothing, at most `limit`. */
  map(ref: InodeRef, block: number, limit: number, run: MappedRun): void {
    const found = this.#run;
    this.#tree.look(ref, block, limit, found, false);
    run.start = found.unwritten ? 0 : found.start;
    run.length = found.length;
    if (run.start === 0) return;
    this.#volume.checkPointer(run.start, ref.number, 'ee_start');
    this.#volume.checkPointer(run.start + run.length - 1, ref.number, 'ee_start');
  }

  /** Where a block would go on what lies before it, or 0. */
  goal(ref: InodeRef, block: number): number {
    return this.#tree.goal(ref, block);
  }

  /** Blocks that mapping the holes of the range takes at most, nodes included. */
  missing(ref: InodeRef, from: number, count: number): number {
    const total = this.#scan(ref, from, count);
    if (total === 0) return 0;
    const first = this.#holes[0]!;
    const last = from + count - 1;
    const nodes = this.#tree.growth(ref, first, last, total) + this.#tree.renewalCount(ref, first, last);
    if (this.#plan === undefined) return total + nodes;
    this.#plan.make(ref, this.#holes);
    return (this.#plan.clusterCount + nodes) * this.#ratio;
  }

  /** Maps every hole of the range and makes what is unwritten there written; `wanted` as for the allocator. */
  provide(ref: InodeRef, from: number, count: number, goal: number, wanted: number): void {
    const total = this.#scan(ref, from, count);
    const convert = this.#hasUnwritten;
    if (total > 0) this.#fill(ref, total, goal, wanted, false);
    if (convert) this.#convert(ref, from, from + count);
    this.#compact(ref, from);
  }

  /** As `FileMap.begin`. Nearly every file gets one run: that takes none of what a tree takes. */
  begin(ref: InodeRef, count: number, goal: number, run: MappedRun): void {
    if (this.#plan === undefined && hasEmptyTree(ref)) {
      const runs = this.#allocator.allocate(goal, count);
      const { start, length } = runs[0]!;
      if (runs.length === 1 && length <= MAX_WRITTEN) {
        beginTree(ref, start, length);
        this.#inodes.addBlocks(ref, length);
        run.start = start;
        run.length = length;
        return;
      }
      this.#holes.length = 0;
      this.#holes.push(0, count);
      this.#place(ref, runs, { total: count, taken: count, goal, unwritten: false });
      this.#compact(ref, 0);
    } else this.provide(ref, 0, count, goal, count);
    this.map(ref, 0, count, run);
  }

  /** Maps every hole of the range to blocks that read as zeros until they are written. */
  preallocate(ref: InodeRef, from: number, count: number, goal: number): void {
    const total = this.#scan(ref, from, count);
    if (total > 0) this.#fill(ref, total, goal, total, true);
    this.#compact(ref, from);
  }

  /** Unmaps and frees everything from block `from` on. All of it is checked before anything changes. */
  truncate(ref: InodeRef, from: number): void {
    this.requireFreeable(ref, from);
    const renewalCount = from === 0 ? 0 : this.#tree.renewalCount(ref, from, from);
    const goal = this.#volume.geometry.firstDataBlock;
    const renewals = this.#reserve(renewalCount, goal, this.#tree.renewals) ?? 0;
    this.#remove(ref, from, Number.POSITIVE_INFINITY);
    this.#keepNodes(ref, 0, renewals);
  }

  /** Unmaps and frees a range. False when there is no space for the node that it takes to cut an extent in two: nothing has changed then. */
  punch(ref: InodeRef, from: number, count: number): boolean {
    this.#requireFreeable(ref, from, from + count);
    const cut = this.#tree.extentOf(ref, from);
    const isCut = cut !== undefined && cut.first < from && cut.first + cut.run.length > from + count;
    const goal = cut?.run.start ?? this.#volume.geometry.firstDataBlock;
    const added = this.#reserve(isCut ? this.#tree.growth(ref, from, from, 1) : 0, goal);
    if (added === undefined) return false;
    const last = from + count - 1;
    const renewalCount = this.#tree.renewalCount(ref, from, from) + this.#tree.renewalCount(ref, last, last);
    const renewals = this.#reserve(renewalCount, goal, this.#tree.renewals) ?? 0;
    this.#remove(ref, from, from + count);
    this.#keepNodes(ref, added, renewals);
    return true;
  }

  /** All blocks from block `from` of the file on; CorruptImageError when they cannot all be given back. */
  requireFreeable(ref: InodeRef, from: number): readonly BlockRun[] {
    return this.#requireFreeable(ref, from, Number.POSITIVE_INFINITY);
  }

  #requireFreeable(ref: InodeRef, from: number, to: number): readonly BlockRun[] {
    const { blockCount } = this.#volume.geometry;
    const collector = new RunCollector(blockCount);
    this.#tree.walk(
      ref,
      from,
      to,
      (block) => collector.add(block, ref.number),
      (start, length) => collector.addRun(start, length, ref.number),
    );
    const runs = collector.finish();
    this.#allocator.requireUsed(runs, ref.number);
    return runs;
  }

  /** Notes the holes of a range, and whether some of it is unwritten; returns how many blocks the holes have. */
  #scan(ref: InodeRef, from: number, count: number): number {
    const holes = this.#holes;
    const run = this.#run;
    const end = from + count;
    let total = 0;
    holes.length = 0;
    this.#hasUnwritten = false;
    for (let block = from; block < end; block += run.length) {
      this.#tree.look(ref, block, end - block, run, true);
      if (run.unwritten) this.#hasUnwritten = true;
      if (run.start !== 0) continue;
      total += run.length;
      // A hole that goes on in the next leaf is one.
      if (holes.length > 0 && holes.at(-2)! + holes.at(-1)! === block) holes[holes.length - 1]! += run.length;
      else holes.push(block, run.length);
    }
    return total;
  }

  /** Maps the holes that were noted. */
  #fill(ref: InodeRef, total: number, goal: number, wanted: number, unwritten: boolean): void {
    const plan = this.#plan;
    const taken = plan === undefined ? total : this.#planClusters(plan, ref);
    const most = Math.max(taken, roundUp(wanted, this.#ratio));
    const runs = taken === 0 ? [] : this.#allocator.allocate(goal, taken, most);
    this.#place(ref, runs, { total, taken, goal, unwritten });
  }

  /** Maps the holes that were noted, which have `total` blocks, to `runs`, which have `taken`. */
  #place(ref: InodeRef, runs: readonly BlockRun[], { total, taken, goal, unwritten }: Placing): void {
    const holes = this.#holes;
    const plan = this.#plan;
    const parts = plan === undefined ? holes.length / 2 : plan.pieceCount;
    const pieces = parts + Math.max(1, runs.length) - 1 + Math.floor(total / MAX_WRITTEN);
    const last = runs.at(-1) ?? { start: goal, length: 0 };
    let added: number | undefined;
    let renewals: number | undefined;
    try {
      const end = holes.at(-2)! + holes.at(-1)! - 1;
      const behind = Math.min(last.start + last.length, this.#volume.geometry.blockCount - 1);
      const renewalCount = this.#tree.renewalCount(ref, holes[0]!, end);
      renewals = this.#reserve(renewalCount, behind, this.#tree.renewals);
      if (renewals !== undefined)
        added = this.#reserve(this.#tree.growth(ref, holes[0]!, end, pieces), behind);
    } finally {
      if (added === undefined) {
        this.#keepNodes(ref, 0, renewals ?? 0);
        for (const run of runs) this.#allocator.giveBack(run.start, run.length);
      }
    }
    if (added === undefined || renewals === undefined) throw new FsError('ENOSPC', { syscall: 'write' });
    if (plan === undefined) this.#insert(ref, runs, unwritten);
    else plan.fill(runs, (block, start, length) => this.#tree.insert(ref, block, start, length, unwritten));
    this.#inodes.addBlocks(ref, taken);
    this.#keepNodes(ref, added, renewals);
  }

  /** New clusters for the holes that were noted, in blocks. ENOSPC while a place in a cluster that the file has already must not be used yet. */
  #planClusters(plan: ClusterPlan, ref: InodeRef): number {
    const { held } = this.#volume;
    plan.make(ref, this.#holes);
    if (plan.reuses((start, length) => held.hasWithin(start, length)))
      throw new FsError('ENOSPC', { syscall: 'write' });
    return plan.clusterCount * this.#ratio;
  }

  /** Maps the holes that were noted to the blocks of `runs`, in their order. */
  #insert(ref: InodeRef, runs: readonly BlockRun[], unwritten: boolean): void {
    const holes = this.#holes;
    let hole = 0;
    let filled = 0;
    for (const run of runs) {
      for (let used = 0; used < run.length;) {
        const length = Math.min(run.length - used, holes[hole + 1]! - filled);
        this.#tree.insert(ref, holes[hole]! + filled, run.start + used, length, unwritten);
        used += length;
        filled += length;
        if (filled === holes[hole + 1]) {
          hole += 2;
          filled = 0;
        }
      }
    }
  }

  /** Makes what is unwritten in the range written. Without space for nodes, whole extents are written with zeros instead, as far as the file goes. */
  #convert(ref: InodeRef, from: number, to: number): void {
    this.#inodes.markDirty(ref);
    this.#volume.requireFlush();
    const head = this.#tree.extentOf(ref, from);
    const tail = this.#tree.extentOf(ref, to - 1);
    const goal = head?.run.start ?? tail?.run.start ?? 0;
    const added = this.#reserve(this.#tree.growth(ref, from, to - 1, 2), goal);
    if (added !== undefined) {
      const renewals =
        this.#reserve(this.#tree.renewalCount(ref, from, to - 1), goal, this.#tree.renewals) ?? 0;
      this.#tree.convert(ref, from, to);
      this.#keepNodes(ref, added, renewals);
      return;
    }
    let first = from;
    if (head?.run.unwritten === true) {
      first = head.first;
      this.#zero(head.run.start, from - first);
    }
    let last = to;
    let rest = 0;
    if (tail?.run.unwritten === true) {
      const end = tail.first + tail.run.length;
      last = Math.min(end, Math.max(to, Math.ceil(this.#inodes.size(ref) / this.#volume.geometry.blockSize)));
      this.#zero(tail.run.start + to - tail.first, last - to);
      rest = end - last;
    }
    // Behind the end of a file nothing is written. What was taken ahead there needs an entry of its own now, or it is given back.
    const spare = rest > 0 ? this.#reserve(this.#tree.growth(ref, last, last, 1), goal) : 0;
    if (spare === undefined) {
      this.#requireFreeable(ref, last, last + rest);
      this.#remove(ref, last, last + rest);
    }
    this.#tree.convert(ref, first, last);
    this.#keepNodes(ref, spare ?? 0, 0);
  }

  #zero(start: number, count: number): void {
    if (count === 0) return;
    const { data, geometry } = this.#volume;
    data.zero(start * geometry.blockSize, count * geometry.blockSize);
  }

  #remove(ref: InodeRef, from: number, to: number): void {
    if (this.#plan !== undefined) {
      this.#removeClusters(this.#plan, ref, from, to);
      return;
    }
    const collector = new RunCollector(this.#volume.geometry.blockCount);
    let total = 0;
    this.#tree.remove(ref, from, to, (start, length) => {
      total += length;
      collector.addRun(start, length, ref.number);
    });
    this.#inodes.addBlocks(ref, -total);
    for (const run of collector.finish()) this.#allocator.free(run.start, run.length);
  }

  /** A cluster goes with the last of its blocks that is mapped: those at the edges may stay. */
  #removeClusters(plan: ClusterPlan, ref: InodeRef, from: number, to: number): void {
    const ratio = this.#ratio;
    const { held } = this.#volume;
    const before = plan.clusterOf(ref, roundDown(from, ratio), from);
    const behind = to === Number.POSITIVE_INFINITY ? 0 : plan.clusterOf(ref, to, roundUp(to, ratio));
    const gone: BlockRun[] = [];
    this.#tree.remove(ref, from, to, (start, length) => {
      let first = start;
      let end = start + length;
      for (const kept of [before, behind]) {
        if (kept === 0) continue;
        const keptEnd = kept + ratio;
        if (first < end && first >= kept && first < keptEnd) {
          held.holdWithin(first, Math.min(end, keptEnd) - first);
          first = Math.min(end, keptEnd);
        }
        if (first < end && end > kept && end <= keptEnd) {
          held.holdWithin(kept, end - kept);
          end = kept;
        }
      }
      if (first < end) gone.push({ start: first, length: end - first });
    });
    const clusters = clustersOf(gone, ratio);
    this.#inodes.addBlocks(ref, -clusters.reduce((sum, { length }) => sum + length, 0));
    for (const run of clusters) this.#allocator.free(run.start, run.length);
  }

  /** Lets go of nodes that joined extents have made needless. */
  #compact(ref: InodeRef, block: number): void {
    this.#tree.compact(ref, block, (start, length) => {
      this.#inodes.addBlocks(ref, -length * this.#ratio);
      this.#allocator.free(start, length);
    });
  }

  /** Takes blocks for nodes, new ones or such as go on elsewhere; returns how many, or undefined when there is no space. */
  #reserve(count: number, goal: number, spare: number[] = this.#tree.spare): number | undefined {
    if (count === 0) return 0;
    try {
      spare.push(...this.#allocator.allocateSingles(goal, count).reverse());
    } catch (error) {
      if (error instanceof FsError && error.code === 'ENOSPC') return undefined;
      throw error;
    }
    return count;
  }

  /** Counts the nodes that were needed of those reserved, gives the others back, and frees those that went on elsewhere. */
  #keepNodes(ref: InodeRef, reserved: number, reservedRenewals: number): void {
    const { spare, renewals, renewed } = this.#tree;
    const left = spare.length + renewals.length;
    const added = reserved + reservedRenewals - left - renewed.length;
    if (added !== 0) this.#inodes.addBlocks(ref, added * this.#ratio);
    for (const block of spare) this.#allocator.giveBack(block, 1);
    for (const block of renewals) this.#allocator.giveBack(block, 1);
    for (const block of renewed) this.#allocator.free(block, 1);
    spare.length = 0;
    renewals.length = 0;
    renewed.length = 0;
  }
}
