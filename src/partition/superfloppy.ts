import { u16le, u32le, u8, struct, text, viewOf } from '../bytes/struct.ts';

/**
 * The fields of a boot sector's BIOS parameter block that tell a FAT file system on a whole disk (a "superfloppy")
 * from a master boot record: both end in 0x55 0xaa. Microsoft FAT specification 1.03, section 3.1.
 */
const BootSector = struct('boot sector', 512, {
  BS_jmpBoot: u8(0x00), // 0xeb or 0xe9
  BS_OEMName: text(0x03, 8, ' '),
  BPB_BytsPerSec: u16le(0x0b), // 512, 1024, 2048, 4096
  BPB_SecPerClus: u8(0x0d), // a power of two
  BPB_RsvdSecCnt: u16le(0x0e), // not 0
  BPB_NumFATs: u8(0x10), // 1 or 2
  BPB_RootEntCnt: u16le(0x11),
  BPB_TotSec16: u16le(0x13),
  BPB_Media: u8(0x15), // 0xf0, 0xf8 to 0xff
  BPB_FATSz16: u16le(0x16),
  BPB_TotSec32: u32le(0x20),
  BPB_FATSz32: u32le(0x24),
});

/** Is this sector the start of a FAT, exFAT or NTFS volume? Then what looks like a partition table in it is none. */
export function isVolumeBootSector(sector: Uint8Array): boolean {
  const view = viewOf(sector);
  const name = BootSector.BS_OEMName.get(view, 0);
  if (name === 'NTFS' || name === 'EXFAT') return true;
  const jump = BootSector.BS_jmpBoot.get(view, 0);
  const sectorSize = BootSector.BPB_BytsPerSec.get(view, 0);
  const media = BootSector.BPB_Media.get(view, 0);
  const fatCount = BootSector.BPB_NumFATs.get(view, 0);
  const fatSize16 = BootSector.BPB_FATSz16.get(view, 0);
  return (
    (jump === 0xeb || jump === 0xe9) &&
    sectorSize >= 128 &&
    sectorSize <= 4096 &&
    isPowerOfTwo(sectorSize) &&
    isPowerOfTwo(BootSector.BPB_SecPerClus.get(view, 0)) &&
    BootSector.BPB_RsvdSecCnt.get(view, 0) !== 0 &&
    fatCount >= 1 &&
    fatCount <= 4 &&
    (media === 0xf0 || media >= 0xf8) &&
    (fatSize16 === 0
      ? BootSector.BPB_FATSz32.get(view, 0) !== 0
      : BootSector.BPB_RootEntCnt.get(view, 0) !== 0) &&
    (BootSector.BPB_TotSec16.get(view, 0) !== 0 || BootSector.BPB_TotSec32.get(view, 0) !== 0)
  );
}

function isPowerOfTwo(value: number): boolean {
  return value !== 0 && (value & (value - 1)) === 0;
}
