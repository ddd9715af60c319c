import { viewOf } from '../../../bytes/struct.ts';
import { INDEX_TAIL, indexChecksum } from '../checksum.ts';
import { directoryHash, HashVersion } from '../directory-hash.ts';
import { IndexRootInfo } from '../htree.ts';
import { InodeFlag } from '../inode.ts';
import { Superblock } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import { lengthAt } from './directory-blocks.ts';

const ROOT_INFO = 0x18;
const ROOT_ENTRIES = 0x20;
const NODE_ENTRIES = 0x08;
const BLOCK_MASK = 0x0fff_ffff;
const UNSIGNED_HASH = 2;
/** Hashes with the bit 0 set go on from the leaf before. */
const CONTINUED = 1;

interface Leaf {
  smallest: number;
  largest: number;
}

/** The hash tree of one directory: every leaf is led to once, and holds the hashes that the nodes say. */
export class IndexCheck {
  readonly #check: ExtCheck;
  readonly #directory: number;
  readonly #isCasefolded: boolean;
  readonly #path: () => string;
  readonly #hash: Uint8Array;
  #version = -1;
  #levels = 0;
  #problem: string | undefined;
  readonly #leaves = new Map<number, Leaf>();
  /** Of each node: position, then pairs of hash and position below. */
  readonly #nodes = new Map<number, Uint32Array>();

  constructor(check: ExtCheck, directory: number, flags: number, path: () => string) {
    this.#check = check;
    this.#directory = directory;
    this.#isCasefolded = (flags & InodeFlag.casefold) !== 0;
    this.#path = path;
    this.#hash = Superblock.s_hash_seed.get(check.superblock, 0);
  }

  kindOf(position: number, view: DataView): 'root' | 'node' | 'leaf' {
    if (position === 0) return 'root';
    if (this.#levels === 0 || view.getUint32(0, true) !== 0) return 'leaf';
    return lengthAt(view, 0, view.byteLength) === view.byteLength && view.getUint8(6) === 0 ? 'node' : 'leaf';
  }

  addNode(position: number, bytes: Uint8Array, offset: number, seed: number): void {
    const view = viewOf(bytes);
    const isRoot = position === 0;
    let start = NODE_ENTRIES;
    if (isRoot) {
      const infoLength = IndexRootInfo.info_length.get(view, ROOT_INFO);
      this.#version = IndexRootInfo.hash_version.get(view, ROOT_INFO);
      this.#levels = IndexRootInfo.indirect_levels.get(view, ROOT_INFO);
      start = ROOT_ENTRIES;
      if (infoLength !== 8 || IndexRootInfo.reserved_zero.get(view, ROOT_INFO) !== 0) {
        this.#fail(`HTREE directory inode ${this.#directory} has an invalid root node.\n`);
        return;
      }
      if (this.#version > HashVersion.tea && !(this.#isCasefolded && this.#version === 6)) {
        this.#fail(
          `HTREE directory inode ${this.#directory} has an unsupported hash version (${this.#version})\n`,
        );
        return;
      }
      if ((IndexRootInfo.unused_flags.get(view, ROOT_INFO) & 1) !== 0) {
        this.#fail(`HTREE directory inode ${this.#directory} uses an incompatible htree root node flag.\n`);
        return;
      }
      if (this.#levels > 2) {
        this.#fail(
          `HTREE directory inode ${this.#directory} has a tree depth (${this.#levels}) which is too big\n`,
        );
        return;
      }
    }
    const tail = this.#check.seed === undefined ? 0 : INDEX_TAIL;
    const limit = view.getUint16(start, true);
    const count = view.getUint16(start + 2, true);
    const expected = Math.floor((bytes.length - start - tail) / 8);
    const prefix = `Problem in HTREE directory inode ${this.#directory}: block #${position}`;
    if (limit !== expected) {
      this.#fail(`${prefix} has invalid limit (${limit})\n`);
      return;
    }
    if (count === 0 || count > limit) {
      this.#fail(`${prefix} has invalid count (${count})\n`);
      return;
    }
    if (this.#check.seed !== undefined) {
      const at = start + 8 * limit;
      const wanted = indexChecksum(seed, bytes, start, count, at);
      if (view.getUint32(at + 4, true) !== wanted) {
        const kind = isRoot ? 'root' : 'internal';
        this.#fail(
          `Problem in HTREE directory inode ${this.#directory}: ${kind} node fails checksum.\n`,
          offset + at + 4,
        );
      }
    }
    const entries = new Uint32Array(2 * count);
    for (let index = 0; index < count; index++) {
      entries[2 * index] = index === 0 ? 0 : view.getUint32(start + 8 * index, true);
      entries[2 * index + 1] = view.getUint32(start + 8 * index + 4, true) & BLOCK_MASK;
      if (index > 1 && entries[2 * index]! < entries[2 * index - 2]!)
        this.#fail(`${prefix} has an unordered hash table\n`);
    }
    this.#nodes.set(position, entries);
  }

  addLeaf(position: number, bytes: Uint8Array, end: number): void {
    const leaf: Leaf = { smallest: 0xffff_ffff, largest: 0 };
    this.#leaves.set(position, leaf);
    if (this.#isCasefolded || this.#version < 0 || this.#version > HashVersion.tea) return;
    const isUnsigned = (Superblock.s_flags.get(this.#check.superblock, 0) & UNSIGNED_HASH) !== 0;
    const version = this.#version + (isUnsigned ? HashVersion.legacyUnsigned : 0);
    const view = viewOf(bytes);
    for (let at = 0; at + 8 <= end;) {
      const length = lengthAt(view, at, bytes.length);
      if (length < 8 || at + length > end) return;
      if (view.getUint32(at, true) !== 0) {
        const name = bytes.subarray(at + 8, at + 8 + view.getUint8(at + 6));
        const hash = directoryHash(name, version, this.#hash);
        if (hash !== undefined) {
          if (hash < leaf.smallest) leaf.smallest = hash;
          if (hash > leaf.largest) leaf.largest = hash;
        }
      }
      at += length;
    }
  }

  end(): void {
    if (this.#problem === undefined && this.#nodes.size > 0) this.#compare();
    if (this.#problem === undefined) return;
    const check = this.#check;
    const isMended = check.ask({
      code: 'ext-index',
      structure: 'dx_root',
      field: 'entries',
      ...(this.#offset !== undefined && { offset: this.#offset }),
      found: this.#problem.trim(),
      expected: 'an index that leads to every name',
      path: this.#path(),
      meaning: `The index of directory inode ${this.#directory} is wrong, so names that are there may not be found`,
      text: `${this.#problem}HTREE directory inode ${this.#directory} (${this.#path()}) is invalid.  `,
      question: 'Clear HTree index',
      action: 'makes a new index: the names stay',
    });
    if (isMended) check.badIndexes.set(this.#directory);
  }

  #offset: number | undefined;

  /** From the root down: which hashes may each leaf have? */
  #compare(): void {
    const seen = new Set<number>([0]);
    const pending: { position: number; from: number; to: number; level: number }[] = [
      { position: 0, from: 0, to: 0xffff_ffff, level: 0 },
    ];
    const prefix = `Problem in HTREE directory inode ${this.#directory}: block #`;
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      const entries = this.#nodes.get(node.position);
      if (entries === undefined) {
        this.#fail(`${prefix}${node.position} has invalid depth (${node.level})\n`);
        return;
      }
      for (let index = 0; index < entries.length; index += 2) {
        const below = entries[index + 1]!;
        const from = index === 0 ? node.from : entries[index]!;
        const to = index + 2 < entries.length ? entries[index + 2]! : node.to;
        if (seen.has(below)) {
          this.#fail(`${prefix}${below} referenced twice\n`);
          return;
        }
        seen.add(below);
        if (node.level < this.#levels) {
          pending.push({ position: below, from, to, level: node.level + 1 });
          continue;
        }
        const leaf = this.#leaves.get(below);
        if (leaf === undefined) {
          this.#fail(
            `Problem in HTREE directory inode ${this.#directory} (${this.#path()}): bad block number ${below}.\n`,
          );
          return;
        }
        if (leaf.smallest === 0xffff_ffff && leaf.largest === 0) continue;
        if (leaf.smallest < (from & ~CONTINUED) >>> 0) this.#fail(`${prefix}${below} has bad min hash\n`);
        if (leaf.largest > to) this.#fail(`${prefix}${below} has bad max hash\n`);
      }
    }
    for (const position of this.#leaves.keys()) {
      if (!seen.has(position)) this.#fail(`${prefix}${position} not referenced\n`);
    }
  }

  #fail(text: string, offset?: number): void {
    this.#problem = (this.#problem ?? '') + text;
    this.#offset ??= offset;
  }
}
