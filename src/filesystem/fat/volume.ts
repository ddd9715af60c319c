import { viewOf } from '../../bytes/struct.ts';
import type { Clock, Timestamp } from '../../bytes/time.ts';
import { type BlockDevice, zeroRange } from '../../device/block-device.ts';
import { CorruptImageError, FsError } from '../../errors.ts';
import { DosAttribute, type NodeId } from '../file-system.ts';
import { AllocationTable } from './allocation-table.ts';
import { ClusterAllocator } from './cluster-allocator.ts';
import { ClusterChain } from './cluster-chain.ts';
import type { CodePage } from './code-page.ts';
import { MAX_SLOTS, SLOT_SIZE, ShortEntry } from './directory-entry.ts';
import { Directory } from './directory.ts';
import { DirectoryStorage } from './directory-storage.ts';
import { ContentWriter } from './content-writer.ts';
import { type FatGeometry, clusterOffset } from './geometry.ts';
import { type FatNode, NodeTable } from './node.ts';
import { encodeTime } from './times.ts';
import { VolumeState } from './volume-state.ts';
import { WriteBack } from './write-back.ts';

/** Longest file, bytes. */
export const MAX_FILE_SIZE = 0xffffffff;
/** Chains of files that are remembered; the others are read from the table again. */
const MAX_CHAINS = 256;

export interface VolumeOptions {
  readonly readOnly: boolean;
  readonly clock: Clock;
  readonly utcOffsetMinutes: number;
  readonly codePage: CodePage;
}

/** What an open volume is made of, and what files and directories have in common: clusters, chains, entries. */
export class FatVolume {
  readonly device: BlockDevice;
  readonly geometry: FatGeometry;
  readonly options: VolumeOptions;
  readonly table: AllocationTable;
  readonly allocator: ClusterAllocator;
  readonly state: VolumeState;
  readonly content: ContentWriter;
  readonly writeBack: WriteBack;
  readonly nodes: NodeTable;
  readonly root: FatNode;
  /** Clusters of the directories that were read: none may belong to two, else a walk would never end. */
  readonly #directoryClusters = new Set<number>();
  /** For the entry that is being made. */
  readonly scratchEntry: { readonly bytes: Uint8Array; readonly view: DataView };
  readonly #recentChains: (FatNode | undefined)[] = [];
  #nextRecent = 0;

  constructor(device: BlockDevice, geometry: FatGeometry, bootSector: Uint8Array, options: VolumeOptions) {
    this.device = device;
    this.geometry = geometry;
    this.options = options;
    this.table = new AllocationTable(device, geometry);
    this.state = new VolumeState(device, geometry, this.table, viewOf(bootSector));
    this.allocator = new ClusterAllocator(this.table, this.state.startCluster);
    this.content = new ContentWriter(device);
    this.writeBack = new WriteBack(this.table, this.allocator, this.state, this.content, () =>
      device.flush(),
    );
    this.nodes = new NodeTable(geometry.type === 'fat32');
    this.root = this.nodes.add();
    const entry = new Uint8Array(SLOT_SIZE);
    ShortEntry.DIR_Attr.set(viewOf(entry), 0, DosAttribute.directory);
    this.root.detach(entry);
    const bytes = new Uint8Array(SLOT_SIZE);
    this.scratchEntry = { bytes, view: viewOf(bytes) };
    this.root.firstCluster = geometry.rootCluster;
  }

  /** Another file system was written over this one. */
  get isReplaced(): boolean {
    return this.nodes.isReplaced;
  }

  now(): Timestamp {
    return this.options.clock();
  }

  /** The entries of a directory; ENOTDIR for anything else. */
  directory(id: NodeId, syscall: string): Directory {
    return this.directoryOf(this.nodes.get(id, syscall), syscall);
  }

  /** `former`: see Directory.load. */
  directoryOf(node: FatNode, syscall: string, former?: Map<string, FatNode>): Directory {
    if (node.directory !== undefined) return node.directory;
    if (!node.isDirectory) throw new FsError('ENOTDIR', { syscall, path: node.name });
    const isFixedRoot = node === this.root && this.geometry.rootSize > 0;
    const chain = isFixedRoot ? undefined : this.#readDirectoryChain(node);
    const directory = this.addDirectory(node, chain);
    directory.storage.load();
    directory.load(this.nodes, former);
    return directory;
  }

  /** A directory whose clusters hold zeros or are still to be read. */
  addDirectory(node: FatNode, chain: ClusterChain | undefined): Directory {
    const storage = new DirectoryStorage(this.device, this.geometry, chain, () =>
      this.writeBack.directoryChanged(directory),
    );
    const directory: Directory = new Directory(node, storage, this.options.codePage);
    if (chain !== undefined) this.#claim(chain);
    node.chain = chain;
    node.directory = directory;
    return directory;
  }

  #readDirectoryChain(node: FatNode): ClusterChain {
    const { firstCluster } = node;
    if (firstCluster === 0) throw this.#badFirstCluster(node, 'the first cluster of a directory');
    const limit = Math.ceil((MAX_SLOTS * SLOT_SIZE) / this.geometry.clusterSize);
    const chain = this.#readChain(node, limit);
    for (let run = 0; run < chain.runCount; run++) {
      const start = chain.runStart(run);
      for (let cluster = start; cluster < start + chain.runLength(run); cluster++) {
        if (this.#directoryClusters.has(cluster)) {
          throw new CorruptImageError({
            structure: 'FAT',
            field: `chain of directory "${node.name}"`,
            offset: clusterOffset(this.geometry, cluster),
            found: `cluster ${cluster}, which is part of another directory`,
            expected: 'clusters of its own',
          });
        }
      }
    }
    return chain;
  }

  #claim(chain: ClusterChain): void {
    for (let run = 0; run < chain.runCount; run++) {
      const start = chain.runStart(run);
      for (let i = 0; i < chain.runLength(run); i++) this.#directoryClusters.add(start + i);
    }
  }

  /** Adds one cluster of zeros to a directory; ENOSPC when it cannot grow. */
  growDirectory(directory: Directory, syscall: string): void {
    const { storage } = directory;
    const { chain } = storage;
    const path = directory.node.name;
    if (chain === undefined) {
      throw new FsError('ENOSPC', {
        syscall,
        detail: `the root directory is full: it has room for ${storage.slotCount} entries`,
      });
    }
    if (storage.slotCount >= MAX_SLOTS) {
      throw new FsError('ENOSPC', {
        syscall,
        path,
        detail: `the directory is full: it has ${MAX_SLOTS} entries`,
      });
    }
    const [cluster] = this.findClusters(1, chain.lastCluster + 1, 1, syscall);
    zeroRange(this.device, clusterOffset(this.geometry, cluster!), this.geometry.clusterSize);
    this.extendChain(directory.node, chain, [cluster!, 1]);
    this.#directoryClusters.add(cluster!);
    storage.grown();
  }

  /** Free slots for a name, growing the directory where that is needed; ENOSPC when it cannot. */
  reserveSlots(
    directory: Directory,
    count: number,
    syscall: string,
    leaving: readonly FatNode[] = [],
  ): number {
    for (;;) {
      const slot =
        directory.findSlots(count) ?? (leaving.length > 0 ? directory.findSlots(count, leaving) : undefined);
      if (slot !== undefined) return slot;
      this.growDirectory(directory, syscall);
    }
  }

  /** The clusters of a file, read from the table once. */
  chainOf(node: FatNode): ClusterChain {
    if (node.chain !== undefined) return node.chain;
    const { clusterSize } = this.geometry;
    this.#remember(node);
    node.chain = this.#readChain(node, Math.ceil(MAX_FILE_SIZE / clusterSize));
    return node.chain;
  }

  /** Forgets the chains of all files, and what clusters directories have. */
  forgetChains(): void {
    this.#recentChains.fill(undefined);
    this.#directoryClusters.clear();
  }

  /** The chain that was read longest ago is forgotten, unless the table does not hold it yet; directories keep theirs. */
  #remember(node: FatNode): void {
    const oldest = this.#recentChains[this.#nextRecent];
    if (oldest !== undefined && !oldest.isCut && oldest.directory === undefined) oldest.chain = undefined;
    this.#recentChains[this.#nextRecent] = node;
    this.#nextRecent = (this.#nextRecent + 1) % MAX_CHAINS;
  }

  #readChain(node: FatNode, limit: number): ClusterChain {
    const chain = new ClusterChain();
    const { table } = this;
    const first = node.firstCluster;
    if (first === 0) return chain;
    if (first < 2 || first > table.lastCluster) {
      throw this.#badFirstCluster(node, `a cluster from 2 to ${table.lastCluster}`);
    }
    const max = Math.min(limit, table.clusterCount);
    let start = first;
    let length = 1;
    for (let cluster = first; ;) {
      const next = table.next(cluster);
      if (next === 0) break;
      if (chain.count + length >= max) {
        throw new CorruptImageError({
          structure: 'FAT',
          field: `chain of "${node.name}" from cluster ${first}`,
          found: `longer than ${max} clusters`,
          expected: 'an end; it may run in a circle',
        });
      }
      if (next === cluster + 1) length++;
      else {
        chain.append(start, length);
        start = next;
        length = 1;
      }
      cluster = next;
    }
    chain.append(start, length);
    return chain;
  }

  #badFirstCluster(node: FatNode, expected: string): CorruptImageError {
    return new CorruptImageError({
      structure: 'directory entry',
      field: `DIR_FstClus of "${node.name}"`,
      found: `${node.firstCluster}`,
      expected,
    });
  }

  /** Free clusters as runs (start, length, …), which stay free until `extendChain`; ENOSPC when there are too few. */
  findClusters(count: number, preferred: number, wish: number, syscall: string): number[] {
    let runs = this.allocator.find(count, preferred, wish);
    if (runs === undefined && this.writeBack.pendingClusters > 0) {
      // What was freed lately can be used as soon as nothing on the device names it.
      this.writeBack.commit();
      runs = this.allocator.find(count, preferred, wish);
    }
    if (runs !== undefined) return runs;
    const free = this.state.freeClusters() * this.geometry.clusterSize;
    throw new FsError('ENOSPC', {
      syscall,
      detail: `no space left: ${count * this.geometry.clusterSize} bytes are needed, ${free} are free`,
    });
  }

  /** Puts free clusters at the end of a chain, in the table and in the node's entry. */
  extendChain(node: FatNode, chain: ClusterChain, runs: readonly number[]): void {
    const before = chain.lastCluster;
    this.writeBack.grown(node, before, runs[0]!);
    for (let i = runs.length - 2; i >= 0; i -= 2) {
      this.table.link(runs[i]!, runs[i + 1]!, runs[i + 2] ?? 0);
      this.state.allocated(runs[i + 1]!);
    }
    if (before === 0) {
      node.firstCluster = runs[0]!;
      node.touch();
    } else this.table.set(before, runs[0]!);
    for (let i = 0; i < runs.length; i += 2) chain.append(runs[i]!, runs[i + 1]!);
  }

  /** Keeps `count` clusters of a node. */
  shortenChain(node: FatNode, chain: ClusterChain, count: number): void {
    const removed = chain.cut(count);
    if (removed.length === 0) return;
    this.writeBack.cut(node, chain.lastCluster, removed);
    if (count === 0) {
      node.firstCluster = 0;
      node.touch();
    }
  }

  /** An unlinked node that nobody retains goes, with its clusters. */
  forget(node: FatNode): void {
    const { directory } = node;
    if (directory !== undefined) {
      this.writeBack.directoryRemoved(directory);
      this.#disclaim(node.chain!);
    }
    this.shortenChain(node, this.chainOf(node), 0);
    this.nodes.remove(node);
  }

  #disclaim(chain: ClusterChain): void {
    for (let run = 0; run < chain.runCount; run++) {
      const start = chain.runStart(run);
      for (let i = 0; i < chain.runLength(run); i++) this.#directoryClusters.delete(start + i);
    }
  }

  /** A directory's entries have changed. The root has no place for a time. */
  touchDirectory(directory: Directory, now: Timestamp = this.now()): void {
    if (directory.node !== this.root) this.stampModified(directory.node, now);
  }

  /** Sets DIR_WrtTime and DIR_WrtDate, and the archive bit of files. */
  stampModified(node: FatNode, now: Timestamp): void {
    const { entryView, entryBase } = node;
    const { date, time } = encodeTime(now, this.options.utcOffsetMinutes);
    ShortEntry.DIR_WrtDate.set(entryView, entryBase, date);
    ShortEntry.DIR_WrtTime.set(entryView, entryBase, time);
    const attributes = ShortEntry.DIR_Attr.get(entryView, entryBase);
    if ((attributes & DosAttribute.directory) === 0) {
      ShortEntry.DIR_Attr.set(entryView, entryBase, attributes | DosAttribute.archive);
    }
    node.touch();
  }
}
