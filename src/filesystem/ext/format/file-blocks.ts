import { viewOf } from '../../../bytes/struct.ts';
import { crc32c } from '../../../bytes/crc32c.ts';
import { inodeSeed } from '../checksum.ts';
import { InodeFlag } from '../inode.ts';
import { type FeatureSet, hasIncompatible } from './features.ts';
import type { WriteCounter } from './write-counter.ts';

/** Where files get their blocks: a volume that is new, or one that is changed. */
export interface FileSpace {
  readonly layout: {
    /** Bytes. */
    readonly blockSize: number;
    /** Blocks a cluster. */
    readonly clusterBlocks: number;
    readonly features: FeatureSet;
  };
  /** With metadata_csum, where checksums begin; undefined without. */
  readonly checksumSeed: number | undefined;
  readonly counter: WriteCounter;
  /** Runs that files have and that hold zeros. */
  readonly zeroBlocks: { readonly block: number; readonly count: number }[];
  /** Takes the first free block at or after `goal`, else the first of all. */
  allocate(goal: number): number;
  /** The first run of free blocks at or after `goal`, at most `count`, not taken yet. */
  findSpace(goal: number, count: number): { readonly block: number; readonly count: number };
  take(block: number, count: number): void;
  /** The bytes of one block, which the caller may go on to change. */
  putBlock(block: number, bytes: Uint8Array): void;
  /** Written, with content that is yet to come. */
  touchInode(inode: number): void;
}

/**
 * The blocks of a file that is made, in the order of the file: an extent tree where the volume has those, a block
 * map else. `record` gets the root of either.
 */
export interface FileBlocks {
  /** Blocks of the volume that the file takes, pointers included. */
  readonly blockCount: number;
  /** `i_flags` that tell the kind. */
  readonly flags: number;
  /** Adds `count` blocks that lie behind each other. They are taken already. */
  append(block: number, count: number): void;
  /** The 60 bytes of `i_block`. */
  root(): Uint8Array;
  /** The blocks of the file's content. */
  numbers(): number[];
}

export function fileBlocks(volume: FileSpace, inode: number): FileBlocks {
  return hasIncompatible(volume.layout.features, 'extent')
    ? new ExtentBlocks(volume, inode)
    : new MappedBlocks(volume, inode);
}

const EXTENT_MAGIC = 0xf30a;
const ENTRY = 12;
/** Entries that fit into `i_block`. */
const ROOT_ENTRIES = 4;
/** Blocks of an extent that is initialised. */
const LONGEST_EXTENT = 32768;

interface Entry {
  readonly logical: number;
  readonly block: number;
  /** Blocks; 0 in an index. */
  length: number;
}

interface Leaf {
  block: number;
  readonly entries: Entry[];
  /** What it held before it was split. */
  full?: readonly Entry[];
}

/** Struct ext4_extent_header and what follows it: Linux Documentation/filesystems/ext4/ifork.rst. */
class ExtentBlocks implements FileBlocks {
  readonly flags = InodeFlag.extents;
  readonly #volume: FileSpace;
  readonly #inode: number;
  /** Leaves with their blocks; one without a block is the root itself. */
  readonly #leaves: Leaf[] = [{ block: 0, entries: [] }];
  readonly #perBlock: number;
  /** The root's entries before they went into a leaf: their bytes stay behind the index. */
  #formerRoot: readonly Entry[] = [];
  #length = 0;
  #data = 0;

  constructor(volume: FileSpace, inode: number) {
    this.#volume = volume;
    this.#inode = inode;
    this.#perBlock = Math.floor((volume.layout.blockSize - ENTRY) / ENTRY);
  }

  get blockCount(): number {
    const ratio = this.#volume.layout.clusterBlocks;
    const tree = this.#leaves[0]!.block === 0 ? 0 : this.#leaves.length * ratio;
    return Math.ceil(this.#data / ratio) * ratio + tree;
  }

  append(block: number, count: number): void {
    // With clusters, extents end with a cluster.
    const longest = LONGEST_EXTENT - (LONGEST_EXTENT % this.#volume.layout.clusterBlocks || 0);
    for (let done = 0; done < count;) {
      const leaf = this.#leaves.at(-1)!;
      const last = leaf.entries.at(-1);
      const at = block + done;
      if (last !== undefined && last.block + last.length === at && last.length < longest) {
        const more = Math.min(longest - last.length, count - done);
        last.length += more;
        done += more;
        this.#length += more;
        continue;
      }
      const length = Math.min(longest, count - done);
      this.#insert({ logical: this.#length, block: at, length });
      done += length;
      this.#length += length;
    }
    this.#data += count;
  }

  numbers(): number[] {
    return this.#leaves.flatMap(({ entries }) =>
      entries.flatMap(({ block, length }) => Array.from({ length }, (_, i) => block + i)),
    );
  }

  #insert(entry: Entry): void {
    const leaf = this.#leaves.at(-1)!;
    if (leaf.block === 0 && leaf.entries.length === ROOT_ENTRIES) {
      // What the root has goes into a block of its own.
      this.#formerRoot = leaf.entries.map((each) => ({ ...each }));
      leaf.block = this.#allocateNode(leaf.entries[0]!.block - 1);
    } else if (leaf.block !== 0 && leaf.entries.length === this.#perBlock) {
      if (this.#leaves.length === ROOT_ENTRIES)
        throw new RangeError('extent trees of two levels are not made');
      const block = this.#allocateNode(leaf.block);
      // Its last entry goes along with the new one, and its bytes stay behind.
      leaf.full = [...leaf.entries];
      this.#leaves.push({ block, entries: [leaf.entries.pop()!, entry] });
      return;
    }
    leaf.entries.push(entry);
  }

  #allocateNode(goal: number): number {
    return this.#volume.allocate(goal);
  }

  root(): Uint8Array {
    const bytes = new Uint8Array(60);
    const [first] = this.#leaves;
    if (first!.block === 0) {
      writeNode(bytes, first!.entries, 0, ROOT_ENTRIES);
      return bytes;
    }
    const index = this.#leaves.map(({ block, entries }) => ({
      logical: entries[0]!.logical,
      block,
      length: 0,
    }));
    writeNode(bytes, this.#formerRoot, 0, ROOT_ENTRIES);
    writeNode(bytes, index, 1, ROOT_ENTRIES);
    for (const { block, entries, full } of this.#leaves) {
      const node = new Uint8Array(this.#volume.layout.blockSize);
      if (full !== undefined) writeNode(node, full, 0, this.#perBlock);
      writeNode(node, entries, 0, this.#perBlock);
      const seed = this.#volume.checksumSeed;
      if (seed !== undefined) {
        const tail = ENTRY + ENTRY * this.#perBlock;
        viewOf(node).setUint32(tail, crc32c(inodeSeed(seed, this.#inode, 0), node, 0, tail), true);
      }
      this.#volume.putBlock(block, node);
    }
    return bytes;
  }
}

function writeNode(into: Uint8Array, entries: readonly Entry[], depth: number, most: number): void {
  const view = viewOf(into);
  view.setUint16(0, EXTENT_MAGIC, true);
  view.setUint16(2, entries.length, true);
  view.setUint16(4, most, true);
  view.setUint16(6, depth, true);
  let at = ENTRY;
  for (const { logical, block, length } of entries) {
    const high = Math.floor(block / 0x1_0000_0000);
    view.setUint32(at, logical, true);
    if (depth > 0) {
      view.setUint32(at + 4, block >>> 0, true);
      view.setUint16(at + 8, high, true);
      view.setUint16(at + 10, 0, true);
    } else {
      view.setUint16(at + 4, length, true);
      view.setUint16(at + 6, high, true);
      view.setUint32(at + 8, block >>> 0, true);
    }
    at += ENTRY;
  }
}

const DIRECT_SLOTS = 12;
const INDIRECT_SLOT = 12;

/** Direct, indirect, double- and triple-indirect blocks: Documentation/filesystems/ext4/ifork.rst. */
class MappedBlocks implements FileBlocks {
  readonly flags = 0;
  readonly #volume: FileSpace;
  readonly #inode: number;
  readonly #slots = new Uint8Array(60);
  readonly #view = viewOf(this.#slots);
  readonly #pointers: number;
  /** Pointer blocks by level: the one that is being filled. */
  readonly #open: (DataView | undefined)[] = [undefined, undefined, undefined];
  readonly #openBlocks: (number | undefined)[] = [undefined, undefined, undefined];
  readonly #numbers: number[] = [];
  #length = 0;
  #pointerBlocks = 0;

  constructor(volume: FileSpace, inode: number) {
    this.#volume = volume;
    this.#inode = inode;
    this.#pointers = volume.layout.blockSize / 4;
  }

  get blockCount(): number {
    return this.#length + this.#pointerBlocks;
  }

  append(block: number, count: number): void {
    for (let i = 0; i < count; i++) this.#add(block + i);
  }

  /** Blocks for pointers that the next block of the file needs, to be taken before it. */
  pointersNeeded(): number {
    const index = this.#length - DIRECT_SLOTS;
    if (index < 0) return 0;
    const n = this.#pointers;
    if (index < n) return index === 0 ? 1 : 0;
    const second = index - n;
    if (second < n * n) return second === 0 ? 2 : second % n === 0 ? 1 : 0;
    const third = second - n * n;
    return third === 0 ? 3 : third % (n * n) === 0 ? 2 : third % n === 0 ? 1 : 0;
  }

  /** Blocks of the file until pointers are needed again. */
  untilPointers(): number {
    const index = this.#length - DIRECT_SLOTS;
    return index < 0 ? -index : this.#pointers - (index % this.#pointers);
  }

  /** Each block that is added is written, and the pointer blocks on the way to it are looked at. */
  countWrites(block: number, count: number): void {
    const { counter } = this.#volume;
    const [last, above, top] = this.#openBlocks;
    for (let i = 0; i < count; i++) {
      if (top !== undefined) counter.read(top);
      if (above !== undefined) counter.read(above);
      if (last !== undefined) counter.read(last);
      counter.write(block + i);
      if (last !== undefined) counter.write(last);
      this.#volume.touchInode(this.#inode);
    }
  }

  addPointers(blocks: readonly number[]): void {
    const index = this.#length - DIRECT_SLOTS;
    const n = this.#pointers;
    const depth = index < n ? 1 : index < n + n * n ? 2 : 3;
    // From the top down: those that are there already stay.
    let level = depth - blocks.length;
    for (const block of blocks) {
      const bytes = new Uint8Array(this.#volume.layout.blockSize);
      this.#volume.putBlock(block, bytes);
      this.#pointerBlocks++;
      if (level === 0) this.#view.setUint32((INDIRECT_SLOT + depth - 1) * 4, block, true);
      else {
        const span = n ** (depth - level);
        const before = depth === 2 ? n : n + n * n;
        const slot = Math.floor((index - before) / span) % n;
        this.#open[depth - level]!.setUint32(slot * 4, block, true);
      }
      this.#open[depth - level - 1] = viewOf(bytes);
      this.#openBlocks[depth - level - 1] = block;
      level++;
    }
  }

  numbers(): number[] {
    return this.#numbers;
  }

  #add(block: number): void {
    this.#numbers.push(block);
    const index = this.#length++;
    if (index < DIRECT_SLOTS) this.#view.setUint32(index * 4, block, true);
    else this.#open[0]!.setUint32(((index - DIRECT_SLOTS) % this.#pointers) * 4, block, true);
  }

  root(): Uint8Array {
    return this.#slots;
  }
}

/** Takes `count` blocks for the file from `goal` on, as fallocate(2) would: in as few runs as are free. */
export function fillFile(volume: FileSpace, blocks: FileBlocks, count: number, goal: number): number {
  let first = -1;
  let at = goal;
  for (let done = 0; done < count;) {
    let wanted = count - done;
    if (blocks instanceof MappedBlocks) {
      const pointers: number[] = [];
      for (let i = blocks.pointersNeeded(); i > 0; i--) {
        at = volume.allocate(at);
        pointers.push(at++);
      }
      if (pointers.length > 0) blocks.addPointers(pointers);
      wanted = Math.min(wanted, blocks.untilPointers());
    } else wanted = Math.min(wanted, LONGEST_EXTENT);
    const found = volume.findSpace(at, wanted);
    volume.take(found.block, found.count);
    volume.zeroBlocks.push(found);
    // Those of a block map go one by one through the reference's cache.
    if (blocks instanceof MappedBlocks && volume.counter.enabled)
      blocks.countWrites(found.block, found.count);
    blocks.append(found.block, found.count);
    if (first < 0) first = found.block;
    done += found.count;
    at = found.block + found.count;
  }
  return first;
}
