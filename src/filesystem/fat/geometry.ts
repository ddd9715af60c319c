import { viewOf } from '../../bytes/struct.ts';
import { BootSector, ExtendedBpb32 } from './boot-sector.ts';

export type FatType = 'fat12' | 'fat16' | 'fat32';

/** Where everything lies, in bytes from the start of the device, worked out once from a boot sector that passed its check. */
export interface FatGeometry {
  readonly type: FatType;
  readonly sectorSize: number;
  readonly clusterSize: number;
  /** Clusters are numbered from 2 to `clusterCount + 1`. */
  readonly clusterCount: number;
  /** Of the first FAT. */
  readonly fatOffset: number;
  /** Of one FAT. */
  readonly fatSize: number;
  readonly fatCount: number;
  /** The FAT that is read: the first, unless BPB_ExtFlags names another. */
  readonly activeFat: number;
  /** Every FAT is kept; otherwise only the active one (BPB_ExtFlags, bit 7). */
  readonly mirrored: boolean;
  /** The fixed root directory of FAT12 and FAT16. */
  readonly rootOffset: number;
  /** 0 on FAT32. */
  readonly rootSize: number;
  /** 0 on FAT12 and FAT16. */
  readonly rootCluster: number;
  /** Of cluster 2. */
  readonly dataOffset: number;
  readonly fsInfoOffset: number | undefined;
  readonly backupOffset: number | undefined;
}

/** Microsoft FAT specification 1.03, section 3.5: the number of clusters decides between FAT12 and FAT16. */
const FAT12_MAX_CLUSTERS = 4084;
/** The last cluster number below the bad mark of FAT32. */
const FAT32_MAX_CLUSTERS = 0x0ffffff5;

/** `sector` holds at least the first 512 bytes; its fields have passed the rules that keep the arithmetic sound. */
export function geometryOf(sector: Uint8Array): FatGeometry {
  const view = viewOf(sector);
  const sectorSize = BootSector.BPB_BytsPerSec.get(view, 0);
  const clusterSize = sectorSize * BootSector.BPB_SecPerClus.get(view, 0);
  const reservedSectors = BootSector.BPB_RsvdSecCnt.get(view, 0);
  const fatCount = BootSector.BPB_NumFATs.get(view, 0);
  const isFat32 = BootSector.BPB_FATSz16.get(view, 0) === 0;
  const fatSize = fatSectorsOf(view) * sectorSize;
  const fatOffset = reservedSectors * sectorSize;
  const rootOffset = fatOffset + fatCount * fatSize;
  const rootBytes = isFat32 ? 0 : BootSector.BPB_RootEntCnt.get(view, 0) * 32;
  const dataOffset = rootOffset + Math.ceil(rootBytes / sectorSize) * sectorSize;
  const end = totalSectorsOf(view) * sectorSize;
  const found = Math.max(0, Math.floor((end - dataOffset) / clusterSize));
  const type: FatType = isFat32 ? 'fat32' : found <= FAT12_MAX_CLUSTERS ? 'fat12' : 'fat16';
  // Linux, too, counts no cluster that the FAT has no entry for.
  const entries = Math.floor((fatSize * 8) / Number(type.slice(3)));
  const clusterCount = Math.max(0, Math.min(found, entries - 2, FAT32_MAX_CLUSTERS));
  const flags = isFat32 ? ExtendedBpb32.BPB_ExtFlags.get(view, 0) : 0;
  const mirrored = (flags & 0x80) === 0;
  return {
    type,
    sectorSize,
    clusterSize,
    clusterCount,
    fatOffset,
    fatSize,
    fatCount,
    activeFat: mirrored ? 0 : flags & 0x0f,
    mirrored,
    rootOffset,
    rootSize: rootBytes,
    rootCluster: isFat32 ? ExtendedBpb32.BPB_RootClus.get(view, 0) : 0,
    dataOffset,
    fsInfoOffset: isFat32
      ? reservedSector(ExtendedBpb32.BPB_FSInfo.get(view, 0), reservedSectors, sectorSize)
      : undefined,
    backupOffset: isFat32
      ? reservedSector(ExtendedBpb32.BPB_BkBootSec.get(view, 0), reservedSectors, sectorSize)
      : undefined,
  };
}

export function totalSectorsOf(view: DataView): number {
  return BootSector.BPB_TotSec16.get(view, 0) || BootSector.BPB_TotSec32.get(view, 0);
}

/** Sectors of one FAT. */
export function fatSectorsOf(view: DataView): number {
  return BootSector.BPB_FATSz16.get(view, 0) || ExtendedBpb32.BPB_FATSz32.get(view, 0);
}

/** Byte offset of a cluster on the device. */
export function clusterOffset(geometry: FatGeometry, cluster: number): number {
  return geometry.dataOffset + (cluster - 2) * geometry.clusterSize;
}

/** Sector 0 is the boot sector itself; 0xffff and whatever lies past the reserved sectors mean that there is none. */
function reservedSector(sector: number, reservedSectors: number, sectorSize: number): number | undefined {
  return sector === 0 || sector >= reservedSectors ? undefined : sector * sectorSize;
}
