import { FsError } from '../../errors.ts';
import type { Placement } from '../file-system.ts';
import type { ExtCore } from './ext-core.ts';
import { ExtentHeader } from './extent-node.ts';
import { Inode, InodeFlag } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { IncompatibleFeature } from './superblock.ts';
import { XattrIndex } from './xattr-format.ts';

/** Bytes of content in `i_block`. */
export const INLINE_HEAD = Inode.i_block.length;

/** Bytes for the magic word, the entry of an empty `system.data`, and the end of the list. */
const SMALLEST_ROOM = 28;

/** A piece of content that lies in the inode table, or in an attribute block. */
interface Piece {
  readonly bytes: Uint8Array;
  /** Bytes within the file. */
  readonly offset: number;
}

/**
 * Content of the feature inline_data, in place: the first 60 bytes in `i_block`, the rest as the value of the attribute
 * `system.data` (Linux Documentation/filesystems/ext4/inlinedata.rst).
 */
export function inlinePieces(core: ExtCore, ref: InodeRef): readonly Piece[] {
  const size = core.inodes.size(ref);
  const head = Inode.i_block.get(ref.view, ref.base);
  const pieces: Piece[] = [{ bytes: head.subarray(0, Math.min(size, head.length)), offset: 0 }];
  const rest = size - head.length;
  if (rest <= 0) return pieces;
  // What is not there are zeros: mke2fs leaves them out.
  const value = core.xattrs.find(ref, XattrIndex.system, 'data')?.value;
  if (value === undefined) return pieces;
  pieces.push({ bytes: value.subarray(0, rest), offset: head.length });
  return pieces;
}

export function readInline(core: ExtCore, ref: InodeRef, offset: number, into: Uint8Array): number {
  const total = Math.max(0, Math.min(into.length, core.inodes.size(ref) - offset));
  into.fill(0, 0, total);
  for (const piece of inlinePieces(core, ref)) {
    const from = Math.max(0, offset - piece.offset);
    const part = piece.bytes.subarray(from, Math.max(from, offset + total - piece.offset));
    if (part.length > 0) into.set(part, piece.offset + from - offset);
  }
  return total;
}

/** Where the pieces lie; what lies in an attribute block is found there, too. */
export function* inlinePlacement(core: ExtCore, ref: InodeRef): Iterable<Placement> {
  const inodeStart = ref.block.index * core.volume.geometry.blockSize;
  for (const { bytes, offset } of inlinePieces(core, ref)) {
    if (bytes.length === 0 || bytes.buffer !== ref.block.bytes.buffer) continue;
    const deviceOffset = inodeStart + bytes.byteOffset - ref.block.bytes.byteOffset;
    yield { fileOffset: offset, deviceOffset, length: bytes.length };
  }
}

/** Writes small files into their inodes, and moves them to blocks when they have outgrown these. */
export class InlineContent {
  readonly #core: ExtCore;
  readonly #isWanted: boolean;
  /** New inodes have room for content. */
  readonly isUsual: boolean;

  constructor(core: ExtCore) {
    const { features, geometry } = core.volume;
    this.#core = core;
    this.#isWanted = (features.incompatible & IncompatibleFeature.inline_data) !== 0;
    const room = geometry.inodeSize - 128 - core.inodes.newExtraSize;
    this.isUsual = this.#isWanted && room >= SMALLEST_ROOM;
  }

  /** Most bytes that fit into this inode, beside its attributes; 0 where none may. */
  capacity(ref: InodeRef): number {
    const room = this.#isWanted ? this.#core.xattrs.inlineRoom(ref) : undefined;
    return room === undefined ? 0 : INLINE_HEAD + room;
  }

  /** Does content of this many bytes lie in the inode? As in the kernel: only when it was there from the first write on. */
  takes(ref: InodeRef, size: number): boolean {
    if (!this.#isWanted || (!this.#core.isInline(ref) && !this.#isBlank(ref))) return false;
    return size <= this.capacity(ref);
  }

  /** Content that `takes` has agreed to. */
  write(ref: InodeRef, offset: number, from: Uint8Array): void {
    const bytes = this.#content(ref, Math.max(this.#core.inodes.size(ref), offset + from.length));
    bytes.set(from, offset);
    this.store(ref, bytes);
  }

  /** Truncates, or extends with zeros, to a size that `takes` has agreed to. */
  resize(ref: InodeRef, size: number): void {
    this.store(ref, this.#content(ref, size));
  }

  zero(ref: InodeRef, offset: number, length: number): void {
    const bytes = this.#content(ref, this.#core.inodes.size(ref));
    this.store(ref, bytes.fill(0, offset, offset + length));
  }

  /** Gives the content a block, when there is any. ENOSPC changes nothing. `expectedSize` as for `FileContent.write`. */
  moveOut(ref: InodeRef, expectedSize: number): void {
    const core = this.#core;
    const bytes = this.#content(ref, core.inodes.size(ref));
    if (bytes.length > 0) core.volume.requireBlocks(1, 'write');
    this.clear(ref);
    core.fileMap.plant(ref);
    try {
      core.content.write(ref, 0, bytes, expectedSize);
    } catch (error) {
      if (error instanceof FsError) this.store(ref, bytes);
      throw error;
    }
  }

  /** Makes these bytes the whole content. */
  store(ref: InodeRef, bytes: Uint8Array): void {
    const { inodes, xattrs } = this.#core;
    const head = new Uint8Array(INLINE_HEAD);
    head.set(bytes.subarray(0, INLINE_HEAD));
    // The attribute is there also when it has nothing to hold: without it the flag means nothing to the kernel.
    xattrs.setInlineValue(ref, bytes.subarray(INLINE_HEAD));
    Inode.i_block.set(ref.view, ref.base, head);
    inodes.setFlag(ref, InodeFlag.extents, false);
    inodes.setFlag(ref, InodeFlag.inlineData, true);
    inodes.setSize(ref, bytes.length);
  }

  /** Takes the content out of the inode: an empty file with an empty block map stays. */
  clear(ref: InodeRef): void {
    const { inodes, xattrs } = this.#core;
    xattrs.setInlineValue(ref, undefined);
    Inode.i_block.set(ref.view, ref.base, new Uint8Array(INLINE_HEAD));
    inodes.setFlag(ref, InodeFlag.inlineData, false);
    inodes.setSize(ref, 0);
  }

  /** A copy of the content, cut or filled up with zeros to `size`. */
  #content(ref: InodeRef, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    if (this.#core.isInline(ref)) readInline(this.#core, ref, 0, bytes);
    return bytes;
  }

  /** A file without a byte and without a block. */
  #isBlank(ref: InodeRef): boolean {
    const { inodes } = this.#core;
    if (inodes.size(ref) !== 0) return false;
    const root = ref.base + Inode.i_block.offset;
    if (inodes.hasFlag(ref, InodeFlag.extents)) return ExtentHeader.eh_entries.get(ref.view, root) === 0;
    return Inode.i_block.get(ref.view, ref.base).every((byte) => byte === 0);
  }
}
