import { decodeUtf8 } from '../../../bytes/utf8.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import { CorruptImageError, UnsupportedError } from '../../../errors.ts';
import { setBit, testBit } from '../bitmap.ts';
import { ExtCore, nameBytes } from '../ext-core.ts';
import { type ExtentRun, ExtentTree } from '../extent-tree.ts';
import { Inode, InodeFlag, InodeKind } from '../inode.ts';
import type { InodeRef } from '../inode-table.ts';
import { removeNode } from '../node-removal.ts';
import { Superblock } from '../superblock.ts';
import { Volume } from '../volume.ts';
import { type FastCommitRecord, FastCommitTag } from './fast-commit.ts';

/** A length above this in an extent stands for one that reads as zeros, that much shorter. */
const MAX_WRITTEN = 0x8000;

/** `EXT4_LINK_MAX`. */
const MAX_LINKS = 65000;

interface Range {
  readonly inode: number;
  readonly block: number;
  readonly start: number;
  readonly length: number;
  readonly unwritten: boolean;
}

/**
 * Makes the changes of fast commits on a device that shows the volume after its log was replayed, and which keeps them to itself. As the
 * kernel: names and inodes as they are told, mappings as they are told; blocks of directories are found anew. CorruptImageError or
 * another error when the records and the volume do not agree: then nothing of it is to be used.
 */
export function replayFastCommits(device: BlockDevice, records: readonly FastCommitRecord[]): void {
  const volume: Volume = Volume.open(device, () => ({
    seconds: Superblock.s_wtime.get(volume.superblock, 0),
    nanoseconds: 0,
  }));
  if (volume.geometry.blocksPerCluster > 1)
    throw new UnsupportedError('Fast commits are not replayed on a volume with clusters (bigalloc)', [
      'bigalloc',
    ]);
  volume.recount();
  new FastCommitReplay(volume, records).run();
  volume.close();
}

class FastCommitReplay {
  readonly #core: ExtCore;
  readonly #tree: ExtentTree;
  readonly #records: readonly FastCommitRecord[];
  /** Blocks of ranges to come, which nobody else may take. */
  readonly #reserved = new Set<number>();
  readonly #mapped = new Set<number>();
  readonly #directories = new Set<number>();
  #next = 0;

  constructor(volume: Volume, records: readonly FastCommitRecord[]) {
    this.#core = new ExtCore(volume);
    this.#tree = new ExtentTree(volume);
    this.#records = records;
  }

  run(): void {
    this.#reserve();
    for (const record of this.#records) {
      this.#next++;
      if (record.tag === FastCommitTag.addRange) this.#addRange(rangeOf(record));
      else if (record.tag === FastCommitTag.deleteRange) this.#deleteRange(record);
      else if (record.tag === FastCommitTag.inode) this.#replaceInode(record);
      else if (record.tag === FastCommitTag.unlink) this.#unlink(record);
      else this.#link(record, record.tag === FastCommitTag.create);
    }
    this.#finish();
  }

  /** Takes the blocks of all ranges to come. */
  #reserve(): void {
    for (const record of this.#records.slice(this.#next)) {
      if (record.tag !== FastCommitTag.addRange) continue;
      const { start, length } = rangeOf(record);
      for (let block = start; block < start + length; block++) this.#take(block);
    }
  }

  #take(block: number): void {
    const { volume } = this.#core;
    const { firstDataBlock, blocksPerGroup } = volume.geometry;
    volume.checkPointer(block, 0, 'fast commit');
    const group = volume.groups.get(Math.floor((block - firstDataBlock) / blocksPerGroup));
    const bitmap = volume.groups.blockBitmap(group);
    const bit = block - group.firstBlock;
    if (testBit(bitmap.bytes, bit)) return;
    setBit(bitmap.bytes, bit);
    group.freeClusters--;
    volume.freeBlocks--;
    volume.groups.saveBlocks(group, bitmap);
    this.#reserved.add(block);
  }

  #isTaken(block: number): boolean {
    const { volume } = this.#core;
    const { firstDataBlock, blocksPerGroup } = volume.geometry;
    const group = volume.groups.get(Math.floor((block - firstDataBlock) / blocksPerGroup));
    return testBit(volume.groups.blockBitmap(group).bytes, block - group.firstBlock);
  }

  /** What was freed is free at once, but for what the ranges to come take. */
  #settle(): void {
    const { volume } = this.#core;
    if (volume.held.count + volume.heldInodes.count === 0) return;
    volume.settle();
    this.#reserve();
  }

  #addRange({ inode, block, start, length, unwritten }: Range): void {
    const ref = this.#file(inode);
    this.#mapped.add(inode);
    const run: ExtentRun = { start: 0, length: 0, unwritten: false };
    for (let done = 0; done < length; done += run.length) {
      const at = block + done;
      this.#tree.look(ref, at, length - done, run, true);
      const { length: count } = run;
      if (run.start === start + done && run.unwritten === unwritten) continue;
      if (run.start === start + done) {
        // The same blocks in another state.
        this.#withNodes(ref, at, at + count, () => this.#tree.remove(ref, at, at + count, () => undefined));
      } else if (run.start !== 0) this.#unmap(ref, at, at + count);
      for (let taken = start + done; taken < start + done + count; taken++) this.#take(taken);
      this.#withNodes(ref, at, at + count, () => this.#tree.insert(ref, at, start + done, count, unwritten));
    }
  }

  #deleteRange({ view }: FastCommitRecord): void {
    const inode = view.getUint32(0, true);
    const from = view.getUint32(4, true);
    const ref = this.#file(inode);
    this.#mapped.add(inode);
    this.#unmap(ref, from, from + view.getUint32(8, true));
    this.#settle();
  }

  #unmap(ref: InodeRef, from: number, to: number): void {
    this.#withNodes(ref, from, to, () =>
      this.#tree.remove(ref, from, to, (start, length) => {
        for (let block = start; block < start + length; block++) {
          this.#reserved.delete(block);
          if (this.#isTaken(block)) this.#core.blocks.free(block, 1);
        }
      }),
    );
  }

  /** Has nodes at hand for a change of the tree; those that it did not need are free again. */
  #withNodes(ref: InodeRef, from: number, to: number, change: () => void): void {
    const { blocks, inodes, volume } = this.#core;
    const { spare } = this.#tree;
    const count = this.#tree.growth(ref, from, to - 1, 3);
    if (count > 0) {
      for (const run of blocks.allocate(volume.geometry.firstDataBlock, count))
        for (let i = 0; i < run.length; i++) spare.push(run.start + i);
    }
    change();
    for (const block of spare) blocks.giveBack(block, 1);
    spare.length = 0;
    inodes.markDirty(ref);
  }

  /** The inode as it was, but for its blocks, which ranges tell. */
  #replaceInode({ bytes, view }: FastCommitRecord): void {
    const { inodes, volume } = this.#core;
    const number = view.getUint32(0, true);
    if (!this.#core.isNameable(number)) throw corrupt('an inode', `inode ${number}`);
    this.#takeInode(number);
    const ref = inodes.peek(number);
    const raw = bytes.subarray(4, 4 + volume.geometry.inodeSize);
    const rawView = new DataView(raw.buffer, raw.byteOffset, raw.length);
    if (raw.length < Inode.$size) throw corrupt(`an inode of ${Inode.$size} bytes`, `${raw.length} bytes`);
    const target = ref.block.bytes.subarray(ref.base, ref.base + volume.geometry.inodeSize);
    const kind = Inode.i_mode.get(rawView, 0) & 0xf000;
    const isKnown = (Inode.i_mode.get(ref.view, ref.base) & 0xf000) === kind;
    const isDirectory = kind === InodeKind.directory && isKnown && this.#hasTree(ref);
    const size = inodes.size(ref);
    const isIndexed = inodes.hasFlag(ref, InodeFlag.index);
    const mapAt = Inode.i_block.offset;
    const mapEnd = mapAt + Inode.i_block.length;
    const flags = Inode.i_flags.get(rawView, 0);
    target.set(raw.subarray(0, mapAt), 0);
    target.set(raw.subarray(mapEnd), mapEnd);
    if ((flags & InodeFlag.extents) === 0) target.set(raw.subarray(mapAt, mapEnd), mapAt);
    else if (!this.#hasTree(ref)) this.#tree.plant(ref);
    if (isDirectory) {
      // How its names are spread over blocks is ours.
      inodes.setSize(ref, size);
      inodes.setFlag(ref, InodeFlag.index, isIndexed);
    }
    if (kind === InodeKind.directory) this.#directories.add(number);
    if ((flags & InodeFlag.extents) !== 0) this.#mapped.add(number);
    inodes.markDirty(ref);
  }

  /** Is there a tree of extents in `i_block`? */
  #hasTree(ref: InodeRef): boolean {
    return ref.view.getUint16(ref.base + Inode.i_block.offset, true) === 0xf30a;
  }

  #takeInode(number: number): void {
    const { inodeAllocator, volume } = this.#core;
    const { inodesPerGroup } = volume.geometry;
    if (inodeAllocator.isUsed(number)) return;
    const group = volume.groups.get(inodeAllocator.groupOf(number));
    const bitmap = volume.groups.inodeBitmap(group);
    const bit = (number - 1) % inodesPerGroup;
    setBit(bitmap.bytes, bit);
    group.freeInodes--;
    volume.freeInodes--;
    volume.groups.saveInodes(group, bitmap, bit);
  }

  #link(record: FastCommitRecord, isNew: boolean): void {
    const { directories, inodes, volume } = this.#core;
    const { parent, inode, name } = entryOf(record);
    const ref = inodes.load(inode);
    const kind = inodes.kind(ref);
    const parentRef = this.#directory(parent);
    if (isNew && kind === 'directory' && !this.#hasFirstBlock(ref)) {
      directories.create(ref, parent);
      const group = volume.groups.get(this.#core.inodeAllocator.groupOf(inode));
      group.usedDirectories++;
      volume.groups.save(group);
    }
    const directory = directories.open(parentRef);
    if (directories.find(directory, name) === undefined) {
      const bytes = nameBytes(name, 'link');
      const position = directories.reserve(parentRef, directory, bytes);
      directories.insert(directory, position, name, bytes, inode, kind);
      if (!isNew) this.#setLinks(ref, Inode.i_links_count.get(ref.view, ref.base) + 1);
    }
    if (isNew && kind !== 'directory') this.#setLinks(ref, 1);
  }

  #hasFirstBlock(ref: InodeRef): boolean {
    if (this.#core.isInline(ref)) return true;
    const run: ExtentRun = { start: 0, length: 0, unwritten: false };
    this.#tree.look(ref, 0, 1, run, true);
    return run.start !== 0;
  }

  #unlink(record: FastCommitRecord): void {
    const { directories, inodes } = this.#core;
    const { parent, inode, name } = entryOf(record);
    const directory = directories.open(this.#directory(parent));
    if (directories.find(directory, name) !== inode) return;
    directories.remove(directory, name);
    const ref = inodes.load(inode);
    const links = Inode.i_links_count.get(ref.view, ref.base) - 1;
    const isDirectory = inodes.kind(ref) === 'directory';
    if (links > 0 && !isDirectory) {
      this.#setLinks(ref, links);
      return;
    }
    this.#setLinks(ref, 0);
    removeNode(this.#core, ref);
    this.#mapped.delete(inode);
    this.#directories.delete(inode);
    this.#settle();
  }

  #setLinks(ref: InodeRef, links: number): void {
    Inode.i_links_count.set(ref.view, ref.base, links);
    this.#core.inodes.markDirty(ref);
  }

  #directory(number: number): InodeRef {
    this.#directories.add(number);
    this.#mapped.add(number);
    return this.#core.directory(number, 'replay');
  }

  #file(number: number): InodeRef {
    const ref = this.#core.inodes.load(number);
    if (!this.#core.isNameable(number) || !this.#core.inodes.hasFlag(ref, InodeFlag.extents)) {
      throw corrupt('a file with extents', `inode ${number}`);
    }
    return ref;
  }

  /** Counts the blocks of what was touched, and gives back what was taken for ranges that are gone again. */
  #finish(): void {
    const { directories, inodes, volume, blocks } = this.#core;
    const { blockSize } = volume.geometry;
    for (const number of this.#directories) {
      const ref = inodes.load(number);
      if (!this.#core.isInline(ref)) inodes.setSize(ref, directories.open(ref).blocks.length * blockSize);
      this.#countLinks(ref);
    }
    for (const number of this.#mapped) {
      const ref = inodes.load(number);
      if (!inodes.hasFlag(ref, InodeFlag.extents)) continue;
      let count = inodes.attributeBlock(ref) === 0 ? 0 : 1;
      this.#tree.walk(
        ref,
        0,
        Number.POSITIVE_INFINITY,
        () => count++,
        (start, length) => {
          count += length;
          for (let block = start; block < start + length; block++) this.#reserved.delete(block);
        },
      );
      inodes.addBlocks(ref, count - Math.floor(inodes.allocated(ref) / blockSize));
    }
    for (const block of this.#reserved) if (this.#isTaken(block)) blocks.giveBack(block, 1);
  }

  /** A directory's parent is not always told of: its own name, `.`, and `..` of each directory in it. */
  #countLinks(ref: InodeRef): void {
    const { directories, inodes } = this.#core;
    // 1 stands for a number that is not known any more.
    if (Inode.i_links_count.get(ref.view, ref.base) === 1) return;
    let links = 2;
    for (const { inode } of directories.list(ref)) {
      if (inodes.kindIfKnown(inodes.load(inode)) === 'directory') links++;
    }
    this.#setLinks(ref, links > MAX_LINKS ? 1 : links);
  }
}

function rangeOf({ view }: FastCommitRecord): Range {
  const length = view.getUint16(8, true);
  const unwritten = length > MAX_WRITTEN;
  return {
    inode: view.getUint32(0, true),
    block: view.getUint32(4, true),
    length: unwritten ? length - MAX_WRITTEN : length,
    start: view.getUint16(10, true) * 0x1_0000_0000 + view.getUint32(12, true),
    unwritten,
  };
}

function entryOf({ bytes, view }: FastCommitRecord): { parent: number; inode: number; name: string } {
  return {
    parent: view.getUint32(0, true),
    inode: view.getUint32(4, true),
    name: decodeUtf8(bytes, 8, bytes.length),
  };
}

function corrupt(expected: string, found: string): CorruptImageError {
  return new CorruptImageError({ structure: 'fast commit', field: 'record', found, expected });
}
