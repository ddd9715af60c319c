import { bytes, struct, text, u16le, u32le, u8 } from '../../bytes/struct.ts';

/**
 * The boot sector with its BIOS parameter block: Microsoft FAT specification 1.03 (2000) and the 2005 paper,
 * section 3. The part from 0x24 on has two shapes: `ExtendedBpb16` on FAT12 and FAT16, `ExtendedBpb32` on FAT32.
 */
export const BootSector = struct('boot sector', 512, {
  BS_jmpBoot: bytes(0x000, 3), // EB xx 90 or E9 xx xx
  BS_OEMName: text(0x003, 8, ' '), // mkfs.fat writes "mkfs.fat"
  BPB_BytsPerSec: u16le(0x00b), // 512, 1024, 2048 or 4096; dosfstools goes up to 32768
  BPB_SecPerClus: u8(0x00d), // a power of two, 1 to 128
  BPB_RsvdSecCnt: u16le(0x00e), // never 0
  BPB_NumFATs: u8(0x010), // 2, rarely 1
  BPB_RootEntCnt: u16le(0x011), // 0 on FAT32
  BPB_TotSec16: u16le(0x013), // 0: see BPB_TotSec32
  BPB_Media: u8(0x015), // 0xf0, 0xf8 to 0xff
  BPB_FATSz16: u16le(0x016), // sectors of one FAT; 0 on FAT32
  BPB_SecPerTrk: u16le(0x018),
  BPB_NumHeads: u16le(0x01a),
  BPB_HiddSec: u32le(0x01c),
  BPB_TotSec32: u32le(0x020),
  Signature_word: u16le(0x1fe), // 0xaa55
});

/** FAT12 and FAT16, from byte 0x24 of the boot sector. */
export const ExtendedBpb16 = struct('boot sector', 512, {
  BS_DrvNum: u8(0x024), // 0x80 for a disk, 0x00 for a floppy
  BS_Reserved1: u8(0x025), // bit 0: dirty, bit 1: surface test wanted (Windows NT)
  BS_BootSig: u8(0x026), // 0x29: the next three fields are there
  BS_VolID: u32le(0x027),
  BS_VolLab: text(0x02b, 11, ' '),
  BS_FilSysType: text(0x036, 8, ' '), // "FAT12   "; decides nothing
  BS_BootCode: bytes(0x03e, 448),
});

/** FAT32, from byte 0x24 of the boot sector. */
export const ExtendedBpb32 = struct('boot sector', 512, {
  BPB_FATSz32: u32le(0x024),
  BPB_ExtFlags: u16le(0x028), // bit 7: only the FAT of bits 0 to 3 is active
  BPB_FSVer: u16le(0x02a), // 0
  BPB_RootClus: u32le(0x02c),
  BPB_FSInfo: u16le(0x030), // sector of the FSInfo structure, usually 1; 0xffff: none
  BPB_BkBootSec: u16le(0x032), // sector of the copy, usually 6; 0xffff: none
  BPB_Reserved: bytes(0x034, 12),
  BS_DrvNum: u8(0x040),
  BS_Reserved1: u8(0x041),
  BS_BootSig: u8(0x042),
  BS_VolID: u32le(0x043),
  BS_VolLab: text(0x047, 11, ' '),
  BS_FilSysType: text(0x052, 8, ' '),
  BS_BootCode: bytes(0x05a, 420),
});

/** Microsoft FAT specification 1.03, section 5. */
export const FsInfo = struct('FSInfo', 512, {
  FSI_LeadSig: u32le(0x000), // 0x41615252
  FSI_StrucSig: u32le(0x1e4), // 0x61417272
  FSI_Free_Count: u32le(0x1e8), // 0xffffffff: unknown
  FSI_Nxt_Free: u32le(0x1ec), // 0xffffffff: unknown
  FSI_TrailSig: u32le(0x1fc), // 0xaa550000
});
