import { formatError } from './format-note.ts';
import type { FatBits, FatLayout } from './layout.ts';

/** What may be asked of FreeBSD's newfs_msdos; what is not asked for is chosen as its manual page says. */
export interface BsdLayoutOptions {
  readonly fatBits?: FatBits;
  readonly sectorSize?: number;
  readonly totalSectors: number;
  readonly sectorsPerCluster?: number;
  /** Bytes a cluster, instead of `sectorsPerCluster`. */
  readonly clusterSize?: number;
  readonly fatCount?: number;
  /** Of one FAT. */
  readonly fatSectors?: number;
  readonly rootEntryCount?: number;
  readonly reservedSectors?: number;
  readonly hiddenSectors?: number;
  readonly media?: number;
  readonly heads?: number;
  readonly sectorsPerTrack?: number;
  /** 0xffff: none. */
  readonly fsInfoSector?: number;
  /** 0xffff: none. */
  readonly backupBootSector?: number;
  readonly volumeId: number;
  /** Starts the root directory on a multiple of a cluster. */
  readonly alignRoot?: boolean;
  /** Sectors that the boot program takes. Default 1. */
  readonly bootSectors?: number;
}

export interface BsdPlan {
  readonly layout: FatLayout;
  /** What the tool warns of. */
  readonly warnings: readonly string[];
}

const NO_SECTOR = 0xffff;
const RESERVED_ENTRIES = 2;
const DEFAULT_ROOT_ENTRIES = 512;
const MIN_CLUSTERS: Readonly<Record<FatBits, number>> = { 12: 1, 16: 0xff5, 32: 0xfff5 };
const MAX_CLUSTERS: Readonly<Record<FatBits, number>> = { 12: 0xff4, 16: 0xfff4, 32: 0xffffff4 };
/** Bytes. FAT32 starts its root directory at 16 KiB at the earliest. */
const DEFAULT_CLUSTER_SIZE: Readonly<Record<FatBits, number>> = { 12: 4096, 16: 2048, 32: 4096 };
const FAT32_RESERVED_SIZE = 16_384;
const MAX_SECTORS_PER_CLUSTER = 128;

export function planBsdFormat(options: BsdLayoutOptions): BsdPlan {
  const warnings: string[] = [];
  const sectorSize = options.sectorSize ?? 512;
  let { totalSectors } = options;
  const bootSectors = options.bootSectors ?? 1;
  const fatCount = options.fatCount ?? 2;
  const givenCluster = givenSectorsPerCluster(options, sectorSize);
  const fatBits = options.fatBits ?? chooseFatBits(options, sectorSize, givenCluster, fatCount, bootSectors);
  if (fatBits === 32 && options.rootEntryCount !== undefined) {
    throw formatError('-e is not a legal FAT32 option');
  }
  if (fatBits !== 32 && options.fsInfoSector !== undefined)
    throw formatError('-i is not a legal FAT12/16 option');
  if (fatBits !== 32 && options.backupBootSector !== undefined) {
    throw formatError('-k is not a legal FAT12/16 option');
  }

  const special = fatBits === 32 ? placeSpecialSectors(options, bootSectors) : undefined;
  const firstFree = special?.end ?? bootSectors;
  const wantedReserved =
    fatBits === 32 ? Math.max(firstFree, Math.ceil(FAT32_RESERVED_SIZE / sectorSize), 4) : firstFree;
  let reservedSectors = options.reservedSectors ?? wantedReserved;
  if (reservedSectors < firstFree) {
    throw formatError('too few reserved sectors');
  }
  const rootEntryCount = fatBits === 32 ? 0 : (options.rootEntryCount ?? DEFAULT_ROOT_ENTRIES);
  const rootSectors = Math.ceil((rootEntryCount * 32) / sectorSize);
  let sectorsPerCluster = givenCluster ?? Math.ceil(DEFAULT_CLUSTER_SIZE[fatBits] / sectorSize);
  if (givenCluster === undefined) {
    const largestFat = fatSectorsFor(MAX_CLUSTERS[fatBits], fatBits, sectorSize) * fatCount;
    const tables = reservedSectors + largestFat + rootSectors;
    while (
      sectorsPerCluster < MAX_SECTORS_PER_CLUSTER &&
      tables + (MAX_CLUSTERS[fatBits] + 1) * sectorsPerCluster <= totalSectors
    ) {
      sectorsPerCluster *= 2;
    }
  }

  const smallestTables = reservedSectors + rootSectors + (options.fatSectors ?? 1) * fatCount;
  if (smallestTables > totalSectors) throw formatError('meta data exceeds file system size');
  // In nibbles: a cluster takes its data and one entry in each FAT.
  const nibbles = fatBits / 4;
  const estimate = Math.floor(
    ((totalSectors - smallestTables) * sectorSize * 2) /
      (sectorsPerCluster * sectorSize * 2 + nibbles * fatCount),
  );
  const neededFat = fatSectorsFor(Math.min(estimate, MAX_CLUSTERS[fatBits]), fatBits, sectorSize);
  const fatSectors = options.fatSectors ?? neededFat;
  if (options.alignRoot === true) {
    reservedSectors +=
      (sectorsPerCluster - ((reservedSectors + fatSectors * fatCount) % sectorsPerCluster)) %
      sectorsPerCluster;
  }
  const dataStart = reservedSectors + rootSectors + fatSectors * fatCount;
  if (dataStart > totalSectors || reservedSectors > 0xffff)
    throw formatError('meta data exceeds file system size');
  let clusterCount = Math.floor((totalSectors - dataStart) / sectorsPerCluster);
  const numbered = Math.floor((fatSectors * sectorSize * 2) / nibbles) - RESERVED_ENTRIES;
  clusterCount = Math.min(clusterCount, numbered);
  if (fatSectors < neededFat) {
    warnings.push(`warning: sectors/FAT limits file system to ${clusterCount} clusters`);
  }
  if (clusterCount < MIN_CLUSTERS[fatBits]) {
    throw formatError(
      `${clusterCount} clusters too few clusters for FAT${fatBits}, need ${MIN_CLUSTERS[fatBits]}`,
    );
  }
  if (clusterCount > MAX_CLUSTERS[fatBits]) {
    clusterCount = MAX_CLUSTERS[fatBits];
    totalSectors = dataStart + (clusterCount + 1) * sectorsPerCluster - 1;
    warnings.push(`warning: FAT type limits file system to ${totalSectors} sectors`);
  }
  const hiddenSectors = options.hiddenSectors ?? 0;
  const layout: FatLayout = {
    fatBits,
    variant: 'standard',
    sectorSize,
    sectorsPerCluster,
    reservedSectors,
    fatCount,
    fatSectors,
    rootEntryCount,
    totalSectors,
    clusterCount,
    sectorsPerTrack: options.sectorsPerTrack ?? 63,
    heads: options.heads ?? 255,
    hiddenSectors,
    media: options.media ?? (hiddenSectors === 0 ? 0xf0 : 0xf8),
    driveNumber: hiddenSectors === 0 ? 0x00 : 0x80,
    volumeId: options.volumeId,
    mbr: false,
    fsInfoSector: special?.fsInfo ?? NO_SECTOR,
    backupBootSector: special?.backup ?? 0,
    rootEndMark: 0x0fff_ffff,
    backupFsInfo: special !== undefined && special.fsInfo !== NO_SECTOR && special.backup !== NO_SECTOR,
  };
  return { layout, warnings };
}

function givenSectorsPerCluster(options: BsdLayoutOptions, sectorSize: number): number | undefined {
  const { clusterSize, sectorsPerCluster } = options;
  if (clusterSize === undefined) return sectorsPerCluster;
  const sectors = clusterSize / sectorSize;
  if (sectors < 1) throw formatError(`block size (${clusterSize}) < sector size (${sectorSize})`);
  if (sectors > MAX_SECTORS_PER_CLUSTER)
    throw formatError(`block size (${clusterSize}) > ${MAX_SECTORS_PER_CLUSTER} sectors`);
  return sectors;
}

/** The narrowest FAT that the size suggests; FAT32 only where FAT16 would need clusters of more than 8 KiB. */
function chooseFatBits(
  options: BsdLayoutOptions,
  sectorSize: number,
  sectorsPerCluster: number | undefined,
  fatCount: number,
  bootSectors: number,
): FatBits {
  const reserved = options.reservedSectors ?? bootSectors;
  const rootSectors = Math.ceil(((options.rootEntryCount ?? DEFAULT_ROOT_ENTRIES) * 32) / sectorSize);
  // With a given cluster FAT12 ends where FAT16 can begin; otherwise where FAT12 is exhausted.
  const clusters = sectorsPerCluster === undefined ? MAX_CLUSTERS[12] + 1 : MIN_CLUSTERS[16];
  const small =
    reserved +
    fatSectorsFor(clusters, sectorsPerCluster === undefined ? 12 : 16, sectorSize) * fatCount +
    rootSectors +
    clusters * (sectorsPerCluster ?? Math.ceil(DEFAULT_CLUSTER_SIZE[12] / sectorSize));
  if (options.totalSectors < small) return 12;
  const medium =
    reserved +
    fatSectorsFor(MAX_CLUSTERS[16], 16, sectorSize) * fatCount +
    rootSectors +
    (MAX_CLUSTERS[16] + 1) * (sectorsPerCluster ?? Math.ceil(8192 / sectorSize));
  return options.rootEntryCount !== undefined || options.totalSectors < medium ? 16 : 32;
}

/** FSInfo behind the boot program, the backup behind FSInfo. */
function placeSpecialSectors(
  options: BsdLayoutOptions,
  bootSectors: number,
): { fsInfo: number; backup: number; end: number } {
  let end = bootSectors;
  const fsInfo = options.fsInfoSector ?? end;
  if (fsInfo !== NO_SECTOR) end = Math.max(end, fsInfo + 1);
  const backup = options.backupBootSector ?? end;
  if (backup === fsInfo && backup !== NO_SECTOR) {
    throw formatError(`backup sector (${backup}) would overwrite the info sector`);
  }
  if (fsInfo === 0 || backup === 0)
    throw formatError('the boot sector is in sector 0, info and backup cannot be');
  // The copy of FSInfo lies behind the backup as FSInfo lies behind the boot sector.
  if (backup !== NO_SECTOR) end = Math.max(end, backup + 1 + (fsInfo === NO_SECTOR ? 0 : fsInfo));
  return { fsInfo, backup, end };
}

function fatSectorsFor(clusterCount: number, fatBits: FatBits, sectorSize: number): number {
  return Math.ceil(((RESERVED_ENTRIES + clusterCount) * fatBits) / (8 * sectorSize));
}
