import { viewOf } from '../../bytes/struct.ts';
import {
  DirectoryEntryHeader,
  entryLength,
  initEmptyBlock,
  largestGap,
  setEntryLength,
} from './directory-block.ts';
import type { ExtCore } from './ext-core.ts';
import { INLINE_HEAD, inlinePieces } from './inline-data.ts';
import { Inode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';

/** Bytes at the start that hold the parent's inode, in place of `.` and `..`. */
const PARENT = 4;
/** The smallest entry: less room than this is not worth having. */
const SMALLEST = 12;

/** A part of an inline directory, laid out like a small block. */
export interface EntryArea {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where it begins, bytes within the directory. */
  readonly offset: number;
}

/** The inode of `..`. */
export function inlineParent(ref: InodeRef): number {
  return ref.view.getUint32(ref.base + Inode.i_block.offset, true);
}

/** To be followed by `markDirty`. */
export function setInlineParent(ref: InodeRef, parent: number): void {
  ref.view.setUint32(ref.base + Inode.i_block.offset, parent, true);
}

/** The areas that hold entries, one or two, in place. */
export function inlineEntryAreas(core: ExtCore, ref: InodeRef): readonly EntryArea[] {
  const [head, rest] = inlinePieces(core, ref);
  const areas: EntryArea[] = [];
  for (const [bytes, offset] of [
    [head!.bytes.subarray(PARENT), PARENT],
    [rest?.bytes, INLINE_HEAD],
  ] as const) {
    if (bytes !== undefined && bytes.length > 0) areas.push({ bytes, view: viewOf(bytes), offset });
  }
  return areas;
}

/** A new directory without entries. */
export function createInlineDirectory(core: ExtCore, ref: InodeRef, parent: number): void {
  const content = new Uint8Array(INLINE_HEAD);
  const view = viewOf(content);
  view.setUint32(0, parent, true);
  initEmptyBlock(viewOf(content.subarray(PARENT)), INLINE_HEAD - PARENT);
  core.inline.store(ref, content);
}

/** The area that has a gap for an entry of `size` bytes, or undefined. */
export function areaWithRoom(core: ExtCore, ref: InodeRef, size: number): EntryArea | undefined {
  return inlineEntryAreas(core, ref).find((area) => largestGap(area.view, area.bytes.length) >= size);
}

/** Would the second area have room, once it has all that the inode can spare? */
export function canGrowInline(core: ExtCore, ref: InodeRef, size: number): boolean {
  const old = core.inodes.size(ref) - INLINE_HEAD;
  const added = growthOf(core, ref);
  if (added < SMALLEST) return false;
  const area = inlineEntryAreas(core, ref)[1];
  return (old > 0 && area !== undefined ? gapAtEnd(area) : 0) + added >= size;
}

/** As the kernel does it: the second area takes all that the inode can spare at once. */
export function growInlineDirectory(core: ExtCore, ref: InodeRef): void {
  const old = core.inodes.size(ref);
  const added = growthOf(core, ref);
  core.inline.resize(ref, old + added);
  const area = inlineEntryAreas(core, ref)[1]!;
  if (old <= INLINE_HEAD) initEmptyBlock(area.view, area.bytes.length);
  else {
    const last = lastEntry(area, area.bytes.length - added);
    setEntryLength(area.view, last, area.bytes.length - last);
  }
}

function growthOf(core: ExtCore, ref: InodeRef): number {
  return core.inline.capacity(ref) - core.inodes.size(ref);
}

function gapAtEnd(area: EntryArea): number {
  const { view, bytes } = area;
  const last = lastEntry(area, bytes.length);
  const used =
    DirectoryEntryHeader.inode.get(view, last) === 0 ? 0 : DirectoryEntryHeader.name_len.get(view, last) + 8;
  return bytes.length - last - ((used + 3) & ~3);
}

/** The last entry of an area whose entries end at `end`. */
function lastEntry({ view }: EntryArea, end: number): number {
  let last = 0;
  for (let at = 0; at < end;) {
    last = at;
    const length = entryLength(view, at, end);
    if (length === 0) break;
    at += length;
  }
  return last;
}
