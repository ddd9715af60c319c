import { decodeUtf8 } from '../../bytes/utf8.ts';
import { CorruptImageError } from '../../errors.ts';
import type { NodeKind } from '../file-system.ts';
import { type BlockSeal, type CachedBlock, WriteRank } from './block-cache.ts';
import { checksummedEntriesEnd } from './checksum.ts';
import { DirectoryEntryHeader, entryFault, entryLength, isDotEntry, kindOfType } from './directory-block.ts';
import type { ExtCore } from './ext-core.ts';
import type { MappedRun } from './file-map.ts';
import { type EntryArea, inlineEntryAreas } from './inline-directory.ts';
import { Inode } from './inode.ts';
import type { InodeRef, InodeTable } from './inode-table.ts';
import { IncompatibleFeature } from './superblock.ts';
import type { Volume } from './volume.ts';

export interface RawEntry {
  readonly name: string;
  readonly inode: number;
  /** Undefined where the entry does not say. */
  readonly kind: NodeKind | undefined;
}

/** Finds the blocks of directories, and takes nothing from them before every entry was found to be sound. */
export class DirectoryReader {
  readonly #core: ExtCore;
  readonly #volume: Volume;
  readonly #inodes: InodeTable;
  readonly #hasTypes: boolean;

  constructor(core: ExtCore) {
    this.#core = core;
    this.#volume = core.volume;
    this.#inodes = core.inodes;
    this.#hasTypes = (core.volume.features.incompatible & IncompatibleFeature.filetype) !== 0;
  }

  /** Where the blocks of a directory lie, in its order. */
  blocksOf(ref: InodeRef): number[] {
    this.#core.fileMap.requireReadable(ref);
    const { blockSize, blockCount } = this.#volume.geometry;
    const size = this.#inodes.size(ref);
    const count = size / blockSize;
    if (count === 0 || !Number.isInteger(count) || count > blockCount) {
      throw this.#inodes.corrupt(
        ref,
        'i_size_lo',
        `${size}`,
        `a multiple of ${blockSize} from ${blockSize} to ${blockCount * blockSize}`,
      );
    }
    const run: MappedRun = { start: 0, length: 0 };
    const blocks: number[] = [];
    while (blocks.length < count) {
      this.#core.fileMap.map(ref, blocks.length, count - blocks.length, run);
      if (run.start === 0) {
        throw this.#inodes.corrupt(ref, `block ${blocks.length}`, 'a hole', 'a block of the directory');
      }
      for (let i = 0; i < run.length; i++) blocks.push(run.start + i);
    }
    if (new Set(blocks).size !== blocks.length) {
      throw this.#inodes.corrupt(ref, 'i_block', 'a block twice', 'every block once');
    }
    return blocks;
  }

  /** The entry `..`, which must be the second of the first block. */
  dotDot(ref: InodeRef): { block: CachedBlock; at: number } {
    const run: MappedRun = { start: 0, length: 0 };
    this.#core.fileMap.map(ref, 0, 1, run);
    if (run.start === 0) throw this.#inodes.corrupt(ref, 'block 0', 'a hole', 'a block of the directory');
    const block = this.check(ref.number, run.start, this.sealOf(ref));
    const { view } = block;
    const at = entryLength(view, 0, this.#volume.geometry.blockSize);
    const sound =
      at < this.#volume.geometry.blockSize &&
      DirectoryEntryHeader.name_len.get(view, at) === 2 &&
      isDotEntry(view, at) &&
      DirectoryEntryHeader.inode.get(view, at) !== 0;
    if (sound) return { block, at };
    throw new CorruptImageError({
      structure: `directory of inode ${ref.number}`,
      field: 'second entry',
      offset: run.start * this.#volume.geometry.blockSize + at,
      found: 'another name',
      expected: '..',
    });
  }

  /** The block, after every entry in it was found to be sound. */
  check(inode: number, index: number, seal: BlockSeal | undefined): CachedBlock {
    const block = this.#volume.cache.get(index, WriteRank.directory, seal);
    const { blockSize } = this.#volume.geometry;
    this.#checkEntries(inode, block.view, this.entriesEnd(block.view), index * blockSize);
    return block;
  }

  /** The areas of an inline directory, after every entry in them was found to be sound. */
  inlineAreas(ref: InodeRef): readonly EntryArea[] {
    const areas = inlineEntryAreas(this.#core, ref);
    for (const { view, bytes } of areas) this.#checkEntries(ref.number, view, bytes.length, undefined);
    return areas;
  }

  /** Of the blocks of a directory, where they have checksums. */
  sealOf(ref: InodeRef): BlockSeal | undefined {
    return this.#volume.seals?.directory(ref.number, Inode.i_generation.get(ref.view, ref.base));
  }

  /** Where the entries of a block end: before the checksum, where leaves have one. */
  entriesEnd(view: DataView): number {
    return this.#volume.seals === undefined ? this.#volume.geometry.blockSize : checksummedEntriesEnd(view);
  }

  /** Adds the names of a block that was checked. */
  listInto(entries: RawEntry[], bytes: Uint8Array, view: DataView): void {
    for (let at = 0; at < bytes.length; at += entryLength(view, at, bytes.length)) {
      const inode = DirectoryEntryHeader.inode.get(view, at);
      if (inode === 0 || isDotEntry(view, at)) continue;
      const name = decodeUtf8(bytes, at + 8, at + 8 + DirectoryEntryHeader.name_len.get(view, at));
      const type = this.#hasTypes ? DirectoryEntryHeader.file_type.get(view, at) : 0;
      entries.push({ name, inode, kind: kindOfType(type) });
    }
  }

  #checkEntries(inode: number, view: DataView, size: number, deviceOffset: number | undefined): void {
    const { inodeCount } = this.#volume.geometry;
    for (let at = 0; at < size; at += entryLength(view, at, size)) {
      const fault = entryFault(view, at, size, inodeCount);
      if (fault === undefined) continue;
      throw new CorruptImageError({
        structure: `directory entry of inode ${inode}`,
        ...(deviceOffset === undefined ? {} : { offset: deviceOffset + at }),
        ...fault,
      });
    }
  }
}
