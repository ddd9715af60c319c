import { struct, u32le, u8 } from '../../bytes/struct.ts';
import { type BlockSeal, type CachedBlock, WriteRank } from './block-cache.ts';
import { DIRECTORY_TAIL, INDEX_TAIL, checksummedEntriesEnd } from './checksum.ts';
import { directoryHash } from './directory-hash.ts';
import { DirectoryEntryHeader, entryLength, entrySize, isDotEntry, packEntries } from './directory-block.ts';
import { IncompatibleFeature, Superblock } from './superblock.ts';
import type { Volume } from './volume.ts';

/** `struct dx_root_info`, behind the entries `.` and `..` in block 0 (Linux Documentation/filesystems/ext4/directory.rst). */
export const IndexRootInfo = struct('dx_root_info', 8, {
  reserved_zero: u32le(0x00),
  hash_version: u8(0x04), // 0 to 2; which of them is signed says s_flags
  info_length: u8(0x05), // 8
  indirect_levels: u8(0x06), // 0: the root points at leaves
  unused_flags: u8(0x07), // bit 0 must be clear
});

const ROOT_INFO = 0x18;
/** Where the entries of the root and of a node begin: the first holds limit and count in place of a hash. */
const ROOT_ENTRIES = 0x20;
const NODE_ENTRIES = 0x08;
const ENTRY = 8;
const BLOCK_MASK = 0x0fff_ffff;
/** `s_flags`: hashes take bytes as unsigned. */
const UNSIGNED_HASH = 2;

/** What the index needs of a directory. */
export interface IndexedDirectory {
  /** Device blocks, by position in the directory. */
  readonly blocks: number[];
  /** Largest gap of each block. */
  readonly gaps: number[];
  /** Of its blocks. */
  readonly seal: BlockSeal | undefined;
}

/** Appends an empty block to the directory and returns its position. */
export type AppendBlock = () => number;

interface Node {
  readonly block: CachedBlock;
  readonly entries: number;
  /** Entry that leads to the hash. */
  readonly at: number;
}

interface Path {
  /** From the root to the node that leads to the leaf. */
  readonly nodes: readonly Node[];
  /** Position of the leaf in the directory. */
  readonly leaf: number;
}

/**
 * The hash tree of a directory, kept valid as entries come: leaves are split in the middle, full nodes too, and the
 * root grows a level once, or twice with `large_dir`. Leaves are never merged, as in the kernel.
 */
export class HashTree {
  readonly #volume: Volume;
  /** Bytes of a leaf that entries may take. */
  readonly #leafSize: number;
  /** Levels of nodes below the root. */
  readonly #mostLevels: number;
  /** In place. */
  readonly #seed: Uint8Array;

  constructor(volume: Volume) {
    this.#volume = volume;
    this.#mostLevels = (volume.features.incompatible & IncompatibleFeature.large_dir) === 0 ? 1 : 2;
    this.#seed = Superblock.s_hash_seed.get(volume.superblock, 0);
    this.#leafSize = volume.geometry.blockSize - (volume.seals === undefined ? 0 : DIRECTORY_TAIL);
  }

  /** Hash by the directory's own version, or undefined when the root is not sound. */
  hash(directory: IndexedDirectory, name: Uint8Array): number | undefined {
    const { view } = this.#block(directory, 0);
    const version = IndexRootInfo.hash_version.get(view, ROOT_INFO);
    if (version > 2) return undefined;
    return this.#hashAs(version, name);
  }

  /** The leaf for an entry of `size` bytes when it has room for it. */
  leafWithRoom(directory: IndexedDirectory, hash: number, size: number): number | undefined {
    const path = this.#find(directory, hash);
    return path !== undefined && directory.gaps[path.leaf]! >= size ? path.leaf : undefined;
  }

  /** Blocks that must be appended before an entry of `size` bytes fits; undefined when the index cannot take it. */
  growth(directory: IndexedDirectory, hash: number, size: number): number | undefined {
    const path = this.#find(directory, hash);
    if (path === undefined) return undefined;
    if (directory.gaps[path.leaf]! >= size) return 0;
    // A leaf, every full node above it, and a level more under a full root.
    const first = this.#firstOfFull(path);
    if (first === 0 && path.nodes.length > this.#mostLevels) return undefined;
    return 1 + path.nodes.length - first;
  }

  /** Makes room for an entry and returns its leaf; `growth` must have said that this is possible. Moved entries go to `moved`. */
  reserve(
    directory: IndexedDirectory,
    hash: number,
    size: number,
    append: AppendBlock,
    moved: (position: number) => void,
  ): number {
    for (;;) {
      const path = this.#find(directory, hash)!;
      if (directory.gaps[path.leaf]! >= size) return path.leaf;
      const { nodes } = path;
      const first = this.#firstOfFull(path);
      if (first === nodes.length) this.#splitLeaf(directory, path, append, moved);
      else if (first === 0) this.#deepen(directory, nodes[0]!, append);
      else this.#splitNode(directory, nodes[first - 1]!, nodes[first]!, append);
    }
  }

  /** Turns a directory of one full block into an index over one leaf, which holds all entries but `.` and `..`. */
  plant(directory: IndexedDirectory, append: AppendBlock, moved: (position: number) => void): void {
    const { blockSize } = this.#volume.geometry;
    const position = append();
    const root = this.#block(directory, 0);
    const leaf = this.#block(directory, position);
    const entries = this.#entriesOf(root).filter((entry) => !isDotEntry(root.view, entry.at));
    packEntries(
      leaf.view,
      this.#leafSize,
      entries.map((entry) => entry.bytes.slice()),
    );
    root.bytes.fill(0, ROOT_INFO);
    DirectoryEntryHeader.rec_len.set(root.view, 12, Math.min(0xffff, blockSize - 12));
    const version = Superblock.s_def_hash_version.get(this.#volume.superblock, 0);
    IndexRootInfo.hash_version.set(root.view, ROOT_INFO, version <= 2 ? version : 1);
    IndexRootInfo.info_length.set(root.view, ROOT_INFO, 8);
    setCounts(root.view, ROOT_ENTRIES, this.#limit(ROOT_ENTRIES), 1);
    root.view.setUint32(ROOT_ENTRIES + 4, position, true);
    this.#volume.cache.markDirty(root);
    this.#volume.cache.markDirty(leaf);
    directory.gaps[0] = 0;
    moved(position);
  }

  #hashAs(version: number, name: Uint8Array): number | undefined {
    const { superblock } = this.#volume;
    const unsigned = (Superblock.s_flags.get(superblock, 0) & UNSIGNED_HASH) !== 0;
    return directoryHash(name, version + (unsigned ? 3 : 0), this.#seed);
  }

  #block(directory: IndexedDirectory, position: number): CachedBlock {
    return this.#volume.cache.get(directory.blocks[position]!, WriteRank.directory, directory.seal);
  }

  #limit(entries: number): number {
    const { geometry, seals } = this.#volume;
    return (geometry.blockSize - entries - (seals === undefined ? 0 : INDEX_TAIL)) / ENTRY;
  }

  /** Undefined when a node on the way is not sound. */
  #find(directory: IndexedDirectory, hash: number): Path | undefined {
    const rootBlock = this.#block(directory, 0);
    const { view } = rootBlock;
    const levels = IndexRootInfo.indirect_levels.get(view, ROOT_INFO);
    if (
      levels > this.#mostLevels ||
      IndexRootInfo.info_length.get(view, ROOT_INFO) !== 8 ||
      (IndexRootInfo.unused_flags.get(view, ROOT_INFO) & 1) !== 0
    ) {
      return undefined;
    }
    let node = this.#node(rootBlock, ROOT_ENTRIES, hash);
    const nodes: Node[] = [];
    for (let level = 0; node !== undefined; level++) {
      nodes.push(node);
      const target = childOf(node);
      if (target === 0 || target >= directory.blocks.length) return undefined;
      if (level === levels) return { nodes, leaf: target };
      node = this.#node(this.#block(directory, target), NODE_ENTRIES, hash);
    }
    return undefined;
  }

  /** Index of the first of the full nodes right above the leaf; the count of all nodes when the last has room. */
  #firstOfFull({ nodes }: Path): number {
    let first = nodes.length;
    while (first > 0 && this.#isFull(nodes[first - 1]!)) first--;
    return first;
  }

  #node(block: CachedBlock, entries: number, hash: number): Node | undefined {
    const { view } = block;
    const count = countOf(view, entries);
    if (view.getUint16(entries, true) !== this.#limit(entries)) return undefined;
    if (count === 0 || count > this.#limit(entries)) return undefined;
    let low = 1;
    let high = count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if (view.getUint32(entries + ENTRY * middle, true) > hash) high = middle - 1;
      else low = middle + 1;
    }
    return { block, entries, at: low - 1 };
  }

  #isFull(node: Node): boolean {
    return countOf(node.block.view, node.entries) >= this.#limit(node.entries);
  }

  /** The root's entries move into a new node, the only one that the root then points at. */
  #deepen(directory: IndexedDirectory, root: Node, append: AppendBlock): void {
    const position = append();
    const count = countOf(root.block.view, ROOT_ENTRIES);
    const { bytes } = root.block;
    this.#initNode(directory, position, bytes.subarray(ROOT_ENTRIES, ROOT_ENTRIES + count * ENTRY));
    setCounts(root.block.view, ROOT_ENTRIES, this.#limit(ROOT_ENTRIES), 1);
    root.block.view.setUint32(ROOT_ENTRIES + 4, position, true);
    const levels = IndexRootInfo.indirect_levels.get(root.block.view, ROOT_INFO);
    IndexRootInfo.indirect_levels.set(root.block.view, ROOT_INFO, levels + 1);
    this.#volume.cache.markDirty(root.block);
  }

  /** The upper half of a full node moves into a new one. */
  #splitNode(directory: IndexedDirectory, above: Node, full: Node, append: AppendBlock): void {
    const position = append();
    const { view, bytes } = full.block;
    const count = countOf(view, NODE_ENTRIES);
    const kept = count >>> 1;
    const hash = view.getUint32(NODE_ENTRIES + ENTRY * kept, true);
    const from = NODE_ENTRIES + ENTRY * kept;
    this.#initNode(directory, position, bytes.subarray(from, NODE_ENTRIES + ENTRY * count));
    setCounts(view, NODE_ENTRIES, this.#limit(NODE_ENTRIES), kept);
    this.#volume.cache.markDirty(full.block);
    this.#insert(above, hash, position);
    this.#orderAfter(above.block, full.block);
  }

  #initNode(directory: IndexedDirectory, position: number, entries: Uint8Array): void {
    const node = this.#block(directory, position);
    const { blockSize } = this.#volume.geometry;
    // To a driver without hash trees a node is a block with one unused entry.
    node.bytes.fill(0);
    DirectoryEntryHeader.rec_len.set(node.view, 0, Math.min(0xffff, blockSize));
    node.bytes.set(entries, NODE_ENTRIES);
    setCounts(node.view, NODE_ENTRIES, this.#limit(NODE_ENTRIES), entries.length / ENTRY);
    this.#volume.cache.markDirty(node);
    directory.gaps[position] = 0;
  }

  /** Entries of the upper half of the hashes move to a new leaf; the split is where the bytes are halved. */
  #splitLeaf(
    directory: IndexedDirectory,
    path: Path,
    append: AppendBlock,
    moved: (position: number) => void,
  ): void {
    const { blockSize } = this.#volume.geometry;
    const position = append();
    const leaf = this.#block(directory, path.leaf);
    const fresh = this.#block(directory, position);
    const version = IndexRootInfo.hash_version.get(path.nodes[0]!.block.view, ROOT_INFO);
    const entries = this.#entriesOf(leaf).map((entry) => ({
      bytes: entry.bytes.slice(),
      hash: this.#hashAs(version, entry.name) ?? 0,
    }));
    entries.sort((a, b) => a.hash - b.hash);
    let kept = entries.length;
    for (let size = 0; kept > 1; kept--) {
      const next = entries[kept - 1]!.bytes.length;
      if (size + next / 2 > blockSize / 2) break;
      size += next;
    }
    if (kept === entries.length || kept === 0) kept = entries.length >>> 1;
    const first = entries[kept];
    // A lowest bit of 1 says that names with this very hash are also in the leaf before.
    const continued = first !== undefined && kept > 0 && entries[kept - 1]!.hash === first.hash;
    const hash = (first?.hash ?? 0) + (continued ? 1 : 0);
    packEntries(
      leaf.view,
      this.#leafSize,
      entries.slice(0, kept).map((entry) => entry.bytes),
    );
    packEntries(
      fresh.view,
      this.#leafSize,
      entries.slice(kept).map((entry) => entry.bytes),
    );
    this.#volume.cache.markDirty(leaf);
    this.#volume.cache.markDirty(fresh);
    const above = path.nodes.at(-1)!;
    this.#insert(above, hash, position);
    this.#orderAfter(above.block, leaf);
    moved(path.leaf);
    moved(position);
  }

  /**
   * What has moved from `lower` to a new block is in both until `upper` leads there. Where other orders forbid that, a cut may
   * leave names that are found without the index only, until e2fsck makes it anew.
   */
  #orderAfter(upper: CachedBlock, lower: CachedBlock): void {
    const { directory } = WriteRank;
    if (upper.rank === directory && lower.rank === directory) this.#volume.cache.order(upper, lower);
  }

  #insert(node: Node, hash: number, position: number): void {
    const { view, bytes } = node.block;
    const count = countOf(view, node.entries);
    const at = node.entries + ENTRY * (node.at + 1);
    bytes.copyWithin(at + ENTRY, at, node.entries + ENTRY * count);
    view.setUint32(at, hash, true);
    view.setUint32(at + 4, position, true);
    view.setUint16(node.entries + 2, count + 1, true);
    this.#volume.cache.markDirty(node.block);
  }

  /** The used entries of a block, each trimmed to the bytes that it needs. */
  #entriesOf(block: CachedBlock): { at: number; bytes: Uint8Array; name: Uint8Array }[] {
    const { geometry, seals } = this.#volume;
    const end = seals === undefined ? geometry.blockSize : checksummedEntriesEnd(block.view);
    const entries: { at: number; bytes: Uint8Array; name: Uint8Array }[] = [];
    for (let at = 0; at < end;) {
      const nameLength = DirectoryEntryHeader.name_len.get(block.view, at);
      if (DirectoryEntryHeader.inode.get(block.view, at) !== 0) {
        entries.push({
          at,
          bytes: block.bytes.subarray(at, at + entrySize(nameLength)),
          name: block.bytes.subarray(at + 8, at + 8 + nameLength),
        });
      }
      at += entryLength(block.view, at, end);
    }
    return entries;
  }
}

function countOf(view: DataView, entries: number): number {
  return view.getUint16(entries + 2, true);
}

function setCounts(view: DataView, entries: number, limit: number, count: number): void {
  view.setUint16(entries, limit, true);
  view.setUint16(entries + 2, count, true);
}

function childOf(node: Node): number {
  return node.block.view.getUint32(node.entries + ENTRY * node.at + 4, true) & BLOCK_MASK;
}
