import { viewOf } from '../../../bytes/struct.ts';
import { type BlockDevice, readBytes, zeroRange } from '../../../device/block-device.ts';
import { Superblock } from '../../../filesystem/ext/superblock.ts';
import { readGpt } from '../../../partition/gpt.ts';
import { readMbr } from '../../../partition/mbr.ts';
import { isVolumeBootSector } from '../../../partition/superfloppy.ts';

const SUPERBLOCK_OFFSET = 1024;

/** What somebody loses by partitioning over it, by libblkid's name for it, and the bytes by which it is recognised. */
export interface Signature {
  readonly name: string;
  readonly kind: 'file system' | 'table';
  /** Byte offsets and lengths of what is zeroed when it is wiped. */
  readonly magic: readonly { readonly offset: number; readonly length: number }[];
}

/** The file system on the device, where it is one that people lose by partitioning. */
export function fileSystemSignature(device: BlockDevice): Signature | undefined {
  if (device.size >= SUPERBLOCK_OFFSET + Superblock.$size) {
    const view = viewOf(readBytes(device, SUPERBLOCK_OFFSET, Superblock.$size));
    if (Superblock.s_magic.get(view, 0) === 0xef53) {
      // Extents, 64-bit, flexible groups and what came with them make it ext4, a journal alone ext3.
      const isExt4 =
        (Superblock.s_feature_incompat.get(view, 0) & ~0x16) !== 0 ||
        (Superblock.s_feature_ro_compat.get(view, 0) & ~0x7) !== 0;
      const hasJournal = (Superblock.s_feature_compat.get(view, 0) & 0x4) !== 0;
      const name = isExt4 ? 'ext4' : hasJournal ? 'ext3' : 'ext2';
      const offset = SUPERBLOCK_OFFSET + Superblock.s_magic.offset;
      return { name, kind: 'file system', magic: [{ offset, length: 2 }] };
    }
  }
  if (device.size >= 4096) {
    const mark = String.fromCharCode(...readBytes(device, 4096 - 10, 10));
    if (mark === 'SWAPSPACE2' || mark === 'SWAP-SPACE') {
      return { name: 'swap', kind: 'file system', magic: [{ offset: 4096 - 10, length: 10 }] };
    }
  }
  if (device.size < 512) return undefined;
  const sector = readBytes(device, 0, 512);
  if (viewOf(sector).getUint16(510, true) !== 0xaa55 || !isVolumeBootSector(sector)) return undefined;
  const text = (offset: number, length: number): string =>
    String.fromCharCode(...sector.subarray(offset, offset + length));
  const named = (name: string, offset: number, length: number): Signature => ({
    name,
    kind: 'file system',
    magic: [{ offset, length }],
  });
  // libblkid knows a FAT also by its jump instruction and by the end of the sector: util-linux wipes one after the other.
  const fat = (...text: Signature['magic']): Signature => ({
    name: 'vfat',
    kind: 'file system',
    magic: [...text, { offset: 0, length: 1 }, { offset: 0x1fe, length: 2 }],
  });
  if (text(3, 5) === 'NTFS ') return named('ntfs', 3, 8);
  if (text(3, 5) === 'EXFAT') return named('exfat', 3, 8);
  if (text(0x52, 8) === 'FAT32   ') return fat({ offset: 0x52, length: 8 });
  if (/^FAT(?:12|16|  ) {3}$/.test(text(0x36, 8))) return fat({ offset: 0x36, length: 8 });
  return fat();
}

/** The partition table on the device: what another kind of table would hide, and leave behind. */
export function tableSignature(device: BlockDevice, sectorSize: number): Signature | undefined {
  const gpt = readGpt(device, { sectorSize });
  if (gpt !== undefined) {
    const last = (Math.floor(device.size / sectorSize) - 1) * sectorSize;
    const magic = [sectorSize, last]
      .filter((offset) => String.fromCharCode(...readBytes(device, offset, 8)) === 'EFI PART')
      .map((offset) => ({ offset, length: 8 }));
    return { name: 'gpt', kind: 'table', magic };
  }
  const mbr = readMbr(device, { sectorSize });
  if (mbr === undefined) return undefined;
  return { name: mbr.protective ? 'PMBR' : 'dos', kind: 'table', magic: [{ offset: 510, length: 2 }] };
}

/** Zeroes what the signature is recognised by. */
export function wipeSignature(device: BlockDevice, { magic }: Signature): void {
  for (const { offset, length } of magic) zeroRange(device, offset, length);
}
