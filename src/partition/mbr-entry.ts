import { type Chs, chs } from '../bytes/chs.ts';
import { bytes, struct, u16le, u32le, u8 } from '../bytes/struct.ts';

/**
 * The sector that holds a partition table: the master boot record in sector 0, and the extended boot record (EBR)
 * before each logical partition. There is no standard; the layout is that of IBM PC DOS 3.30, the disk signature is
 * Windows NT's. See docs/formats/mbr.md.
 */
export const BootRecord = struct('master boot record', 512, {
  bootCode: bytes(0x000, 440),
  diskSignature: u32le(0x1b8), // 0 in an EBR
  reserved: u16le(0x1bc), // 0, or 0x5a5a: copy-protected
  partitionTable: bytes(0x1be, 64), // four PartitionEntry
  signature: u16le(0x1fe), // 0xaa55
});

/** One of the four entries of a partition table. */
export const PartitionEntry = struct('partition table entry', 16, {
  bootIndicator: u8(0x0), // 0x80 active, 0x00 not
  startingChs: chs(0x1),
  systemId: u8(0x4), // 0 in an unused entry
  endingChs: chs(0x5),
  startingSector: u32le(0x8), // counts from the start of the disk, in an EBR from the EBR or from the extended partition
  numberOfSectors: u32le(0xc),
});

export const BOOT_RECORD_SIGNATURE = 0xaa55;

/** Byte offset of the entry with this index (0 to 3) within its boot record. */
export function entryOffset(index: number): number {
  return 0x1be + 16 * index;
}

/** One that says nothing. */
export const EMPTY_ENTRY: Entry = {
  bootIndicator: 0,
  type: 0,
  firstChs: { cylinder: 0, head: 0, sector: 0 },
  lastChs: { cylinder: 0, head: 0, sector: 0 },
  startSector: 0,
  sectorCount: 0,
};

/** A partition table entry in memory. */
export interface Entry {
  readonly bootIndicator: number;
  readonly type: number;
  readonly firstChs: Chs;
  readonly lastChs: Chs;
  /** Relative to what the entry's place says: see PartitionEntry. */
  readonly startSector: number;
  readonly sectorCount: number;
}

export function readEntry(view: DataView, index: number): Entry {
  const base = entryOffset(index);
  return {
    bootIndicator: PartitionEntry.bootIndicator.get(view, base),
    type: PartitionEntry.systemId.get(view, base),
    firstChs: PartitionEntry.startingChs.get(view, base),
    lastChs: PartitionEntry.endingChs.get(view, base),
    startSector: PartitionEntry.startingSector.get(view, base),
    sectorCount: PartitionEntry.numberOfSectors.get(view, base),
  };
}

export function writeEntry(view: DataView, index: number, entry: Entry): void {
  const base = entryOffset(index);
  PartitionEntry.bootIndicator.set(view, base, entry.bootIndicator);
  PartitionEntry.startingChs.set(view, base, entry.firstChs);
  PartitionEntry.systemId.set(view, base, entry.type);
  PartitionEntry.endingChs.set(view, base, entry.lastChs);
  PartitionEntry.startingSector.set(view, base, entry.startSector);
  PartitionEntry.numberOfSectors.set(view, base, entry.sectorCount);
}
