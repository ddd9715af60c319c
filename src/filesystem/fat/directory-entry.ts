import { bytes, struct, u16le, u32le, u8 } from '../../bytes/struct.ts';

/** Bytes of one slot of a directory. */
export const SLOT_SIZE = 32;
/** Slots of the largest directory: 2 MiB, Microsoft FAT specification 1.03, section 6. */
export const MAX_SLOTS = 65536;

/** The entry with the 8.3 name: Microsoft FAT specification 1.03, section 6. */
export const ShortEntry = struct('directory entry', SLOT_SIZE, {
  DIR_Name: bytes(0x00, 11), // [0]: 0xe5 deleted, 0x00 deleted and nothing follows, 0x05 stands for 0xe5
  DIR_Attr: u8(0x0b),
  DIR_NTRes: u8(0x0c), // Windows NT: 0x08 base in lower case, 0x10 extension in lower case
  DIR_CrtTimeTenth: u8(0x0d), // hundredths of a second, 0 to 199, despite its name
  DIR_CrtTime: u16le(0x0e),
  DIR_CrtDate: u16le(0x10),
  DIR_LstAccDate: u16le(0x12),
  DIR_FstClusHI: u16le(0x14), // FAT32; on FAT12 and FAT16 OS/2 kept extended attributes here
  DIR_WrtTime: u16le(0x16),
  DIR_WrtDate: u16le(0x18),
  DIR_FstClusLO: u16le(0x1a),
  DIR_FileSize: u32le(0x1c), // 0 for directories
});

/** A piece of a long name, 13 UTF-16 units: Microsoft FAT specification 1.03, section 7. */
export const LongEntry = struct('long directory entry', SLOT_SIZE, {
  LDIR_Ord: u8(0x00), // 1 for the first piece, which lies nearest to the short entry; 0x40: the last piece
  LDIR_Name1: bytes(0x01, 10),
  LDIR_Attr: u8(0x0b), // 0x0f
  LDIR_Type: u8(0x0c), // 0
  LDIR_Chksum: u8(0x0d), // of the short name
  LDIR_Name2: bytes(0x0e, 12),
  LDIR_FstClusLO: u16le(0x1a), // 0
  LDIR_Name3: bytes(0x1c, 4),
});

export const DELETED = 0xe5;
/** Stands in DIR_Name[0] for a name that begins with 0xe5. */
export const ESCAPED_E5 = 0x05;
export const LAST_LONG_ENTRY = 0x40;
export const LONG_NAME_ATTRIBUTES = 0x0f;
export const LONG_NAME_MASK = 0x3f;
export const NtCase = { lowerBase: 0x08, lowerExtension: 0x10 } as const;

/** A slot with nothing in it but that it is free; a first byte of zero would end the directory for some readers. */
export function deletedSlot(): Uint8Array {
  const slot = new Uint8Array(SLOT_SIZE);
  slot[0] = DELETED;
  return slot;
}
