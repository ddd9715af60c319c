import type { AllocationTable } from './allocation-table.ts';
import type { ContentWriter } from './content-writer.ts';
import type { ClusterAllocator } from './cluster-allocator.ts';
import type { Directory } from './directory.ts';
import type { FatNode } from './node.ts';
import type { VolumeState } from './volume-state.ts';

/** Changes of entries between two commits, so that memory stays bounded. */
const MAX_CHANGES = 1 << 16;
/** Pages of the table, 64 KiB each. */
const MAX_DIRTY_PAGES = 128;

/**
 * Holds back changes of metadata and writes them in an order in which an interruption at any point loses space at
 * most: never are two chains crossed, never does an entry name clusters that are free or hold something else. With `|` for
 * a flush of the device, where there is something on both sides of it:
 *
 * 1. content of files; zeros in clusters by which directories grew went to the device before
 * 2. the dirty mark in the boot sector, once
 * 3. directories that no entry on the device names yet
 * 4. FATs: chains that came into being, and what chains grew by |
 * 5. FATs: the ends of former chains go on to that |
 * 6. the other directories, where what a rename brought still shows what was there before |
 * 7. `..` of directories that moved, then | what renames brought |
 * 8. FATs: the ends of chains that were cut |
 * 9. FATs: clusters that were cut off or freed; until here they were not given to anybody
 * 10. FSInfo
 */
export class WriteBack {
  /** Clusters that step 9 will free. */
  pendingClusters = 0;
  readonly #table: AllocationTable;
  readonly #allocator: ClusterAllocator;
  readonly #state: VolumeState;
  readonly #content: ContentWriter;
  readonly #flush: () => void;
  readonly #directories = new Set<Directory>();
  /** Directories whose own entry is not on the device. */
  readonly #fresh = new Set<Directory>();
  /** Nodes whose chain was cut, and the cluster that is to be its last. */
  #cuts: [node: FatNode, last: number][] = [];
  /** Runs: start, length, … */
  #frees: number[] = [];
  /** Nodes that have grown: what comes behind their first new cluster is no news to the device. */
  readonly #grown = new Set<FatNode>();
  /** From the cluster that ends a chain on the device to the one that it goes on with. */
  readonly #joins = new Map<number, number>();
  #changes = 0;
  #hasEverChanged = false;

  /** `flush` of the device. */
  constructor(
    table: AllocationTable,
    allocator: ClusterAllocator,
    state: VolumeState,
    content: ContentWriter,
    flush: () => void,
  ) {
    this.#flush = flush;
    this.#table = table;
    this.#allocator = allocator;
    this.#state = state;
    this.#content = content;
  }

  /** Nothing but the device differs from a volume that has just been opened. */
  get isClean(): boolean {
    return this.#directories.size === 0 && this.#table.dirtyPages === 0 && !this.hasPending;
  }

  get hasPending(): boolean {
    return this.#frees.length > 0 || this.#cuts.length > 0;
  }

  directoryChanged(directory: Directory): void {
    this.#directories.add(directory);
  }

  /** A directory that no entry on the device names yet. */
  isFresh(directory: Directory | undefined): boolean {
    return directory !== undefined && this.#fresh.has(directory);
  }

  directoryCreated(directory: Directory): void {
    this.#fresh.add(directory);
  }

  /** Nothing of a removed directory is written any more: its clusters will belong to others. */
  directoryRemoved(directory: Directory): void {
    this.#directories.delete(directory);
    this.#fresh.delete(directory);
  }

  /** The node's chain, whose last cluster was `before`, or 0, goes on with `next`. */
  grown(node: FatNode, before: number, next: number): void {
    if (this.#grown.has(node)) return;
    this.#grown.add(node);
    if (before !== 0) this.#joins.set(before, next);
  }

  /** The clusters in `runs` are no longer the node's; `last` is the last of those that it keeps, 0 when it keeps none. */
  cut(node: FatNode, last: number, runs: readonly number[]): void {
    if (last !== 0) {
      this.#cuts.push([node, last]);
      node.isCut = true;
    }
    for (let i = 0; i < runs.length; i += 2) {
      this.#frees.push(runs[i]!, runs[i + 1]!);
      this.pendingClusters += runs[i + 1]!;
    }
  }

  /** Something was changed since the volume was opened. */
  get hasEverChanged(): boolean {
    return this.#hasEverChanged;
  }

  /** Called after every change: commits when much has gathered. */
  changed(): void {
    this.#hasEverChanged = true;
    if (++this.#changes >= MAX_CHANGES || this.#table.dirtyPages >= MAX_DIRTY_PAGES) this.commit();
  }

  /** Writes everything, in the order above. After an error nothing is forgotten: the next call writes it again. */
  commit(): void {
    this.#changes = 0;
    this.#content.flush();
    if (this.isClean) return;
    this.#state.markDirty();
    for (const directory of this.#fresh) directory.storage.writeWithoutArrivals();
    this.#writeChains();
    if (this.#directories.size > 0) {
      this.#flush();
      for (const directory of this.#directories) directory.storage.writeWithoutArrivals();
      this.#writeArrivals();
    }
    this.#fresh.clear();
    this.#directories.clear();
    this.#grown.clear();
    if (this.hasPending) {
      this.#flush();
      this.#applyCuts();
      this.#applyFrees();
    }
    this.#state.writeHints(this.#allocator.cursor);
  }

  /** A former chain must not lead to clusters that the device takes for free. */
  #writeChains(): void {
    if (this.#joins.size > 0) {
      for (const before of this.#joins.keys()) this.#table.set(before, this.#table.codec.end);
      try {
        this.#table.writeDirty();
      } finally {
        for (const [before, next] of this.#joins) this.#table.set(before, next);
      }
      this.#flush();
    }
    this.#table.writeDirty();
    this.#joins.clear();
  }

  #writeArrivals(): void {
    const moved = [...this.#directories].filter(({ storage }) => storage.hasMoved);
    const arrivals = [...this.#directories].filter(({ storage }) => storage.hasArrivals);
    if (moved.length > 0) this.#flush();
    for (const directory of moved) directory.storage.writeDotDot();
    if (arrivals.length > 0) this.#flush();
    for (const directory of arrivals) directory.storage.writeArrivals();
  }

  /** No chain may go on to a cluster that the device takes for free. */
  #applyCuts(): void {
    if (this.#cuts.length === 0) return;
    for (const [node, last] of this.#cuts) {
      node.isCut = false;
      // From now on the table says the same.
      if (node.directory === undefined) node.chain = undefined;
      this.#table.set(last, this.#table.codec.end);
    }
    this.#cuts = [];
    this.#table.writeDirty();
    if (this.#frees.length > 0) this.#flush();
  }

  #applyFrees(): void {
    for (let i = 0; i < this.#frees.length; i += 2) {
      this.#table.free(this.#frees[i]!, this.#frees[i + 1]!);
      this.#allocator.freed(this.#frees[i]!);
      this.#state.freed(this.#frees[i + 1]!);
    }
    this.#frees = [];
    this.pendingClusters = 0;
    this.#table.writeDirty();
  }
}
