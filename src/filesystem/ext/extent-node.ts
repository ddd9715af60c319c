import { bytes, struct, u16le, u32le } from '../../bytes/struct.ts';

/** `struct ext4_extent_header`, Linux Documentation/filesystems/ext4/ifork.rst. */
export const ExtentHeader = struct('extent header', 12, {
  eh_magic: u16le(0x00), // 0xf30a
  eh_entries: u16le(0x02),
  eh_max: u16le(0x04),
  eh_depth: u16le(0x06), // 0: the entries are extents
  eh_generation: u32le(0x08),
});

/** `struct ext4_extent`. */
export const Extent = struct('extent', 12, {
  ee_block: u32le(0x00),
  ee_len: u16le(0x04), // above 32768: not written yet, reads as zeros; its length is this - 32768
  ee_start_hi: u16le(0x06),
  ee_start_lo: u32le(0x08),
});

/** `struct ext4_extent_idx`. */
export const ExtentIndex = struct('extent index', 12, {
  ei_block: u32le(0x00), // the same place as ee_block
  ei_leaf_lo: u32le(0x04),
  ei_leaf_hi: u16le(0x08),
  ei_unused: bytes(0x0a, 2),
});

export const EXTENT_MAGIC = 0xf30a;
/** Levels below the root, at most. */
export const MAX_EXTENT_DEPTH = 5;
/** Blocks of one extent. */
export const MAX_WRITTEN = 32768;
export const MAX_UNWRITTEN = 32767;
/** Blocks that a file has at most: their numbers have 32 bits, and so has their count. */
export const MAX_FILE_BLOCKS = 0xffff_ffff;
/** Bytes of the header, and of an entry. */
export const ENTRY_SIZE = 12;

const HIGH = 0x1_0000_0000;

/** Entries that a node of so many bytes has room for. */
export function nodeCapacity(size: number): number {
  return Math.floor(size / ENTRY_SIZE) - 1;
}

/** Where entry `index` of the node at `base` lies. */
export function entryAt(base: number, index: number): number {
  return base + ENTRY_SIZE * (index + 1);
}

/** First block of an extent, or of what lies below an index entry. */
export function keyOf(view: DataView, base: number, index: number): number {
  return view.getUint32(base + ENTRY_SIZE * (index + 1), true);
}

export function lengthOf(view: DataView, at: number): number {
  const stored = Extent.ee_len.get(view, at);
  return stored > MAX_WRITTEN ? stored - MAX_WRITTEN : stored;
}

export function isUnwritten(view: DataView, at: number): boolean {
  return Extent.ee_len.get(view, at) > MAX_WRITTEN;
}

/** Where an extent lies on the device, in blocks. */
export function startOf(view: DataView, at: number): number {
  return Extent.ee_start_lo.get(view, at) + Extent.ee_start_hi.get(view, at) * HIGH;
}

/** The block of a node. */
export function childOf(view: DataView, at: number): number {
  return ExtentIndex.ei_leaf_lo.get(view, at) + ExtentIndex.ei_leaf_hi.get(view, at) * HIGH;
}

export function setLength(view: DataView, at: number, length: number, unwritten: boolean): void {
  Extent.ee_len.set(view, at, unwritten ? length + MAX_WRITTEN : length);
}

export function writeExtent(
  view: DataView,
  at: number,
  block: number,
  start: number,
  length: number,
  unwritten: boolean,
): void {
  Extent.ee_block.set(view, at, block);
  setLength(view, at, length, unwritten);
  Extent.ee_start_hi.set(view, at, Math.floor(start / HIGH));
  Extent.ee_start_lo.set(view, at, start % HIGH);
}

export function writeIndex(view: DataView, at: number, block: number, child: number): void {
  ExtentIndex.ei_block.set(view, at, block);
  ExtentIndex.ei_leaf_lo.set(view, at, child % HIGH);
  ExtentIndex.ei_leaf_hi.set(view, at, Math.floor(child / HIGH));
  view.setUint16(at + ExtentIndex.ei_unused.offset, 0, true);
}

export function writeHeader(
  view: DataView,
  base: number,
  entries: number,
  capacity: number,
  depth: number,
): void {
  ExtentHeader.eh_magic.set(view, base, EXTENT_MAGIC);
  ExtentHeader.eh_entries.set(view, base, entries);
  ExtentHeader.eh_max.set(view, base, capacity);
  ExtentHeader.eh_depth.set(view, base, depth);
  ExtentHeader.eh_generation.set(view, base, 0);
}

/** Makes room for one entry at `index`, or closes the gap of `count` entries there. */
export function shiftEntries(view: DataView, base: number, index: number, by: number): void {
  const entries = ExtentHeader.eh_entries.get(view, base);
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const from = entryAt(base, by < 0 ? index - by : index);
  bytes.copyWithin(from + ENTRY_SIZE * by, from, entryAt(base, entries));
  ExtentHeader.eh_entries.set(view, base, entries + by);
}

/** Index of the last entry that does not begin after `block`, or -1. */
export function lastNotAfter(view: DataView, base: number, block: number): number {
  let low = 0;
  let high = ExtentHeader.eh_entries.get(view, base) - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    if (keyOf(view, base, middle) > block) high = middle - 1;
    else low = middle + 1;
  }
  return high;
}

/** Copies `count` entries from index `first` of one node to index `target` of another. */
export function copyEntries(
  from: DataView,
  base: number,
  first: number,
  to: DataView,
  toBase: number,
  count: number,
  target = 0,
): void {
  const length = entryAt(base, first + count) - entryAt(base, first);
  const source = new Uint8Array(from.buffer, from.byteOffset + entryAt(base, first), length);
  new Uint8Array(to.buffer, to.byteOffset + entryAt(toBase, target), length).set(source);
}
