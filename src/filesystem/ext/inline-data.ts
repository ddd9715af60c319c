import type { Placement } from '../file-system.ts';
import type { ExtCore } from './ext-core.ts';
import { Inode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import { XattrIndex } from './xattr-format.ts';

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

/** The inode of `..`, which an inline directory keeps in its first word. */
export function inlineParent(ref: InodeRef): number {
  return ref.view.getUint32(ref.base + Inode.i_block.offset, true);
}

/** The two areas of an inline directory that hold entries: each is laid out like a small block. */
export function inlineEntryAreas(core: ExtCore, ref: InodeRef): readonly Uint8Array[] {
  const [head, rest] = inlinePieces(core, ref);
  const areas = [head!.bytes.subarray(4)];
  if (rest !== undefined) areas.push(rest.bytes);
  return areas.filter((area) => area.length > 0);
}
