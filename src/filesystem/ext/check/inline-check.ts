import { decodeUtf8 } from '../../../bytes/utf8.ts';
import { EXTENT_MAGIC, ExtentHeader, MAX_EXTENT_DEPTH, writeHeader } from '../extent-node.ts';
import { Inode, InodeFlag } from '../inode.ts';
import { IncompatibleFeature } from '../superblock.ts';
import { parseXattrs, XATTR_MAGIC, XattrEntry, XattrIndex } from '../xattr-format.ts';
import type { ExtCheck } from './context.ts';

/**
 * Content in the inode: only where the volume has it, not where `i_block` is the root of an extent tree, and with the attribute for what does not
 * fit there. Flags are changed in `view` where that is mended; returns whether any was.
 */
export function checkInline(check: ExtCheck, number: number, view: DataView, base: number): boolean {
  const flags = Inode.i_flags.get(view, base);
  if ((flags & InodeFlag.inlineData) === 0) return false;
  const offset = check.inodeOffset(number);
  const where = { structure: 'inode', field: 'i_flags', offset: offset + Inode.i_flags.offset } as const;
  if ((check.words.incompatible & IncompatibleFeature.inline_data) === 0) {
    const isMended = check.ask({
      ...where,
      code: 'ext-inline-without-feature',
      found: 'INLINE_DATA_FL',
      expected: 'no content in inodes, since the volume has none',
      meaning: `Inode ${number} says that its content is in the inode, and the volume does not have that`,
      text: `Inode ${number} has INLINE_DATA_FL flag on filesystem without inline data support.\n`,
      question: 'Clear',
      action: 'takes the flag away',
    });
    if (isMended) Inode.i_flags.set(view, base, flags & ~InodeFlag.inlineData);
    return isMended;
  }
  if (hasExtentRoot(view, base)) {
    const isMended = check.ask({
      ...where,
      code: 'ext-inline-extents',
      found: 'INLINE_DATA_FL',
      expected: 'EXTENTS_FL, since an extent tree is there',
      meaning: `Inode ${number} says that its content is in the inode, and an extent tree is in its place`,
      text: `Inode ${number} has extent header but inline data flag is set.\n`,
      question: 'Fix',
      action: 'takes the content from the extents',
    });
    if (isMended) Inode.i_flags.set(view, base, (flags & ~InodeFlag.inlineData) | InodeFlag.extents);
    return isMended;
  }
  if (hasDataAttribute(check, view, base)) return false;
  const isMended = check.ask({
    ...where,
    code: 'ext-inline-attribute',
    found: 'no attribute system.data',
    expected: 'the attribute that goes with content in the inode',
    meaning: `Inode ${number} has its content in the inode, but not the attribute that holds what is behind the first 60 bytes`,
    text: `Inode ${number} has INLINE_DATA_FL flag but extended attribute not found.  `,
    question: 'Truncate',
    action: 'makes the file empty',
  });
  if (!isMended) return false;
  makeEmpty(check, view, base, flags);
  return true;
}

function hasExtentRoot(view: DataView, base: number): boolean {
  const root = base + Inode.i_block.offset;
  const max = ExtentHeader.eh_max.get(view, root);
  return (
    ExtentHeader.eh_magic.get(view, root) === EXTENT_MAGIC &&
    max === 4 &&
    ExtentHeader.eh_entries.get(view, root) <= max &&
    ExtentHeader.eh_depth.get(view, root) <= MAX_EXTENT_DEPTH
  );
}

function hasDataAttribute(check: ExtCheck, view: DataView, base: number): boolean {
  const { inodeSize } = check.geometry;
  const start = base + 128 + (inodeSize > 128 ? Inode.i_extra_isize.get(view, base) : 0);
  if (start + 8 > base + inodeSize || view.getUint32(start, true) !== XATTR_MAGIC) return false;
  const region = new Uint8Array(view.buffer, view.byteOffset + start + 4, base + inodeSize - start - 4);
  const entries = parseXattrs(region, 0, 0);
  return (
    !('field' in entries) && entries.some(({ index, name }) => index === XattrIndex.system && name === 'data')
  );
}

function makeEmpty(check: ExtCheck, view: DataView, base: number, flags: number): void {
  const root = base + Inode.i_block.offset;
  new Uint8Array(view.buffer, view.byteOffset + root, Inode.i_block.length).fill(0);
  const hasExtents = (check.words.incompatible & IncompatibleFeature.extent) !== 0;
  if (hasExtents) writeHeader(view, root, 0, 4, 0);
  const kept = flags & ~InodeFlag.inlineData;
  Inode.i_flags.set(view, base, hasExtents ? kept | InodeFlag.extents : kept);
  Inode.i_size_lo.set(view, base, 0);
  Inode.i_size_high.set(view, base, 0);
}

/** The value of the attribute `system.data`, in place. */
export function inlineRest(inode: DataView, inodeSize: number): Uint8Array | undefined {
  const start = 128 + Inode.i_extra_isize.get(inode, 0);
  if (start + 8 > inodeSize || inode.getUint32(start, true) !== XATTR_MAGIC) return undefined;
  for (let at = start + 4; at + 16 <= inodeSize && inode.getUint32(at, true) !== 0;) {
    const nameLength = XattrEntry.e_name_len.get(inode, at);
    const name = decodeUtf8(
      new Uint8Array(inode.buffer, inode.byteOffset, inodeSize),
      at + 16,
      at + 16 + nameLength,
    );
    if (XattrEntry.e_name_index.get(inode, at) === 7 && name === 'data') {
      const from = start + 4 + XattrEntry.e_value_offs.get(inode, at);
      const size = XattrEntry.e_value_size.get(inode, at);
      return from + size <= inodeSize
        ? new Uint8Array(inode.buffer, inode.byteOffset + from, size)
        : undefined;
    }
    at += (16 + nameLength + 3) & ~3;
  }
  return undefined;
}
