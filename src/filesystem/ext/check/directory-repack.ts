import { viewOf } from '../../../bytes/struct.ts';
import { indexChecksum, inodeSeed } from '../checksum.ts';
import { DirectoryEntryHeader, entrySize } from '../directory-block.ts';
import { directoryHash, HashVersion } from '../directory-hash.ts';
import { IndexRootInfo } from '../htree.ts';
import { Inode, InodeFlag, ReservedInode } from '../inode.ts';
import { CompatibleFeature, IncompatibleFeature, Superblock } from '../superblock.ts';
import { listedBlocks } from './bad-blocks.ts';
import type { ExtCheck } from './context.ts';
import { lengthAt, setLengthAt, writeTail } from './directory-blocks.ts';
import { compareNames, DirectoryLayout, type Name } from './directory-layout.ts';
import { mapBlocksFor, writeFileMap } from './file-map-writer.ts';
import { releaseBlock, takeBlock } from './moved-blocks.ts';
import { eachBlock } from './shared-pass.ts';
import { findFree, isShared, ownBlocks } from './file-rewrite.ts';

const ROOT_INFO = 0x18;
const ROOT_ENTRIES = 0x20;
const NODE_ENTRIES = 0x08;
const ENTRY = 8;
const UNSIGNED_HASH = 2;
/** Bytes of a directory whose names are held in memory to sort them. */
const MAX_SIZE = 64 << 20;
/** A directory with less in it needs no index: so much is left of a block beside `.` and `..`. */
const DOTS = 24;
/** Names that cannot be hashed here, a map that is elsewhere, sizes in another unit. */
const FOREIGN_FLAGS = InodeFlag.casefold | InodeFlag.encrypted | InodeFlag.inlineData | InodeFlag.hugeFile;

/** A leaf or a node: the hash with which it begins, and its position in the directory. */
interface Child {
  readonly hash: number;
  readonly position: number;
}

interface Content {
  /** `.` and `..`, 12 bytes each. */
  readonly dots: readonly [Uint8Array, Uint8Array];
  readonly names: readonly Name[];
}

/**
 * Lays out the names of a directory anew, with an index where it is worth one, as `e2fsck -D` does: the root, the leaves, then the nodes. What it needs no
 * more is free then, and what is missing is taken from what is free.
 */
export class DirectoryRepack {
  readonly #check: ExtCheck;
  readonly #layout: DirectoryLayout;
  readonly #blockSize: number;
  readonly #version: number;
  /** Directories whose blocks a later pass looks for in the list of them. */
  readonly #listed: ReadonlySet<number>;
  /** Before this block, none is fresh. */
  #nextFresh: number;
  #seed = 0;
  /** The map has gaps, and is written anew. */
  #isHoled = false;

  constructor(check: ExtCheck, listed: ReadonlySet<number>) {
    this.#check = check;
    this.#listed = listed;
    this.#nextFresh = check.geometry.firstDataBlock;
    this.#blockSize = check.geometry.blockSize;
    this.#layout = new DirectoryLayout(this.#blockSize, check.seed !== undefined);
    const version = Superblock.s_def_hash_version.get(check.superblock, 0);
    this.#version = version <= HashVersion.tea ? version : HashVersion.halfMd4;
  }

  /** Returns false, with nothing changed, where the directory has to stay as it is. `inode` is a copy, and stale afterwards. */
  repack(directory: number, inode: DataView): boolean {
    this.#isHoled = false;
    return this.#repack(directory, inode, ownBlocks(this.#check, inode));
  }

  /** The same for a directory that has lost blocks: it goes without them. */
  fillHoles(directory: number, inode: DataView): boolean {
    this.#isHoled = true;
    return this.#repack(directory, inode, listedBlocks(this.#check, inode));
  }

  #repack(directory: number, inode: DataView, own: readonly number[] | undefined): boolean {
    const check = this.#check;
    if ((Inode.i_flags.get(inode, 0) & FOREIGN_FLAGS) !== 0) return false;
    if (own === undefined || own.length === 0 || own.length * this.#blockSize > MAX_SIZE) return false;
    if (own.some((block) => isShared(check, block))) return false;
    const hasIndexes = (check.words.compatible & CompatibleFeature.dir_index) !== 0;
    const lost = check.holed.get(directory) === true ? this.#newDots(directory) : [];
    const content = this.#read(own, hasIndexes, lost);
    if (content === undefined) return false;
    const { names } = content;
    const size = names.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const isIndexed =
      hasIndexes && own.length > 1 && this.#blockSize <= 0x8000 && size >= this.#blockSize - DOTS;
    if (check.seed !== undefined)
      this.#seed = inodeSeed(check.seed, directory, Inode.i_generation.get(inode, 0));
    const blocks = isIndexed ? this.#indexed(content) : this.#linear(content);
    if (blocks === undefined || !this.#place(directory, inode, own, blocks)) return false;
    const flags = Inode.i_flags.get(inode, 0);
    Inode.i_flags.set(inode, 0, isIndexed ? flags | InodeFlag.index : flags & ~InodeFlag.index);
    Inode.i_size_lo.set(inode, 0, blocks.length * this.#blockSize);
    Inode.i_size_high.set(inode, 0, 0);
    check.writeInode(directory, inode);
    return true;
  }

  /** Undefined when a block cannot be read as one of entries. */
  #read(blocks: readonly number[], hasHashes: boolean, newDots: readonly Uint8Array[]): Content | undefined {
    const check = this.#check;
    const isUnsigned = (Superblock.s_flags.get(check.superblock, 0) & UNSIGNED_HASH) !== 0;
    const version = this.#version + (isUnsigned ? HashVersion.legacyUnsigned : 0);
    const seed = Superblock.s_hash_seed.get(check.superblock, 0);
    const dots: Uint8Array[] = [...newDots];
    const names: Name[] = [];
    for (const block of blocks) {
      const bytes = new Uint8Array(this.#blockSize);
      check.readBlock(block, bytes);
      const view = viewOf(bytes);
      for (let at = 0; at < bytes.length;) {
        const length = at + 8 <= bytes.length ? lengthAt(view, at, bytes.length) : 0;
        const nameLength = length < 8 ? 0 : DirectoryEntryHeader.name_len.get(view, at);
        const size = entrySize(nameLength);
        if (length < 12 || length % 4 !== 0 || at + length > bytes.length || size > length) return undefined;
        const entry = bytes.subarray(at, at + size);
        if (dots.length < 2) dots.push(entry);
        else if (view.getUint32(at, true) !== 0) {
          const hash = hasHashes ? directoryHash(entry.subarray(8, 8 + nameLength), version, seed) : 0;
          if (hash === undefined) return undefined;
          names.push({ bytes: entry, hash });
        }
        at += length;
      }
    }
    if (!isDot(dots[0], 1) || !isDot(dots[1], 2)) return undefined;
    return { dots: [dots[0]!, dots[1]!], names };
  }

  /** `.` and `..` of a directory that has lost them. */
  #newDots(directory: number): Uint8Array[] {
    const check = this.#check;
    const hasTypes = (check.words.incompatible & IncompatibleFeature.filetype) !== 0;
    return [directory, check.dotdots.get(directory) || ReservedInode.root].map((inode, index) => {
      const entry = new Uint8Array(12);
      const view = viewOf(entry);
      view.setUint32(0, inode, true);
      setLengthAt(view, 0, 12);
      entry.set([index + 1, hasTypes ? 2 : 0, 0x2e, index * 0x2e], 6);
      return entry;
    });
  }

  #linear({ dots, names }: Content): Uint8Array[] {
    const sorted = names.map(({ bytes }) => ({ bytes, hash: 0 })).sort(compareNames);
    const all = [...dots.map((bytes) => ({ bytes, hash: 0 })), ...sorted];
    return this.#layout.fill(all, false).map(({ bytes }) => this.#seal(bytes));
  }

  #indexed({ dots, names }: Content): Uint8Array[] | undefined {
    const leaves = this.#layout.fill([...names].sort(compareNames), true);
    const nodeCount = this.#layout.nodesFor(leaves.length);
    if (nodeCount === undefined) return undefined;
    const children = leaves.map(({ hash }, index): Child => ({ hash, position: 1 + index }));
    const nodes: Uint8Array[] = [];
    const tops: Child[] = [];
    for (let index = 0; index < nodeCount; index++) {
      const below = children.slice(index * this.#layout.nodeLimit, (index + 1) * this.#layout.nodeLimit);
      const bytes = new Uint8Array(this.#blockSize);
      // To a driver without indexes a node is a block with one unused entry.
      setLengthAt(viewOf(bytes), 0, this.#blockSize);
      this.#putEntries(bytes, NODE_ENTRIES, this.#layout.nodeLimit, below);
      nodes.push(bytes);
      tops.push({ hash: below[0]!.hash, position: 1 + leaves.length + index });
    }
    const root = this.#root(dots, nodeCount === 0 ? children : tops, nodeCount > 0);
    return [root, ...leaves.map(({ bytes }) => this.#seal(bytes)), ...nodes];
  }

  #seal(bytes: Uint8Array): Uint8Array {
    if (this.#check.seed !== undefined) writeTail(this.#seed, bytes);
    return bytes;
  }

  #root(dots: readonly [Uint8Array, Uint8Array], children: readonly Child[], hasNodes: boolean): Uint8Array {
    const bytes = new Uint8Array(this.#blockSize);
    const view = viewOf(bytes);
    bytes.set(dots[0]);
    bytes.set(dots[1], 12);
    setLengthAt(view, 0, 12);
    setLengthAt(view, 12, this.#blockSize - 12);
    IndexRootInfo.hash_version.set(view, ROOT_INFO, this.#version);
    IndexRootInfo.info_length.set(view, ROOT_INFO, 8);
    IndexRootInfo.indirect_levels.set(view, ROOT_INFO, hasNodes ? 1 : 0);
    this.#putEntries(bytes, ROOT_ENTRIES, this.#layout.rootLimit, children);
    return bytes;
  }

  /** Limit and count lie in place of the first hash, which needs none. */
  #putEntries(bytes: Uint8Array, start: number, limit: number, children: readonly Child[]): void {
    const view = viewOf(bytes);
    for (const [index, { hash, position }] of children.entries()) {
      if (index > 0) view.setUint32(start + ENTRY * index, hash, true);
      view.setUint32(start + ENTRY * index + 4, position, true);
    }
    view.setUint16(start, limit, true);
    view.setUint16(start + 2, children.length, true);
    if (this.#check.seed === undefined) return;
    const tail = start + ENTRY * limit;
    view.setUint32(tail + 4, indexChecksum(this.#seed, bytes, start, children.length, tail), true);
  }

  /** Puts the content where it is to be; `inode` gets its map. Returns false when there is no room. */
  #place(directory: number, inode: DataView, own: readonly number[], blocks: readonly Uint8Array[]): boolean {
    if (!this.#isHoled && blocks.length === own.length && this.#isThere(own, blocks)) return true;
    const isOne = blocks.length === 1 && own.length === 1;
    const places = (isOne ? undefined : this.#findFresh(blocks.length)) ?? this.#extend(own, blocks.length);
    if (places === undefined || !this.#remap(directory, inode, own, places)) return false;
    for (const [index, bytes] of blocks.entries()) this.#check.writeBlock(places[index]!, bytes);
    return true;
  }

  #isThere(places: readonly number[], blocks: readonly Uint8Array[]): boolean {
    const stored = new Uint8Array(this.#blockSize);
    return blocks.every((bytes, index) => {
      this.#check.readBlock(places[index]!, stored);
      return bytes.every((byte, at) => byte === stored[at]);
    });
  }

  /**
   * Blocks that nobody had before the check, and that can be written before all else: until the inode leads to them, the directory is where it was. Undefined
   * when there are not enough, or one that was taken is to be written again.
   */
  #findFresh(count: number): number[] | undefined {
    const check = this.#check;
    const { options } = check;
    const { blockCount, blockSize, blocksPerCluster } = check.geometry;
    const found: number[] = [];
    let first = this.#nextFresh;
    for (; first + blocksPerCluster <= blockCount && found.length < count; first += blocksPerCluster) {
      if (check.isUsed(first) || check.movedBlocks.get(check.bitOf(first))) continue;
      const end = first + Math.min(blocksPerCluster, count - found.length);
      for (let block = first; block < end; block++) found.push(block);
    }
    if (found.length < count) return undefined;
    this.#nextFresh = first;
    for (const each of found) options.onFresh?.(each * blockSize, blockSize);
    return found;
  }

  /** What the directory has, shorter or with more behind it. */
  #extend(own: readonly number[], count: number): number[] | undefined {
    const { blocksPerCluster } = this.#check.geometry;
    // The rest of a cluster is the file's own; with gaps, its blocks would get other places in their clusters.
    if (blocksPerCluster > 1 && this.#isHoled) return undefined;
    const places = own.slice(0, count);
    while (places.length < count && places.length % blocksPerCluster !== 0) places.push(places.at(-1)! + 1);
    places.push(...findFree(this.#check, count - places.length, new Set()));
    return places.length === count ? places : undefined;
  }

  /** The first blocks of so many clusters. */
  #findMapBlocks(count: number, taken: ReadonlySet<number>): number[] {
    const check = this.#check;
    const { blocksPerCluster } = check.geometry;
    const fresh = this.#findFresh(count * blocksPerCluster);
    if (fresh !== undefined) return fresh.filter((_, index) => index % blocksPerCluster === 0);
    return findFree(check, (taken.size + count) * blocksPerCluster, new Set())
      .filter((block, index) => index % blocksPerCluster === 0 && !taken.has(check.bitOf(block)))
      .slice(0, count);
  }

  #remap(directory: number, inode: DataView, own: readonly number[], places: readonly number[]): boolean {
    if (
      !this.#isHoled &&
      places.length === own.length &&
      places.every((block, index) => block === own[index])
    )
      return true;
    const check = this.#check;
    const { blocksPerCluster } = check.geometry;
    const before = new Set<number>();
    eachBlock(check, directory, (start, length) => {
      for (let block = start; block < start + length; block++) before.add(check.bitOf(block));
    });
    const needed = mapBlocksFor(check, places);
    if (needed === undefined) return false;
    const taken = new Set(places.map((block) => check.bitOf(block)));
    const mapBlocks = this.#findMapBlocks(needed, taken);
    if (mapBlocks.length < needed) return false;
    const after = new Set([...taken, ...mapBlocks.map((block) => check.bitOf(block))]);
    for (const bit of after) if (!before.has(bit)) takeBlock(check, check.blockOf(bit));
    for (const bit of before) if (!after.has(bit)) releaseBlock(check, check.blockOf(bit));
    writeFileMap(check, directory, inode, places, mapBlocks);
    const change = (after.size - before.size) * blocksPerCluster;
    Inode.i_blocks_lo.set(
      inode,
      0,
      Inode.i_blocks_lo.get(inode, 0) + change * check.geometry.sectorsPerBlock,
    );
    check.quota.add(directory, inode, 0, change * this.#blockSize, 0);
    if (this.#listed.has(directory)) check.relistDirectory(directory, places);
    return true;
  }
}

function isDot(entry: Uint8Array | undefined, length: number): boolean {
  if (entry === undefined || entry.length !== 12 || entry[6] !== length) return false;
  return entry[8] === 0x2e && (length === 1 || entry[9] === 0x2e);
}
