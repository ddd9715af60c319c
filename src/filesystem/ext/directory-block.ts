import { struct, u16le, u32le, u8 } from '../../bytes/struct.ts';
import type { NodeKind } from '../file-system.ts';

/** `struct ext4_dir_entry_2`, Linux Documentation/filesystems/ext4/directory.rst; the name follows. */
export const DirectoryEntryHeader = struct('directory entry', 8, {
  inode: u32le(0x00), // 0: the entry is not in use
  rec_len: u16le(0x04), // to the next entry; a multiple of 4; the last one reaches the end of the block
  name_len: u8(0x06),
  file_type: u8(0x07), // the high byte of name_len without the feature filetype
});

export const MAX_NAME = 255;

const HEADER = 8;
/** Bytes that the shortest entry takes. */
const SHORTEST = 12;

/** `file_type`. */
const TYPES: readonly (NodeKind | undefined)[] = [
  undefined,
  'file',
  'directory',
  'character-device',
  'block-device',
  'fifo',
  'socket',
  'symlink',
];

export function kindOfType(type: number): NodeKind | undefined {
  return TYPES[type];
}

export function typeOfKind(kind: NodeKind): number {
  return TYPES.indexOf(kind);
}

/** Bytes that an entry takes at least. */
export function entrySize(nameLength: number): number {
  return (HEADER + nameLength + 3) & ~3;
}

/** Length of the entry at `at`. In blocks of 64 KiB a length that does not fit is written as 0xffff, or as 0. */
export function entryLength(view: DataView, at: number, blockSize: number): number {
  const length = DirectoryEntryHeader.rec_len.get(view, at);
  return blockSize === 0x1_0000 && (length === 0xffff || length === 0) ? blockSize : length;
}

export function setEntryLength(view: DataView, at: number, length: number): void {
  DirectoryEntryHeader.rec_len.set(view, at, Math.min(length, 0xffff));
}

/** What is wrong with the entry at `at`, or undefined. */
export function entryFault(
  view: DataView,
  at: number,
  end: number,
  inodeCount: number,
): { field: string; found: string; expected: string } | undefined {
  const length = at + HEADER <= end ? entryLength(view, at, end) : 0;
  const nameLength = length < HEADER ? 0 : DirectoryEntryHeader.name_len.get(view, at);
  if (length < HEADER + 4 || length % 4 !== 0 || at + length > end || length < entrySize(nameLength)) {
    return {
      field: 'rec_len',
      found: `${length}`,
      expected: `a multiple of 4 from ${Math.max(12, entrySize(nameLength))} to ${end - at}`,
    };
  }
  const inode = DirectoryEntryHeader.inode.get(view, at);
  if (inode > inodeCount) return { field: 'inode', found: `${inode}`, expected: `at most ${inodeCount}` };
  if (inode === 0) return undefined;
  if (nameLength === 0) return { field: 'name_len', found: '0', expected: 'at least 1' };
  for (let i = at + HEADER; i < at + HEADER + nameLength; i++) {
    const byte = view.getUint8(i);
    // A name like ../x would lead out of the tree.
    if (byte === 0x2f || byte === 0) {
      return { field: 'name', found: byte === 0 ? 'a NUL' : 'a slash', expected: 'other bytes' };
    }
  }
  return undefined;
}

/** The most bytes that a new entry could take in this block, from the entry at `from` on. */
export function largestGap(view: DataView, blockSize: number, from = 0): number {
  let largest = 0;
  for (let at = from; at < blockSize;) {
    const length = entryLength(view, at, blockSize);
    if (length === 0) break;
    const gap = length - usedBytes(view, at);
    if (gap > largest) largest = gap;
    at += length;
  }
  return largest;
}

/** The first entry from the one at `from` on behind which, or in whose place, there is room for another; `blockSize` when there is none. */
export function firstGap(view: DataView, blockSize: number, from = 0): number {
  let at = from;
  while (at < blockSize) {
    const length = entryLength(view, at, blockSize);
    if (length === 0) return blockSize;
    if (length - usedBytes(view, at) >= SHORTEST) break;
    at += length;
  }
  return at;
}

/** Puts an entry into the first gap from `from` on that takes it and returns its offset, or -1 when there is none. */
export function insertEntry(
  view: DataView,
  blockSize: number,
  name: Uint8Array,
  inode: number,
  type: number,
  from = 0,
): number {
  const needed = entrySize(name.length);
  for (let at = from; at < blockSize;) {
    const length = entryLength(view, at, blockSize);
    const used = usedBytes(view, at);
    if (length - used >= needed) {
      let place = at;
      if (used > 0) {
        setEntryLength(view, at, used);
        place = at + used;
        setEntryLength(view, place, length - used);
      }
      writeEntry(view, place, name, inode, type);
      return place;
    }
    at += length;
  }
  return -1;
}

/** Writes inode, type and name of an entry whose length is there already. */
export function writeEntry(view: DataView, at: number, name: Uint8Array, inode: number, type: number): void {
  DirectoryEntryHeader.inode.set(view, at, inode);
  DirectoryEntryHeader.name_len.set(view, at, name.length);
  DirectoryEntryHeader.file_type.set(view, at, type);
  new Uint8Array(view.buffer, view.byteOffset + at + HEADER, name.length).set(name);
}

/** Takes the entry at `target` out: its bytes become the previous entry's, or an unused entry at the block's start. Returns where that is. */
export function removeEntry(view: DataView, blockSize: number, target: number): number {
  let previous = -1;
  for (let at = 0; at < target;) {
    previous = at;
    at += entryLength(view, at, blockSize);
  }
  if (previous >= 0) {
    setEntryLength(
      view,
      previous,
      entryLength(view, previous, blockSize) + entryLength(view, target, blockSize),
    );
  }
  DirectoryEntryHeader.inode.set(view, target, 0);
  return Math.max(previous, 0);
}

/** The most bytes that a new entry could take behind the entry at `at`, or in its place. */
export function gapAt(view: DataView, blockSize: number, at: number): number {
  return entryLength(view, at, blockSize) - usedBytes(view, at);
}

/** One unused entry over the whole block. */
export function initEmptyBlock(view: DataView, blockSize: number): void {
  DirectoryEntryHeader.inode.set(view, 0, 0);
  setEntryLength(view, 0, blockSize);
  DirectoryEntryHeader.name_len.set(view, 0, 0);
  DirectoryEntryHeader.file_type.set(view, 0, 0);
}

/** The first block of a new directory: `.` and `..`. */
export function initDirectoryBlock(
  view: DataView,
  blockSize: number,
  self: number,
  parent: number,
  type: number,
): void {
  setEntryLength(view, 0, 12);
  writeEntry(view, 0, DOT, self, type);
  setEntryLength(view, 12, blockSize - 12);
  writeEntry(view, 12, DOT_DOT, parent, type);
}

const DOT = new Uint8Array([0x2e]);
const DOT_DOT = new Uint8Array([0x2e, 0x2e]);

/** Lays `entries` (whole entries cut out of other blocks) out one behind the other over the block. */
export function packEntries(view: DataView, blockSize: number, entries: readonly Uint8Array[]): void {
  const target = new Uint8Array(view.buffer, view.byteOffset, blockSize);
  target.fill(0);
  if (entries.length === 0) {
    initEmptyBlock(view, blockSize);
    return;
  }
  let at = 0;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    target.set(entry, at);
    const last = i === entries.length - 1;
    setEntryLength(view, at, last ? blockSize - at : entry.length);
    at += entry.length;
  }
}

/** `.` or `..` at this place? */
export function isDotEntry(view: DataView, at: number): boolean {
  const length = DirectoryEntryHeader.name_len.get(view, at);
  if (length === 1) return view.getUint8(at + HEADER) === 0x2e;
  return length === 2 && view.getUint16(at + HEADER) === 0x2e2e;
}

function usedBytes(view: DataView, at: number): number {
  return DirectoryEntryHeader.inode.get(view, at) === 0
    ? 0
    : entrySize(DirectoryEntryHeader.name_len.get(view, at));
}
