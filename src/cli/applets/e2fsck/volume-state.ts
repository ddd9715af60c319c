import { viewOf } from '../../../bytes/struct.ts';
import { decodeUtf8 } from '../../../bytes/utf8.ts';
import type { BlockDevice } from '../../../device/block-device.ts';
import { readFeatures } from '../../../filesystem/ext/features.ts';
import {
  IncompatibleFeature,
  ReadOnlyCompatibleFeature,
  Superblock,
  SUPERBLOCK_OFFSET,
} from '../../../filesystem/ext/superblock.ts';

export function superblockOf(device: BlockDevice): DataView {
  const bytes = new Uint8Array(Superblock.$size);
  if (SUPERBLOCK_OFFSET + bytes.length <= device.size) device.read(SUPERBLOCK_OFFSET, bytes);
  return viewOf(bytes);
}

export function featuresOf(device: BlockDevice): ReturnType<typeof readFeatures> {
  return readFeatures(superblockOf(device));
}

/** The tool calls a volume that has a label by that. */
export function nameOf(device: BlockDevice): string | undefined {
  if (!hasMagic(device)) return undefined;
  const bytes = Superblock.s_volume_name.get(superblockOf(device), 0);
  const end = bytes.indexOf(0);
  const label = decodeUtf8(bytes, 0, end < 0 ? bytes.length : end);
  return label === '' ? undefined : label;
}

export function hasMagic(device: BlockDevice): boolean {
  return Superblock.s_magic.get(superblockOf(device), 0) === 0xef53;
}

/** Closed cleanly, and no check is due. */
export function isClean(device: BlockDevice): boolean {
  const superblock = superblockOf(device);
  if (Superblock.s_magic.get(superblock, 0) !== 0xef53) return false;
  const state = Superblock.s_state.get(superblock, 0);
  const max = Superblock.s_max_mnt_count.get(superblock, 0);
  const isDue = max !== 0xffff && max !== 0 && Superblock.s_mnt_count.get(superblock, 0) >= max;
  return (state & 3) === 1 && !isDue && Superblock.s_checkinterval.get(superblock, 0) === 0;
}

/** Files that were deleted while in use are still to be freed. */
export function hasOrphans(device: BlockDevice): boolean {
  const { readOnlyCompatible } = featuresOf(device);
  const isFiled = (readOnlyCompatible & ReadOnlyCompatibleFeature.orphan_present) !== 0;
  return isFiled || Superblock.s_last_orphan.get(superblockOf(device), 0) !== 0;
}

/** `x.img: clean, 11/256 files, 90/2048 blocks`. */
export function cleanLine(name: string, device: BlockDevice): string {
  const superblock = superblockOf(device);
  const wide = (featuresOf(device).incompatible & IncompatibleFeature['64bit']) !== 0 ? 0x1_0000_0000 : 0;
  const inodes = Superblock.s_inodes_count.get(superblock, 0);
  const blocks =
    Superblock.s_blocks_count_lo.get(superblock, 0) + wide * Superblock.s_blocks_count_hi.get(superblock, 0);
  const free =
    Superblock.s_free_blocks_count_lo.get(superblock, 0) +
    wide * Superblock.s_free_blocks_count_hi.get(superblock, 0);
  const usedInodes = inodes - Superblock.s_free_inodes_count.get(superblock, 0);
  return `${name}: clean, ${usedInodes}/${inodes} files, ${blocks - free}/${blocks} blocks\n`;
}
