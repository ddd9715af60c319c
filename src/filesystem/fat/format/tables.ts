import { ATARI_FLOPPY_SECTORS, ATARI_SECTORS_PER_CLUSTER, chooseAtariSectorSize } from './atari.ts';
import { chooseClusterSize } from './cluster-size.ts';
import type { NoteTaker } from './format-note.ts';
import { fat32SectorsPerCluster } from './geometry.ts';
import { DIRECTORY_ENTRY_SIZE, type FatBits, type FatLayout } from './layout.ts';
import type { FatLayoutOptions } from './layout-options.ts';

/** What is known before clusters and FATs are sized against each other. */
export interface TablesInput {
  /** Undefined: as the clusters fit. */
  readonly fatBits: FatBits | undefined;
  readonly sectorSize: number;
  readonly totalSectors: number;
  readonly reservedSectors: number;
  readonly rootEntryCount: number;
  readonly fatCount: number;
  readonly align: boolean;
}

/** A cluster count of 0: there is no solution. */
export type Tables = Pick<
  FatLayout,
  | 'fatBits'
  | 'sectorSize'
  | 'totalSectors'
  | 'sectorsPerCluster'
  | 'fatSectors'
  | 'clusterCount'
  | 'reservedSectors'
  | 'rootEntryCount'
>;

const SUGGESTED_FAT32_CLUSTERS = 65_525;

/** The cluster grows until they can be numbered. `sectorsPerCluster` is where FAT12 and FAT16 begin. */
export function chooseTables(
  input: TablesInput,
  options: FatLayoutOptions,
  sectorsPerCluster: number,
  note: NoteTaker,
): Tables {
  const first = input.fatBits === 32 ? fat32SectorsPerCluster(input.totalSectors) : sectorsPerCluster;
  const chosen = chooseClusterSize(
    {
      ...input,
      fatBitsGiven: options.fatBits !== undefined,
      sectorsPerCluster: options.sectorsPerCluster ?? first,
      sectorsPerClusterGiven: options.sectorsPerCluster !== undefined,
    },
    note,
  );
  if (input.fatBits === undefined) note({ kind: 'fat-bits', fatBits: chosen.fatBits });
  if (chosen.fatBits === 32 && chosen.clusterCount < SUGGESTED_FAT32_CLUSTERS) note({ kind: 'few-clusters' });
  const tables = { ...input, ...chosen };
  return pick(input.align ? alignTables(tables) : tables);
}

/** The logical sector grows instead. */
export function chooseAtariTables(input: TablesInput, options: FatLayoutOptions, note: NoteTaker): Tables {
  const sectorsPerCluster = options.sectorsPerCluster ?? ATARI_SECTORS_PER_CLUSTER;
  const fatBits = input.fatBits ?? (ATARI_FLOPPY_SECTORS.has(input.totalSectors) ? 12 : 16);
  note({ kind: 'fat-bits', fatBits });
  const sectorSizeGiven = options.sectorSize !== undefined;
  const chosen = chooseAtariSectorSize({ ...input, fatBits, sectorsPerCluster, sectorSizeGiven }, note);
  return pick({ ...input, fatBits, sectorsPerCluster, ...chosen });
}

function alignTables(tables: Tables): Tables {
  const { sectorsPerCluster, clusterCount } = tables;
  // Where nothing fits the tool has gone on to the next size, and 256 sectors have become 0 in its byte.
  const multiple = clusterCount === 0 ? (sectorsPerCluster * 2) & 0xff : sectorsPerCluster;
  const rootSize = tables.rootEntryCount * DIRECTORY_ENTRY_SIZE;
  return {
    ...tables,
    reservedSectors: multiple === 0 ? 0 : alignUp(tables.reservedSectors, multiple),
    rootEntryCount: alignUp(rootSize, sectorsPerCluster * tables.sectorSize) / DIRECTORY_ENTRY_SIZE,
  };
}

/** Leaves out what is no part of a layout. */
function pick(tables: Tables): Tables {
  const { fatBits, sectorSize, totalSectors, sectorsPerCluster } = tables;
  const { fatSectors, clusterCount, reservedSectors, rootEntryCount } = tables;
  return {
    fatBits,
    sectorSize,
    totalSectors,
    sectorsPerCluster,
    fatSectors,
    clusterCount,
    reservedSectors,
    rootEntryCount,
  };
}

function alignUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
