import { viewOf } from '../../../bytes/struct.ts';
import { DIRECTORY_TAIL, INDEX_TAIL, indexChecksum, inodeSeed } from '../checksum.ts';
import { DirectoryEntryHeader, entrySize, packEntries } from '../directory-block.ts';
import { directoryHash, HashVersion } from '../directory-hash.ts';
import { IndexRootInfo } from '../htree.ts';
import { Inode, InodeFlag } from '../inode.ts';
import { CompatibleFeature, Superblock } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import { lengthAt, setLengthAt, writeTail } from './directory-blocks.ts';

const ROOT_INFO = 0x18;
const ROOT_ENTRIES = 0x20;
const NODE_ENTRIES = 0x08;
const ENTRY = 8;
const UNSIGNED_HASH = 2;
/** Bytes of a directory whose names are held in memory to sort them. */
const MAX_SIZE = 64 << 20;
/** A lowest bit of 1 says that names with this very hash are also in the leaf before. */
const CONTINUED = 1;

interface Name {
  readonly bytes: Uint8Array;
  readonly hash: number;
}

/** A leaf, or a node over some of them: the hash with which it begins, and its position in the directory. */
interface Child {
  readonly hash: number;
  readonly position: number;
}

/**
 * Gives directories new indexes. The names are laid out anew over the blocks that the directory has, evenly, so that no block comes or goes:
 * first the root, then the nodes if there are any, then the leaves.
 */
export class IndexRebuild {
  readonly #check: ExtCheck;
  readonly #blockSize: number;
  readonly #rootLimit: number;
  readonly #nodeLimit: number;
  readonly #version: number;
  readonly #hasSeals: boolean;
  #seed = 0;
  /** Of each directory that lost its index, its blocks by position. */
  readonly #blocks = new Map<number, number[]>();

  constructor(check: ExtCheck) {
    this.#check = check;
    const { blockSize } = check.geometry;
    this.#blockSize = blockSize;
    this.#hasSeals = check.seed !== undefined;
    const tail = this.#hasSeals ? INDEX_TAIL : 0;
    this.#rootLimit = Math.floor((blockSize - ROOT_ENTRIES - tail) / ENTRY);
    this.#nodeLimit = Math.floor((blockSize - NODE_ENTRIES - tail) / ENTRY);
    const version = Superblock.s_def_hash_version.get(check.superblock, 0);
    this.#version = version <= HashVersion.tea ? version : HashVersion.halfMd4;
    const { badIndexes, directoryBlocks } = check;
    badIndexes.each((directory) => this.#blocks.set(directory, []));
    for (let index = 0; index < directoryBlocks.length; index += 3) {
      const blocks = this.#blocks.get(directoryBlocks.get(index));
      if (blocks !== undefined) blocks[directoryBlocks.get(index + 1)] = directoryBlocks.get(index + 2);
    }
  }

  /** Returns false, with nothing changed, where the directory has to go without an index. */
  rebuild(directory: number, inode: DataView): boolean {
    const check = this.#check;
    if ((check.words.compatible & CompatibleFeature.dir_index) === 0 || this.#blockSize > 0x8000)
      return false;
    if ((Inode.i_flags.get(inode, 0) & (InodeFlag.casefold | InodeFlag.encrypted)) !== 0) return false;
    const blocks = this.#blocks.get(directory) ?? [];
    const nodes = this.#nodesFor(blocks.length);
    if (nodes === undefined || blocks.length * this.#blockSize > MAX_SIZE) return false;
    for (let position = 0; position < blocks.length; position++) if (!(position in blocks)) return false;
    const names = this.#namesOf(blocks);
    const leaves = names && this.#distribute(names, blocks.length - 1 - nodes);
    if (leaves === undefined) return false;
    if (this.#hasSeals) this.#seed = inodeSeed(check.seed!, directory, Inode.i_generation.get(inode, 0));
    const children = this.#writeLeaves(blocks, leaves, 1 + nodes);
    this.#writeRoot(blocks, nodes === 0 ? children : this.#writeNodes(blocks, nodes, children), nodes > 0);
    return true;
  }

  /** How many nodes an index over so many blocks has between the root and the leaves. */
  #nodesFor(blockCount: number): number | undefined {
    if (blockCount < 3) return undefined;
    if (blockCount - 1 <= this.#rootLimit) return 0;
    const nodes = Math.ceil((blockCount - 1) / (this.#nodeLimit + 1));
    return nodes <= this.#rootLimit ? nodes : undefined;
  }

  /** All but `.` and `..`; undefined when a block cannot be read as one of entries. */
  #namesOf(blocks: readonly number[]): Name[] | undefined {
    const check = this.#check;
    const isUnsigned = (Superblock.s_flags.get(check.superblock, 0) & UNSIGNED_HASH) !== 0;
    const version = this.#version + (isUnsigned ? HashVersion.legacyUnsigned : 0);
    const seed = Superblock.s_hash_seed.get(check.superblock, 0);
    const names: Name[] = [];
    for (const [position, block] of blocks.entries()) {
      const bytes = new Uint8Array(this.#blockSize);
      check.readBlock(block, bytes);
      const view = viewOf(bytes);
      let skipped = position === 0 ? 2 : 0;
      for (let at = 0; at < bytes.length;) {
        const length = at + 8 <= bytes.length ? lengthAt(view, at, bytes.length) : 0;
        const nameLength = length < 8 ? 0 : DirectoryEntryHeader.name_len.get(view, at);
        const size = entrySize(nameLength);
        if (length < 12 || length % 4 !== 0 || at + length > bytes.length || size > length) return undefined;
        if (skipped > 0) skipped--;
        else if (view.getUint32(at, true) !== 0) {
          const hash = directoryHash(bytes.subarray(at + 8, at + 8 + nameLength), version, seed);
          if (hash === undefined) return undefined;
          names.push({ bytes: bytes.subarray(at, at + size), hash });
        }
        at += length;
      }
    }
    return names.sort((a, b) => a.hash - b.hash);
  }

  /** Names to leaves, each about as full as the others; undefined when they do not fit, or are fewer than leaves. */
  #distribute(names: readonly Name[], count: number): Name[][] | undefined {
    const capacity = this.#blockSize - (this.#hasSeals ? DIRECTORY_TAIL : 0);
    let left = names.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const leaves: Name[][] = [];
    for (let at = 0; leaves.length < count;) {
      const goal = left / (count - leaves.length);
      const leaf: Name[] = [];
      let size = 0;
      while (at < names.length) {
        const next = names[at]!.bytes.length;
        if (size + next > capacity || (size > 0 && size + next / 2 > goal)) break;
        leaf.push(names[at++]!);
        size += next;
      }
      if (leaf.length === 0) return undefined;
      left -= size;
      leaves.push(leaf);
    }
    return left === 0 ? leaves : undefined;
  }

  #writeLeaves(blocks: readonly number[], leaves: readonly Name[][], first: number): Child[] {
    const bytes = new Uint8Array(this.#blockSize);
    const view = viewOf(bytes);
    let previous = -1;
    return leaves.map((leaf, index) => {
      packEntries(
        view,
        this.#blockSize - (this.#hasSeals ? DIRECTORY_TAIL : 0),
        leaf.map((name) => name.bytes),
      );
      if (this.#hasSeals) writeTail(this.#seed, bytes);
      this.#check.writeBlock(blocks[first + index]!, bytes);
      const { hash } = leaf[0]!;
      const child = { hash: hash + (hash === previous ? CONTINUED : 0), position: first + index };
      previous = leaf.at(-1)!.hash;
      return child;
    });
  }

  #writeNodes(blocks: readonly number[], count: number, children: readonly Child[]): Child[] {
    const nodes: Child[] = [];
    for (let index = 0, from = 0; index < count; index++) {
      const to = from + Math.ceil((children.length - from) / (count - index));
      const bytes = new Uint8Array(this.#blockSize);
      // To a driver without indexes a node is a block with one unused entry.
      setLengthAt(viewOf(bytes), 0, this.#blockSize);
      this.#putEntries(bytes, NODE_ENTRIES, this.#nodeLimit, children.slice(from, to));
      this.#check.writeBlock(blocks[1 + index]!, bytes);
      nodes.push({ hash: children[from]!.hash, position: 1 + index });
      from = to;
    }
    return nodes;
  }

  #writeRoot(blocks: readonly number[], children: readonly Child[], hasNodes: boolean): void {
    const bytes = new Uint8Array(this.#blockSize);
    this.#check.readBlock(blocks[0]!, bytes);
    const view = viewOf(bytes);
    const parent = view.getUint16(4, true);
    // `..` where it was told that it is, behind a `.` of 12 bytes.
    const dots = bytes.slice(parent, parent + 12);
    bytes.set(dots, 12);
    bytes.fill(0, ROOT_INFO);
    setLengthAt(view, 0, 12);
    setLengthAt(view, 12, this.#blockSize - 12);
    IndexRootInfo.hash_version.set(view, ROOT_INFO, this.#version);
    IndexRootInfo.info_length.set(view, ROOT_INFO, 8);
    IndexRootInfo.indirect_levels.set(view, ROOT_INFO, hasNodes ? 1 : 0);
    this.#putEntries(bytes, ROOT_ENTRIES, this.#rootLimit, children);
    this.#check.writeBlock(blocks[0]!, bytes);
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
    if (!this.#hasSeals) return;
    const tail = start + ENTRY * limit;
    view.setUint32(tail + 4, indexChecksum(this.#seed, bytes, start, children.length, tail), true);
  }
}
