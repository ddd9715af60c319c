import { bytes, struct, u16le, u32le, viewOf } from '../../bytes/struct.ts';
import { CorruptImageError } from '../../errors.ts';
import { WriteRank } from './block-cache.ts';
import type { MappedRun } from './file-map.ts';
import { hex } from './geometry.ts';
import { Inode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';
import type { Volume } from './volume.ts';

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
  ei_block: u32le(0x00),
  ei_leaf_lo: u32le(0x04),
  ei_leaf_hi: u16le(0x08),
  ei_unused: bytes(0x0a, 2),
});

const MAGIC = 0xf30a;
const MAX_DEPTH = 5;
const MAX_WRITTEN = 32768;

/** Finds `block` in the extent tree of an inode: a run of device blocks, or a hole (also what was never written). */
export function mapExtent(volume: Volume, ref: InodeRef, block: number, limit: number, run: MappedRun): void {
  const root = Inode.i_block.get(ref.view, ref.base);
  let view = viewOf(root);
  let depth = checkHeader(ref, view, root.length, undefined);
  /** First block that belongs to the next subtree: a hole ends there. */
  let end = block + limit;
  for (; depth > 0; depth--) {
    const at = lastNotAfter(view, block);
    const count = ExtentHeader.eh_entries.get(view, 0);
    if (at + 1 < count) end = Math.min(end, ExtentIndex.ei_block.get(view, 12 * (at + 2)));
    if (at < 0) {
      run.start = 0;
      run.length = end - block;
      return;
    }
    const base = 12 * (at + 1);
    const child =
      ExtentIndex.ei_leaf_lo.get(view, base) + ExtentIndex.ei_leaf_hi.get(view, base) * 0x1_0000_0000;
    volume.checkPointer(child, ref.number, 'ei_leaf');
    view = volume.cache.get(child, WriteRank.mapping).view;
    checkHeader(ref, view, volume.geometry.blockSize, depth - 1);
  }
  const at = lastNotAfter(view, block);
  if (at + 1 < ExtentHeader.eh_entries.get(view, 0)) {
    end = Math.min(end, Extent.ee_block.get(view, 12 * (at + 2)));
  }
  run.start = 0;
  run.length = Math.max(1, end - block);
  if (at < 0) return;
  const base = 12 * (at + 1);
  const first = Extent.ee_block.get(view, base);
  const stored = Extent.ee_len.get(view, base);
  const length = stored > MAX_WRITTEN ? stored - MAX_WRITTEN : stored;
  if (block >= first + length) return;
  run.length = Math.min(limit, first + length - block);
  if (stored > MAX_WRITTEN) return;
  run.start =
    Extent.ee_start_lo.get(view, base) + Extent.ee_start_hi.get(view, base) * 0x1_0000_0000 + (block - first);
  volume.checkPointer(run.start, ref.number, 'ee_start');
  volume.checkPointer(run.start + run.length - 1, ref.number, 'ee_start');
}

/** The depth of the node, which must be `expected` where that is known. */
function checkHeader(ref: InodeRef, view: DataView, size: number, expected: number | undefined): number {
  const magic = ExtentHeader.eh_magic.get(view, 0);
  if (magic !== MAGIC) throw corrupt(ref, 'eh_magic', hex(magic, 4), hex(MAGIC, 4));
  const entries = ExtentHeader.eh_entries.get(view, 0);
  const most = Math.floor(size / 12) - 1;
  if (entries > most) throw corrupt(ref, 'eh_entries', `${entries}`, `at most ${most}`);
  const depth = ExtentHeader.eh_depth.get(view, 0);
  if (depth > MAX_DEPTH || (expected !== undefined && depth !== expected)) {
    throw corrupt(
      ref,
      'eh_depth',
      `${depth}`,
      expected === undefined ? `at most ${MAX_DEPTH}` : `${expected}`,
    );
  }
  return depth;
}

function corrupt(ref: InodeRef, field: string, found: string, expected: string): CorruptImageError {
  return new CorruptImageError({ structure: `extent tree of inode ${ref.number}`, field, found, expected });
}

/** Index of the last entry that does not begin after `block`, or -1. Extents and index entries begin with the same field. */
function lastNotAfter(view: DataView, block: number): number {
  let low = 0;
  let high = ExtentHeader.eh_entries.get(view, 0) - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    if (Extent.ee_block.get(view, 12 * (middle + 1)) > block) high = middle - 1;
    else low = middle + 1;
  }
  return high;
}
