import { type AtariTrial, formatError, type NoteTaker } from './format-note.ts';
import { DIRECTORY_ENTRY_SIZE, type FatBits } from './layout.ts';

/**
 * GEMDOS of the Atari ST wants two sectors a cluster and numbers sectors in 16 bits: larger file systems get larger
 * logical sectors instead of larger clusters.
 */
export const ATARI_SECTORS_PER_CLUSTER = 2;
/** Floppies of these many sectors have 12-bit FATs: 720K, 1.2M, 1.44M, 2.88M. */
export const ATARI_FLOPPY_SECTORS: ReadonlySet<number> = new Set([1440, 2400, 2880, 5760]);
const SECTOR_LIMIT = 65_531;
/** TOS before 1.04 takes the number of sectors for a signed 16-bit one. */
const MAX_SECTORS_OF_OLD_TOS = 32_765;
const MAX_SECTOR_SIZE = 16_384;
/** Entries that a FAT may have, its first two included. */
const MAX_ENTRIES: Readonly<Record<FatBits, number>> = { 12: 4084, 16: 65_524, 32: 268_435_446 };

export interface AtariInput {
  readonly fatBits: FatBits;
  readonly sectorSize: number;
  /** The sector size was asked for: there is nothing to choose. */
  readonly sectorSizeGiven: boolean;
  readonly totalSectors: number;
  readonly reservedSectors: number;
  readonly rootEntryCount: number;
  readonly fatCount: number;
  readonly sectorsPerCluster: number;
}

export interface AtariSize {
  readonly sectorSize: number;
  readonly totalSectors: number;
  readonly fatSectors: number;
  readonly clusterCount: number;
}

export function chooseAtariSectorSize(input: AtariInput, note: NoteTaker): AtariSize {
  let { sectorSize, totalSectors } = input;
  while (totalSectors > SECTOR_LIMIT && !input.sectorSizeGiven) {
    sectorSize *= 2;
    totalSectors = Math.floor(totalSectors / 2);
  }
  note({ kind: 'atari-sector-size', sectorSize, limit: SECTOR_LIMIT });
  for (;;) {
    const trial = tryAtari(input, sectorSize, totalSectors);
    note(trial);
    const { fatSectors, clusterCount } = trial;
    if (trial.verdict === 'fits' && sectorSize <= MAX_SECTOR_SIZE) {
      return { sectorSize, totalSectors, fatSectors, clusterCount };
    }
    if (trial.verdict !== 'fits' && input.sectorSizeGiven) {
      throw formatError('With this sector size, the maximum number of FAT entries would be exceeded.');
    }
    sectorSize *= 2;
    totalSectors = Math.floor(totalSectors / 2);
    if (sectorSize > MAX_SECTOR_SIZE) {
      throw formatError("Would need a sector size > 16k, which GEMDOS can't work with");
    }
  }
}

function tryAtari(input: AtariInput, sectorSize: number, totalSectors: number): AtariTrial {
  const { fatBits, fatCount, sectorsPerCluster } = input;
  const rootSectors =
    fatBits === 32 ? 0 : Math.ceil((input.rootEntryCount * DIRECTORY_ENTRY_SIZE) / sectorSize);
  const sectors = (totalSectors - input.reservedSectors - rootSectors) >>> 0;
  const nibbles = fatBits / 4;
  const estimate = Math.floor(
    (2 * sectors * sectorSize + 2 * fatCount * nibbles) /
      (2 * sectorsPerCluster * sectorSize + fatCount * nibbles),
  );
  // In bits, and in 32 bits: the report shows the wrap of a medium smaller than its own root directory.
  const fatSectors = Math.ceil((((estimate + 2) * fatBits) >>> 0) / (sectorSize * 8));
  const clusterCount = Math.floor(((sectors - fatCount * fatSectors) >>> 0) / sectorsPerCluster);
  const maxClusters = Math.floor(((fatSectors * sectorSize * 8) >>> 0) / fatBits);
  const verdict =
    clusterCount > maxClusters ? 'too-many' : maxClusters > MAX_ENTRIES[fatBits] ? 'fat-too-big' : 'fits';
  return { kind: 'atari-tried', sectorSize, clusterCount, fatSectors, maxClusters, verdict };
}

/** Notes or refuses what GEMDOS cannot handle. */
export function checkAtariLimits(totalSectors: number, note: NoteTaker): void {
  if (totalSectors >= SECTOR_LIMIT) throw formatError("GEMDOS can't handle more than 65531 sectors");
  if (totalSectors > MAX_SECTORS_OF_OLD_TOS) note({ kind: 'many-atari-sectors' });
}
