/** The parameters of a FAT file system that is about to be written, all decided. */
export interface FatLayout {
  readonly fatBits: FatBits;
  /** `atari`: the boot sector of GEMDOS, which has neither the 0xaa55 signature nor a label. */
  readonly variant: FatVariant;
  /** Bytes. */
  readonly sectorSize: number;
  readonly sectorsPerCluster: number;
  readonly reservedSectors: number;
  readonly fatCount: number;
  /** Sectors of one FAT. */
  readonly fatSectors: number;
  /** 0 on FAT32, whose root directory is a chain of clusters. */
  readonly rootEntryCount: number;
  readonly totalSectors: number;
  readonly clusterCount: number;
  readonly sectorsPerTrack: number;
  readonly heads: number;
  readonly hiddenSectors: number;
  readonly media: number;
  readonly driveNumber: number;
  readonly volumeId: number;
  /** The boot sector holds a partition table with one partition: the whole disk, itself included. */
  readonly mbr: boolean;
  /** FAT32 only: 0xffff for none. */
  readonly fsInfoSector: number;
  /** FAT32 only: 0 or 0xffff for none. */
  readonly backupBootSector: number;
  /** FAT32 only: what ends the root directory's chain; any value from 0x0ffffff8 on does. */
  readonly rootEndMark: number;
  /** FAT32 only: whether there is room behind the backup boot sector for a copy of FSInfo. */
  readonly backupFsInfo: boolean;
}

export type FatBits = 12 | 16 | 32;
export type FatVariant = 'standard' | 'atari';

/** Bytes of a directory entry. */
export const DIRECTORY_ENTRY_SIZE = 32;

/** Sectors of the fixed root directory; 0 on FAT32. */
export function rootDirectorySectors(layout: FatLayout): number {
  return Math.ceil((layout.rootEntryCount * DIRECTORY_ENTRY_SIZE) / layout.sectorSize);
}

/** First sector of cluster 2. */
export function dataStartSector(layout: FatLayout): number {
  return layout.reservedSectors + layout.fatCount * layout.fatSectors + rootDirectorySectors(layout);
}

/** Bytes from the start of the file system to the end of what formatting writes; not rounded up to a sector. */
export function metadataEnd(layout: FatLayout): number {
  const { sectorSize } = layout;
  if (layout.fatBits === 32) return (dataStartSector(layout) + layout.sectorsPerCluster) * sectorSize;
  const tables = layout.reservedSectors + layout.fatCount * layout.fatSectors;
  return tables * sectorSize + layout.rootEntryCount * DIRECTORY_ENTRY_SIZE;
}
