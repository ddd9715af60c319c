import { type BlockDevice, readBytes } from '../../../device/block-device.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { Superblock } from '../../../filesystem/ext/superblock.ts';
import { isVolumeBootSector } from '../../../partition/superfloppy.ts';

const SUPERBLOCK_OFFSET = 1024;

/** The file system on the device by libblkid's name for it, where it is one that people lose by partitioning. */
export function fileSystemSignature(device: BlockDevice): string | undefined {
  if (device.size >= SUPERBLOCK_OFFSET + Superblock.$size) {
    const view = viewOf(readBytes(device, SUPERBLOCK_OFFSET, Superblock.$size));
    if (Superblock.s_magic.get(view, 0) === 0xef53) {
      // Extents, 64-bit, flexible groups and what came with them make it ext4, a journal alone ext3.
      const isExt4 =
        (Superblock.s_feature_incompat.get(view, 0) & ~0x16) !== 0 ||
        (Superblock.s_feature_ro_compat.get(view, 0) & ~0x7) !== 0;
      const hasJournal = (Superblock.s_feature_compat.get(view, 0) & 0x4) !== 0;
      return isExt4 ? 'ext4' : hasJournal ? 'ext3' : 'ext2';
    }
  }
  if (device.size < 512) return undefined;
  const sector = readBytes(device, 0, 512);
  if (viewOf(sector).getUint16(510, true) !== 0xaa55 || !isVolumeBootSector(sector)) return undefined;
  const name = String.fromCharCode(...sector.subarray(3, 8));
  return name === 'NTFS ' ? 'ntfs' : name === 'EXFAT' ? 'exfat' : 'vfat';
}
