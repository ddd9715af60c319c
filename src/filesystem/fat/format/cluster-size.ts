import type { FatTrial, NoteTaker } from './format-note.ts';
import type { FatBits } from './layout.ts';

/**
 * Which FAT and which size of cluster: grow the cluster until the clusters can be numbered.
 *
 * Windows tells FAT12 from FAT16 at 4085 clusters, Linux at 4087 FAT entries, so 4085 and 4086 clusters are avoided.
 */
const MAX_CLUSTERS: Readonly<Record<FatBits, number>> = { 12: 4084, 16: 65_524, 32: 268_435_446 };
/** Fewer would be taken for the smaller FAT. */
const MIN_CLUSTERS: Readonly<Record<FatBits, number>> = { 12: 0, 16: 4087, 32: 65_525 };
const MAX_SECTORS_PER_CLUSTER = 128;

export interface ClusterSizeInput {
  /** Undefined: FAT12 or FAT16, whichever numbers more clusters. */
  readonly fatBits: FatBits | undefined;
  /** The FAT was asked for, not chosen by size: then FAT32 may have too few clusters. */
  readonly fatBitsGiven: boolean;
  readonly sectorSize: number;
  readonly totalSectors: number;
  readonly reservedSectors: number;
  readonly rootEntryCount: number;
  readonly fatCount: number;
  readonly align: boolean;
  /** Where the search begins. */
  readonly sectorsPerCluster: number;
  /** The search ends where it begins. */
  readonly sectorsPerClusterGiven: boolean;
}

export interface ClusterSize {
  readonly fatBits: FatBits;
  readonly sectorsPerCluster: number;
  readonly fatSectors: number;
  /** 0: there is no solution. */
  readonly clusterCount: number;
}

export function chooseClusterSize(input: ClusterSizeInput, note: NoteTaker): ClusterSize {
  let { sectorsPerCluster } = input;
  const last = input.sectorsPerClusterGiven ? sectorsPerCluster : MAX_SECTORS_PER_CLUSTER;
  for (; ; sectorsPerCluster *= 2) {
    note({ kind: 'cluster-size-tried', sectorsPerCluster });
    const best = tryClusterSize(input, sectorsPerCluster, note);
    if (best.clusterCount > 0 || sectorsPerCluster >= last) return best;
  }
}

function tryClusterSize(input: ClusterSizeInput, sectorsPerCluster: number, note: NoteTaker): ClusterSize {
  function attempt(fatBits: FatBits): ClusterSize {
    const trial = tryFat(input, fatBits, sectorsPerCluster);
    note(trial);
    const clusterCount = trial.verdict === 'fits' ? trial.clusterCount : 0;
    return {
      fatBits,
      sectorsPerCluster,
      fatSectors: trial.fatSectors,
      clusterCount,
    };
  }
  if (input.fatBits !== undefined) return attempt(input.fatBits);
  const fat12 = attempt(12);
  const fat16 = attempt(16);
  // Worked out for the report only: below 512 MiB FAT32 is used on request.
  attempt(32);
  return fat16.clusterCount > fat12.clusterCount ? fat16 : fat12;
}

function tryFat(input: ClusterSizeInput, fatBits: FatBits, sectorsPerCluster: number): FatTrial {
  const { sectorSize, fatCount } = input;
  const reserved = alignUp(input, input.reservedSectors, sectorsPerCluster);
  const rootSectors =
    fatBits === 32
      ? 0
      : alignUp(input, Math.ceil((input.rootEntryCount * 32) / sectorSize), sectorsPerCluster);
  // Sectors for FATs and data. The report shows the 32-bit wrap of a medium smaller than its own root directory.
  const sectors = (input.totalSectors - reserved - rootSectors) >>> 0;
  const clusterSize = sectorsPerCluster * sectorSize;
  // In nibbles, so that one formula serves all three: a cluster takes its data and one entry in each FAT; the FATs hold two entries more.
  const nibbles = fatBits / 4;
  const estimate =
    Math.floor(
      (2 * sectors * sectorSize + 2 * fatCount * nibbles) / (2 * clusterSize + fatCount * nibbles),
    ) >>> 0;
  const fatBytes = fatBits === 12 ? (((estimate + 2) * 3 + 1) >>> 0) >>> 1 : (estimate + 2) * (fatBits / 8);
  const bareFatSectors = Math.trunc(((fatBytes + sectorSize - 1) | 0) / sectorSize);
  const fatSectors = alignUp(input, bareFatSectors, sectorsPerCluster) >>> 0;
  // What the FATs leave of the sectors may make up for one cluster less, or one more.
  const clusterCount = Math.floor(((sectors - fatCount * fatSectors) >>> 0) / sectorsPerCluster);
  const maxClusters = Math.min(Math.floor((fatSectors * sectorSize * 2) / nibbles), MAX_CLUSTERS[fatBits]);
  const mayBeSmall = fatBits === 32 && input.fatBitsGiven;
  const verdict =
    clusterCount > maxClusters
      ? 'too-many'
      : clusterCount > 0 && clusterCount < MIN_CLUSTERS[fatBits] && !mayBeSmall
        ? 'too-few'
        : 'fits';
  return { kind: 'fat-tried', fatBits, clusterCount, fatSectors, maxClusters, verdict };
}

function alignUp(input: ClusterSizeInput, sectors: number, sectorsPerCluster: number): number {
  return input.align ? Math.ceil(sectors / sectorsPerCluster) * sectorsPerCluster : sectors;
}
