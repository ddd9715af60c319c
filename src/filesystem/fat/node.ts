import { viewOf } from '../../bytes/struct.ts';
import { FsError } from '../../errors.ts';
import { DosAttribute, type NodeId } from '../file-system.ts';
import type { ClusterChain } from './cluster-chain.ts';
import type { Directory } from './directory.ts';
import { SLOT_SIZE, ShortEntry } from './directory-entry.ts';

/**
 * A file or a directory. What the entry on disk holds is read from and written to the bytes of the directory it lies
 * in; the root and unlinked nodes have 32 bytes of their own.
 */
export class FatNode {
  readonly id: NodeId;
  name = '';
  /** The 8.3 name as its bytes spell it. */
  shortName = '';
  /** The directory that holds the entry; undefined for the root and for what was unlinked. */
  parent: Directory | undefined;
  /** Slot of the short entry in `parent`. */
  slot = 0;
  /** Slots of the long name right before it. */
  longSlots = 0;
  /** Content, once it was asked for; of directories, too. */
  chain: ClusterChain | undefined;
  /** Entries, once they were asked for. */
  directory: Directory | undefined;
  retained = 0;
  /** Bytes that are going to be written: a hint for the place. */
  expectedSize = 0;
  /** Its file went when the device was written below the file system. */
  isStale = false;
  /** The chain was cut short since the last commit, and the table does not say so yet. */
  isCut = false;
  #ownEntry: DataView | undefined;
  readonly #isFat32: boolean;

  constructor(id: NodeId, isFat32: boolean) {
    this.id = id;
    this.#isFat32 = isFat32;
  }

  /** The bytes in which the entry lies, at `entryBase`. */
  get entryView(): DataView {
    return this.parent?.view ?? this.#ownEntry!;
  }

  get entryBase(): number {
    return this.parent === undefined ? 0 : this.slot * SLOT_SIZE;
  }

  get dosAttributes(): number {
    return ShortEntry.DIR_Attr.get(this.entryView, this.entryBase);
  }

  get isDirectory(): boolean {
    return (this.dosAttributes & DosAttribute.directory) !== 0;
  }

  /** Bytes; 0 for directories, whatever their entry says. */
  get size(): number {
    const { entryView, entryBase } = this;
    if ((ShortEntry.DIR_Attr.get(entryView, entryBase) & DosAttribute.directory) !== 0) return 0;
    return ShortEntry.DIR_FileSize.get(entryView, entryBase);
  }

  /** 0: none. */
  get firstCluster(): number {
    const { entryView, entryBase } = this;
    const low = ShortEntry.DIR_FstClusLO.get(entryView, entryBase);
    return this.#isFat32 ? ShortEntry.DIR_FstClusHI.get(entryView, entryBase) * 0x10000 + low : low;
  }

  set firstCluster(cluster: number) {
    const { entryView, entryBase } = this;
    ShortEntry.DIR_FstClusLO.set(entryView, entryBase, cluster & 0xffff);
    if (this.#isFat32) ShortEntry.DIR_FstClusHI.set(entryView, entryBase, cluster >>> 16);
  }

  /** Cuts the node off from its directory: `entry` is a copy of the 32 bytes. */
  detach(entry: Uint8Array): void {
    this.#ownEntry = viewOf(entry);
    this.parent = undefined;
  }

  /** The entry has changed. */
  touch(): void {
    this.parent?.storage.markDirty(this.slot, 1);
  }
}

/** Every node that has been seen and lives, by its number. Numbers are given out once. */
export class NodeTable {
  /** Another file system was written over the one of these nodes. */
  isReplaced = false;
  readonly #nodes = new Map<NodeId, FatNode>();
  readonly #isFat32: boolean;
  #nextId = 1;

  constructor(isFat32: boolean) {
    this.#isFat32 = isFat32;
  }

  add(): FatNode {
    const node = new FatNode(this.#nextId++ as NodeId, this.#isFat32);
    this.#nodes.set(node.id, node);
    return node;
  }

  get(id: NodeId, syscall: string): FatNode {
    const node = this.any(id, syscall);
    if (this.isReplaced) {
      throw new FsError('ESTALE', { syscall, detail: 'another file system was written over this one' });
    }
    if (node.isStale) {
      throw new FsError('ESTALE', { syscall, path: node.name, detail: 'the file is gone from the device' });
    }
    return node;
  }

  /** Also what is stale. */
  any(id: NodeId, syscall: string): FatNode {
    const node = this.#nodes.get(id);
    if (node === undefined) {
      throw new FsError('ENOENT', { syscall, detail: `node ${id} is not here, or no longer` });
    }
    return node;
  }

  remove(node: FatNode): void {
    this.#nodes.delete(node.id);
  }

  all(): Iterable<FatNode> {
    return this.#nodes.values();
  }

  clear(): void {
    this.#nodes.clear();
  }
}
