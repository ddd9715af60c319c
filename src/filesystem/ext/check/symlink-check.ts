import { Inode, InodeFlag } from '../inode.ts';
import { XATTR_MAGIC } from '../xattr-format.ts';
import type { ExtCheck } from './context.ts';
import { inlineRest } from './inline-check.ts';

/** Bytes of a target that lies in the inode itself, with the zero at its end. */
const INLINE_SIZE = 60;

/** Does a symlink keep its target in the inode? `i_blocks` counts the block of attributes, too, so the flags and the size decide. */
export function hasNoBlocks(view: DataView, base: number, flags: number): boolean {
  if ((flags & (InodeFlag.extents | InodeFlag.inlineData)) !== 0) return false;
  const size = Inode.i_size_lo.get(view, base) + Inode.i_size_high.get(view, base) * 0x1_0000_0000;
  return size < INLINE_SIZE;
}

/** A target has the length that the inode says, and no zero in it. */
export function checkSymlink(
  check: ExtCheck,
  number: number,
  view: DataView,
  base: number,
  flags: number,
): void {
  if ((flags & InodeFlag.encrypted) !== 0) return;
  const size = Inode.i_size_lo.get(view, base) + Inode.i_size_high.get(view, base) * 0x1_0000_0000;
  const isInline = (flags & InodeFlag.inlineData) !== 0;
  // A target that fits into the inode lies there, and has no extents.
  const isShort = (flags & InodeFlag.extents) !== 0 && size < Inode.i_block.length;
  let isWrong = size === 0 || size >= check.geometry.blockSize || isShort;
  if (isInline) isWrong = size !== inlineSizeOf(check, view, base);
  else if (!isWrong && hasNoBlocks(view, base, flags)) {
    const target = Inode.i_block.get(view, base);
    isWrong = lengthOf(target) !== size;
  } else if (!isWrong) {
    const block = firstBlock(view, base, flags);
    if (block === 0 || !check.isDataBlock(block)) isWrong = true;
    else {
      const target = new Uint8Array(check.geometry.blockSize);
      check.readBlock(block, target);
      isWrong = lengthOf(target) !== size;
    }
  }
  if (!isWrong) return;
  const isMended = check.ask({
    code: 'ext-symlink',
    structure: 'inode',
    field: 'i_size_lo',
    offset: check.inodeOffset(number) + Inode.i_size_lo.offset,
    found: `${size}`,
    expected: 'the length of its target',
    meaning: `Inode ${number} is a symbolic link whose target does not have the ${size} bytes that it should`,
    text: `Symlink (inode #${number}) is invalid.\n`,
    question: 'Clear',
    action: `clears inode ${number}`,
  });
  if (isMended) check.clearInode(number);
}

/** As far as content in the inode goes; a target that needs no attribute has not this flag. */
function inlineSizeOf({ geometry }: ExtCheck, view: DataView, base: number): number {
  const inode = new DataView(view.buffer, view.byteOffset + base, geometry.inodeSize);
  return Inode.i_block.length + (inlineRest(inode, geometry.inodeSize)?.length ?? 0);
}

function lengthOf(target: Uint8Array): number {
  const end = target.indexOf(0);
  return end < 0 ? target.length : end;
}

function firstBlock(view: DataView, base: number, flags: number): number {
  const start = base + Inode.i_block.offset;
  if ((flags & InodeFlag.extents) === 0) return view.getUint32(start, true);
  if (view.getUint16(start, true) === (XATTR_MAGIC & 0xffff)) return 0;
  if (view.getUint16(start + 2, true) === 0 || view.getUint16(start + 6, true) !== 0) return 0;
  return view.getUint32(start + 20, true) + view.getUint16(start + 18, true) * 0x1_0000_0000;
}
