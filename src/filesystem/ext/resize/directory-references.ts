import { viewOf } from '../../../bytes/struct.ts';
import { readBytes } from '../../../device/block-device.ts';
import { CorruptImageError } from '../../../errors.ts';
import { entryLength } from '../directory-block.ts';
import { Inode } from '../inode.ts';
import type { InodeRef } from '../inode-table.ts';
import type { Volume } from '../volume.ts';
import { inlineReferences } from './inline-references.ts';

/** A block of a directory that names inodes with new numbers, or whose own inode has one. */
export interface NamingBlock {
  readonly directory: number;
  readonly newDirectory: number;
  readonly generation: number;
  readonly oldBlock: number;
  readonly newBlock: number;
  /** As it is to be at this point of the work. */
  readonly bytes: Uint8Array;
}

/** Which entries of directories have to follow inodes to their new numbers. */
export class DirectoryReferences {
  /** Where an inode is named: byte offsets in blocks. */
  readonly places = new Map<number, { readonly block: NamingBlock; readonly at: number }[]>();
  /** Where it is named in the inode of a directory (by its old number): byte offsets in that. */
  readonly inodePlaces = new Map<number, { readonly directory: number; readonly at: number }[]>();
  /** The blocks of directories that have a new number, by the old one. */
  readonly ofMoved = new Map<number, NamingBlock[]>();
  /** Blocks of all directories, those of their maps and trees included. */
  blockCount = 0;
  readonly #volume: Volume;
  readonly #moves: ReadonlyMap<number, number>;

  constructor(volume: Volume, moves: ReadonlyMap<number, number>) {
    this.#volume = volume;
    this.#moves = moves;
  }

  /** Looks at `count` blocks of a directory that lie at `from`, and in the end at `to`. */
  add(ref: InodeRef, newDirectory: number, from: number, to: number, count: number): void {
    if (this.#moves.size === 0) return;
    const { device, geometry } = this.#volume;
    const generation = Inode.i_generation.get(ref.view, ref.base);
    for (let i = 0; i < count; i++) {
      const bytes = readBytes(device, (from + i) * geometry.blockSize, geometry.blockSize);
      const block: NamingBlock = {
        directory: ref.number,
        newDirectory,
        generation,
        oldBlock: from + i,
        newBlock: to + i,
        bytes,
      };
      this.#entries(block);
      if (newDirectory === ref.number) continue;
      const list = this.ofMoved.get(ref.number);
      if (list === undefined) this.ofMoved.set(ref.number, [block]);
      else list.push(block);
    }
  }

  /** Looks at a directory that lies in its inode. */
  addInline(ref: InodeRef): void {
    if (this.#moves.size === 0) return;
    const { inodeSize } = this.#volume.geometry;
    const record = ref.block.bytes.subarray(ref.base, ref.base + inodeSize);
    for (const { at, number } of inlineReferences(ref.number, record)) {
      if (!this.#moves.has(number)) continue;
      const list = this.inodePlaces.get(number);
      const place = { directory: ref.number, at };
      if (list === undefined) this.inodePlaces.set(number, [place]);
      else list.push(place);
    }
  }

  /** Brings the block's checksum up to date for the number that its directory has at this point. */
  seal({ generation, newBlock, bytes }: NamingBlock, directory: number): void {
    const seal = this.#volume.seals?.directory(directory, generation);
    seal?.seal({ index: newBlock, bytes, view: viewOf(bytes) });
  }

  #entries(block: NamingBlock): void {
    const { bytes } = block;
    const view = viewOf(bytes);
    for (let at = 0; at + 8 <= bytes.length;) {
      const length = entryLength(view, at, bytes.length);
      if (length < 8 || at + length > bytes.length) {
        throw new CorruptImageError({
          structure: `directory block ${block.oldBlock} of inode ${block.directory}`,
          field: 'rec_len',
          offset: block.oldBlock * bytes.length + at,
          found: `${length}`,
          expected: `8 to ${bytes.length - at}`,
        });
      }
      const number = view.getUint32(at, true);
      if (this.#moves.has(number)) {
        const list = this.places.get(number);
        if (list === undefined) this.places.set(number, [{ block, at }]);
        else list.push({ block, at });
      }
      at += length;
    }
  }
}
