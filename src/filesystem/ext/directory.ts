import { decodeUtf8 } from '../../bytes/utf8.ts';
import { FsError, UnsupportedError } from '../../errors.ts';
import type { NodeKind } from '../file-system.ts';
import { type CachedBlock, WriteRank } from './block-cache.ts';
import { DIRECTORY_TAIL } from './checksum.ts';
import {
  DirectoryEntryHeader,
  entryLength,
  entrySize,
  firstGap,
  gapAt,
  initDirectoryBlock,
  initEmptyBlock,
  insertEntry,
  isDotEntry,
  largestGap,
  removeEntry,
  typeOfKind,
} from './directory-block.ts';
import { DirectoryReader, type RawEntry } from './directory-reader.ts';
import type { ExtCore } from './ext-core.ts';
import type { MappedRun } from './file-map.ts';
import { HashTree } from './htree.ts';
import {
  areaWithRoom,
  canGrowInline,
  createInlineDirectory,
  growInlineDirectory,
  inlineEntryAreas,
  inlineParent,
  setInlineParent,
} from './inline-directory.ts';
import { InodeFlag } from './inode.ts';
import type { InodeRef, InodeTable } from './inode-table.ts';
import { type Directory, OpenDirectories, firstFit, newDirectory, noteGap } from './open-directories.ts';
import { CompatibleFeature, IncompatibleFeature } from './superblock.ts';
import type { Volume } from './volume.ts';

/** Stands for the position of a block in a directory that has none. */
const INLINE = -1;

/** Where an entry lies. */
interface Place {
  readonly view: DataView;
  readonly at: number;
  /** Of the block in the directory, or INLINE. */
  readonly position: number;
  /** End of the entries, bytes. */
  readonly end: number;
  /** To be called after a change. */
  readonly dirty: () => void;
}

/** Blocks that an index can name. */
const MAX_BLOCKS = 2 ** 28;
/** Longest directory, bytes: its size has no high half, but with `large_dir`. */
const MAX_DIRECTORY = 0x7fff_ffff;

/** Reads directories and changes them, with their hash trees. */
export class DirectoryStore {
  readonly #core: ExtCore;
  readonly #volume: Volume;
  readonly #inodes: InodeTable;
  readonly #tree: HashTree;
  readonly #reader: DirectoryReader;
  readonly #open = new OpenDirectories();
  readonly #hasTypes: boolean;
  readonly #canIndex: boolean;
  /** Bytes of a block without index entries that names may take. */
  readonly #leafSize: number;

  constructor(core: ExtCore) {
    const { volume } = core;
    this.#core = core;
    this.#volume = volume;
    this.#inodes = core.inodes;
    this.#tree = new HashTree(volume);
    this.#reader = new DirectoryReader(core);
    this.#hasTypes = (volume.features.incompatible & IncompatibleFeature.filetype) !== 0;
    this.#leafSize = volume.geometry.blockSize - (volume.seals === undefined ? 0 : DIRECTORY_TAIL);
    this.#canIndex = (volume.features.compatible & CompatibleFeature.dir_index) !== 0;
  }

  /** The directory with all its names. */
  open(ref: InodeRef): Directory {
    const known = this.#open.get(ref.number);
    if (known !== undefined) return known;
    if (this.#core.isInline(ref)) return this.#openInline(ref);
    const directory = newDirectory(ref.number, this.#reader.blocksOf(ref), this.#reader.sealOf(ref));
    for (let position = 0; position < directory.blocks.length; position++) {
      this.#reader.check(directory.inode, directory.blocks[position]!, directory.seal);
      this.#index(directory, position);
    }
    this.#open.remember(directory);
    return directory;
  }

  /** Forgets what is in memory about a directory that is gone. */
  forget(inode: number): void {
    this.#open.forget(inode);
  }

  forgetAll(): void {
    this.#open.clear();
  }

  /** The inode behind a name, or undefined. */
  lookup(ref: InodeRef, name: string): number | undefined {
    return this.find(this.open(ref), name);
  }

  find(directory: Directory, name: string): number | undefined {
    const place = directory.names.get(name);
    if (place === undefined) return undefined;
    if (directory.isInline) {
      const { view, at } = this.#entryAt(directory, place);
      return DirectoryEntryHeader.inode.get(view, at);
    }
    const { blockSize } = this.#volume.geometry;
    const at = place % blockSize;
    return DirectoryEntryHeader.inode.get(this.#block(directory, (place - at) / blockSize).view, at);
  }

  /** Every entry but `.` and `..`, in the order of the directory, as it is now. */
  list(ref: InodeRef): RawEntry[] {
    const entries: RawEntry[] = [];
    if (this.#core.isInline(ref)) {
      for (const { bytes, view } of this.#reader.inlineAreas(ref))
        this.#reader.listInto(entries, bytes, view);
      return entries;
    }
    const open = this.#open.get(ref.number);
    const seal = open === undefined ? this.#reader.sealOf(ref) : open.seal;
    for (const index of open?.blocks ?? this.#reader.blocksOf(ref)) {
      const { view, bytes } = this.#reader.check(ref.number, index, seal);
      this.#reader.listInto(entries, bytes.subarray(0, this.#reader.entriesEnd(view)), view);
    }
    return entries;
  }

  /** The inode of `..`. */
  parent(ref: InodeRef): number {
    if (this.#core.isInline(ref)) return inlineParent(ref);
    const { block, at } = this.#reader.dotDot(ref);
    return DirectoryEntryHeader.inode.get(block.view, at);
  }

  setParent(ref: InodeRef, parent: number): void {
    if (this.#core.isInline(ref)) {
      setInlineParent(ref, parent);
      this.#inodes.markDirty(ref);
      return;
    }
    const { block, at } = this.#reader.dotDot(ref);
    DirectoryEntryHeader.inode.set(block.view, at, parent);
    this.#volume.cache.markDirty(block);
  }

  /** The block that has room for the name as it is; undefined where it has to be made, see `growth` and `reserve`. */
  room(ref: InodeRef, directory: Directory, name: Uint8Array): number | undefined {
    const size = entrySize(name.length);
    this.#requireComparable(ref);
    if (directory.isInline) return areaWithRoom(this.#core, ref, size) === undefined ? undefined : INLINE;
    if (!this.#isIndexed(ref)) {
      const fit = firstFit(directory, size);
      return fit < 0 ? undefined : fit;
    }
    const hash = this.#tree.hash(directory, name);
    return hash === undefined ? undefined : this.#tree.leafWithRoom(directory, hash, size);
  }

  /** How many blocks have to be taken before the name fits; ENOSPC when the directory cannot grow any more. */
  growth(ref: InodeRef, directory: Directory, name: Uint8Array): number {
    const size = entrySize(name.length);
    this.#requireComparable(ref);
    if (directory.isInline) {
      if (areaWithRoom(this.#core, ref, size) !== undefined || canGrowInline(this.#core, ref, size)) return 0;
      // One for the entries, and one more and an index when they nearly fill it.
      return 3 * this.#volume.geometry.blocksPerCluster;
    }
    if (this.#isIndexed(ref)) {
      const hash = this.#tree.hash(directory, name);
      const blocks = hash === undefined ? undefined : this.#tree.growth(directory, hash, size);
      if (blocks !== undefined) return this.#missing(ref, directory, blocks);
    }
    if (firstFit(directory, size) >= 0) return 0;
    const first = this.#wantsIndex(ref, directory);
    return this.#missing(ref, directory, first ? 2 : 1);
  }

  /** Makes room for the name and returns the block that has it. Nothing that a reader sees changes. */
  reserve(ref: InodeRef, directory: Directory, name: Uint8Array): number {
    const size = entrySize(name.length);
    if (directory.isInline) {
      if (areaWithRoom(this.#core, ref, size) !== undefined) return INLINE;
      if (canGrowInline(this.#core, ref, size)) {
        growInlineDirectory(this.#core, ref);
        return INLINE;
      }
      this.#moveOut(ref, directory);
    }
    const append = (): number => this.#append(ref, directory);
    const moved = (position: number): void => this.#index(directory, position);
    if (!this.#isIndexed(ref)) {
      const fit = firstFit(directory, size);
      if (fit >= 0) return fit;
      if (!this.#wantsIndex(ref, directory)) return append();
      this.#tree.plant(directory, append, moved);
      this.#inodes.setFlag(ref, InodeFlag.index, true);
    }
    const hash = this.#tree.hash(directory, name);
    if (hash !== undefined && this.#tree.growth(directory, hash, size) !== undefined) {
      return this.#tree.reserve(directory, hash, size, append, moved);
    }
    // The tree is full, or not sound: what follows is a directory without index, which every reader understands.
    this.#inodes.setFlag(ref, InodeFlag.index, false);
    for (let position = 0; position < directory.blocks.length; position++) {
      if (directory.seal !== undefined) this.#dissolveNode(directory, position);
      this.#index(directory, position);
    }
    directory.firstFits.fill(0);
    const fit = firstFit(directory, size);
    return fit >= 0 ? fit : append();
  }

  /** Writes an entry into a block that `reserve` has named. */
  insert(
    directory: Directory,
    position: number,
    name: string,
    bytes: Uint8Array,
    inode: number,
    kind: NodeKind,
  ): void {
    const { blockSize } = this.#volume.geometry;
    const type = this.#hasTypes ? typeOfKind(kind) : 0;
    if (position === INLINE) {
      const ref = this.#inodes.load(directory.inode);
      const area = areaWithRoom(this.#core, ref, entrySize(bytes.length))!;
      const place = insertEntry(area.view, area.bytes.length, bytes, inode, type);
      directory.names.set(name, area.offset + place);
      this.#open.countName(directory, 1);
      this.#inodes.markDirty(ref);
      return;
    }
    const block = this.#block(directory, position);
    const at = insertEntry(block.view, this.#leafSize, bytes, inode, type, directory.gapStarts[position]);
    noteGaps(directory, position, block.view, this.#leafSize, directory.gapStarts[position]!);
    directory.names.set(name, position * blockSize + at);
    this.#open.countName(directory, 1);
    this.#volume.cache.markDirty(block);
  }

  remove(directory: Directory, name: string): void {
    const { view, at, position, end, dirty } = this.#entryAt(directory, directory.names.get(name)!);
    const taker = removeEntry(view, end, at);
    directory.names.delete(name);
    this.#open.countName(directory, -1);
    dirty();
    if (position === INLINE) return;
    const gap = gapAt(view, end, taker);
    if (taker < directory.gapStarts[position]!) directory.gapStarts[position] = taker;
    if (gap <= directory.gaps[position]!) return;
    directory.gaps[position] = gap;
    noteGap(directory, position);
  }

  /** Lets an existing name lead to another inode. */
  replace(directory: Directory, name: string, inode: number, kind: NodeKind): void {
    const { view, at, dirty } = this.#entryAt(directory, directory.names.get(name)!);
    DirectoryEntryHeader.inode.set(view, at, inode);
    if (this.#hasTypes) DirectoryEntryHeader.file_type.set(view, at, typeOfKind(kind));
    dirty();
  }

  /** Lets the entry of `name` leave the device only after that of `newName` has come there. False when that cannot be. */
  order(to: Directory, newName: string, from: Directory, name: string): boolean {
    const gains = this.#blockOf(to, newName);
    const loses = this.#blockOf(from, name);
    // What a new block does not have it never had.
    if (loses.rank === WriteRank.newDirectory || gains.rank < loses.rank) return true;
    return gains.rank === loses.rank && this.#volume.cache.order(gains, loses);
  }

  /** The block of the directory, or of the inode table, that has the entry. */
  #blockOf(directory: Directory, name: string): CachedBlock {
    if (directory.isInline) return this.#inodes.load(directory.inode).block;
    const { blockSize } = this.#volume.geometry;
    return this.#block(directory, Math.floor(directory.names.get(name)! / blockSize));
  }

  /** Blocks that a new directory takes. */
  get firstBlocks(): number {
    return this.#core.inline.isUsual ? 0 : 1;
  }

  /** Gives a new directory its place: in its inode where the volume keeps small directories there, else a block. */
  create(ref: InodeRef, parent: number): void {
    if (this.#core.inline.isUsual) {
      createInlineDirectory(this.#core, ref, parent);
      this.#openInline(ref);
      return;
    }
    this.#open.remember(this.#createBlock(ref, parent));
  }

  #createBlock(ref: InodeRef, parent: number): Directory {
    this.#core.fileMap.plant(ref);
    const index = this.#grow(ref, 0);
    const seal = this.#reader.sealOf(ref);
    const block = this.#volume.cache.create(index, WriteRank.newDirectory, seal);
    const { blockSize } = this.#volume.geometry;
    initDirectoryBlock(
      block.view,
      this.#leafSize,
      ref.number,
      parent,
      this.#hasTypes ? typeOfKind('directory') : 0,
    );
    this.#inodes.setSize(ref, blockSize);
    const directory = newDirectory(ref.number, [index], seal);
    noteGaps(directory, 0, block.view, this.#leafSize, 0);
    return directory;
  }

  #openInline(ref: InodeRef): Directory {
    this.#core.fileMap.requireReadable(ref);
    const directory = newDirectory(ref.number, [], this.#reader.sealOf(ref));
    directory.isInline = true;
    for (const { view, bytes, offset } of this.#reader.inlineAreas(ref)) {
      for (let at = 0; at < bytes.length; at += entryLength(view, at, bytes.length)) {
        if (DirectoryEntryHeader.inode.get(view, at) === 0 || isDotEntry(view, at)) continue;
        const name = decodeUtf8(bytes, at + 8, at + 8 + DirectoryEntryHeader.name_len.get(view, at));
        directory.names.set(name, offset + at);
      }
    }
    this.#open.remember(directory);
    return directory;
  }

  /** An inline directory gets a block. */
  #moveOut(ref: InodeRef, directory: Directory): void {
    const entries: { name: Uint8Array; inode: number; type: number }[] = [];
    for (const { view, bytes } of this.#reader.inlineAreas(ref)) {
      for (let at = 0; at < bytes.length; at += entryLength(view, at, bytes.length)) {
        const inode = DirectoryEntryHeader.inode.get(view, at);
        if (inode === 0) continue;
        const name = bytes.slice(at + 8, at + 8 + DirectoryEntryHeader.name_len.get(view, at));
        entries.push({ name, inode, type: DirectoryEntryHeader.file_type.get(view, at) });
      }
    }
    const parent = inlineParent(ref);
    this.#core.inline.clear(ref);
    const { blocks } = this.#createBlock(ref, parent);
    directory.isInline = false;
    directory.blocks.push(...blocks);
    const block = this.#block(directory, 0);
    for (const { name, inode, type } of entries) insertEntry(block.view, this.#leafSize, name, inode, type);
    this.#index(directory, 0);
  }

  /** UnsupportedError where names are the same that differ in their case: their hashes are of another kind. */
  #requireComparable(ref: InodeRef): void {
    if (!this.#inodes.hasFlag(ref, InodeFlag.casefold)) return;
    throw new UnsupportedError(`Inode ${ref.number} cannot be changed: unsupported feature casefold`, [
      'casefold',
    ]);
  }

  #isIndexed(ref: InodeRef): boolean {
    return this.#canIndex && this.#inodes.hasFlag(ref, InodeFlag.index);
  }

  /** As the kernel: a directory gets its index when its first block is full. */
  #wantsIndex(ref: InodeRef, directory: Directory): boolean {
    return this.#canIndex && directory.blocks.length === 1 && !this.#inodes.hasFlag(ref, InodeFlag.index);
  }

  #missing(ref: InodeRef, directory: Directory, count: number): number {
    if (count === 0) return 0;
    const { blockSize } = this.#volume.geometry;
    const large = (this.#volume.features.incompatible & IncompatibleFeature.large_dir) !== 0;
    const most = large ? MAX_BLOCKS : MAX_DIRECTORY / blockSize;
    if (directory.blocks.length + count > most) {
      throw new FsError('ENOSPC', { detail: 'no space left on device: the directory cannot grow any more' });
    }
    return this.#core.fileMap.missing(ref, directory.blocks.length, count);
  }

  #append(ref: InodeRef, directory: Directory): number {
    const { blockSize } = this.#volume.geometry;
    const index = this.#grow(ref, directory.blocks.length);
    const block = this.#volume.cache.create(index, WriteRank.newDirectory, directory.seal);
    initEmptyBlock(block.view, this.#leafSize);
    directory.blocks.push(index);
    directory.gaps.push(this.#leafSize);
    directory.gapStarts.push(0);
    this.#inodes.setSize(ref, directory.blocks.length * blockSize);
    // A change of the directory's shape on a volume without the feature invalidates whatever index there was.
    if (!this.#canIndex) this.#inodes.setFlag(ref, InodeFlag.index, false);
    return directory.blocks.length - 1;
  }

  /** Maps block `position` of a directory and returns where it lies. */
  #grow(ref: InodeRef, position: number): number {
    const { fileMap, blocks } = this.#core;
    const run: MappedRun = { start: 0, length: 0 };
    const group = Math.floor((ref.number - 1) / this.#volume.geometry.inodesPerGroup);
    fileMap.provide(ref, position, 1, fileMap.goal(ref, position) || blocks.goalInGroup(group), 1);
    fileMap.map(ref, position, 1, run);
    return run.start;
  }

  /** A node of the index becomes a block with no names, or with `.` and `..`. */
  #dissolveNode(directory: Directory, position: number): void {
    const block = this.#block(directory, position);
    if (this.#reader.entriesEnd(block.view) === this.#leafSize) return;
    if (position === 0) {
      block.bytes.fill(0, 24);
      DirectoryEntryHeader.rec_len.set(block.view, 12, this.#leafSize - 12);
    } else {
      block.bytes.fill(0);
      initEmptyBlock(block.view, this.#leafSize);
    }
    this.#volume.cache.markDirty(block);
  }

  /** Notes where the names of a block are, and its largest gap. */
  #index(directory: Directory, position: number): void {
    const { blockSize } = this.#volume.geometry;
    const { view, bytes } = this.#block(directory, position);
    const end = this.#reader.entriesEnd(view);
    for (let at = 0; at < end; at += entryLength(view, at, end)) {
      if (DirectoryEntryHeader.inode.get(view, at) === 0 || isDotEntry(view, at)) continue;
      const name = decodeUtf8(bytes, at + 8, at + 8 + DirectoryEntryHeader.name_len.get(view, at));
      directory.names.set(name, position * blockSize + at);
    }
    noteGaps(directory, position, view, end, 0);
  }

  #block(directory: Directory, position: number): CachedBlock {
    return this.#volume.cache.get(directory.blocks[position]!, WriteRank.directory, directory.seal);
  }

  #entryAt(directory: Directory, place: number): Place {
    if (directory.isInline) {
      const ref = this.#inodes.load(directory.inode);
      const area = inlineEntryAreas(this.#core, ref).findLast(({ offset }) => offset <= place)!;
      const dirty = (): void => this.#inodes.markDirty(ref);
      return { view: area.view, at: place - area.offset, position: INLINE, end: area.bytes.length, dirty };
    }
    const { blockSize } = this.#volume.geometry;
    const at = place % blockSize;
    const position = (place - at) / blockSize;
    const block = this.#block(directory, position);
    const dirty = (): void => this.#volume.cache.markDirty(block);
    return { view: block.view, at, position, end: this.#leafSize, dirty };
  }
}

/** What room the entries of a block leave, of which those before `from` leave none. */
function noteGaps(directory: Directory, position: number, view: DataView, end: number, from: number): void {
  const start = firstGap(view, end, from);
  directory.gapStarts[position] = start;
  directory.gaps[position] = largestGap(view, end, start);
}
