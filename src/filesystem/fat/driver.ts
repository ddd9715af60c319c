import { viewOf } from '../../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../../device/block-device.ts';
import { isOwnError } from '../../errors.ts';
import type { FileSystemDriver } from '../file-system.ts';
import { checkBootSector, isMedia } from './boot-sector-check.ts';
import { BootSector } from './boot-sector.ts';
import { FatFileSystem } from './file-system.ts';

/** Linux ext4/super.rst: s_magic at byte 0x38 of the superblock, which lies at byte 1024. */
const EXT_MAGIC_OFFSET = 1080;

/** FAT12, FAT16 and FAT32. */
export const fatDriver: FileSystemDriver = {
  name: 'fat',
  probe(device) {
    try {
      return looksLikeFat(device);
    } catch (error) {
      // A sector that cannot be read says nothing.
      if (isOwnError(error)) return false;
      throw error;
    }
  },
  open: (device, options) => FatFileSystem.open(device, options),
};

/**
 * A parameter block whose every field makes sense, and either of the marks that a FAT volume has: 0xaa55 at its end,
 * or the media byte repeated in FAT[0]. A boot record of partitions has code or zeros where the block would be, and
 * ext keeps the first 1024 bytes for others but has its own mark after them.
 */
function looksLikeFat(device: BlockDevice): boolean {
  if (device.size < BootSector.$size) return false;
  const sector = readBytes(device, 0, BootSector.$size);
  const view = viewOf(sector);
  // How large the device is does not matter here: a truncated volume is one, and `open` says what it lacks.
  const findings = checkBootSector(sector, Number.MAX_SAFE_INTEGER);
  if (findings.some((finding) => finding.severity === 'refuse')) return false;
  if (!isMedia(BootSector.BPB_Media.get(view, 0))) return false;
  const hasSignature = BootSector.Signature_word.get(view, 0) === 0xaa55;
  const fatOffset = fatOffsetOf(view);
  // Where ext's mark lies in the reserved sectors, nobody but ext has put it there.
  if (hasExtMagic(device) && fatOffset > EXT_MAGIC_OFFSET) return false;
  return startsWithFat(device, fatOffset, view) || (hasSignature && !hasExtMagic(device));
}

function fatOffsetOf(view: DataView): number {
  return BootSector.BPB_RsvdSecCnt.get(view, 0) * BootSector.BPB_BytsPerSec.get(view, 0);
}

function startsWithFat(device: BlockDevice, offset: number, view: DataView): boolean {
  if (offset + 2 > device.size) return false;
  const first = readBytes(device, offset, 2);
  // FAT[0] is the media byte with ones above it.
  return first[0] === BootSector.BPB_Media.get(view, 0) && (first[1]! & 0x0f) === 0x0f;
}

function hasExtMagic(device: BlockDevice): boolean {
  const end = EXT_MAGIC_OFFSET + 2;
  return device.size >= end && viewOf(readBytes(device, EXT_MAGIC_OFFSET, 2)).getUint16(0, true) === 0xef53;
}
