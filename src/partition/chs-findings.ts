import { type Chs, type Geometry, MAX_CYLINDER, chsOfSector } from '../bytes/chs.ts';
import { PartitionEntry } from './mbr-entry.ts';
import { DEFAULT_HEADS, DEFAULT_SECTORS_PER_TRACK, geometryOfEntries } from './mbr-geometry.ts';
import type { MbrPartition, MbrTable } from './mbr.ts';
import type { TableFinding } from './table-finding.ts';

type Tracks = Pick<Geometry, 'heads' | 'sectorsPerTrack'>;

/** What BIOSes, USB sticks, SCSI adapters and old disks claim, the most usual first. */
const USUAL: readonly Tracks[] = [
  { heads: DEFAULT_HEADS, sectorsPerTrack: DEFAULT_SECTORS_PER_TRACK },
  { heads: 64, sectorsPerTrack: 32 },
  { heads: 16, sectorsPerTrack: 63 },
  { heads: 240, sectorsPerTrack: 63 },
  { heads: 128, sectorsPerTrack: 63 },
  { heads: 2, sectorsPerTrack: 18 },
];

/** The geometry that most addresses of the table agree with; of several the most usual one. */
export function geometryOfTable(table: MbrTable): Tracks {
  const addresses = addressesOf(table);
  const own = table.partitions.flatMap((partition) => geometryOfEntries([entryOf(partition)]) ?? []);
  let best = USUAL[0]!;
  let most = -1;
  for (const candidate of [...USUAL, ...own]) {
    const count = addresses.filter(({ chs, sector }) => agrees(chs, sector, candidate)).length;
    if (count > most) [best, most] = [candidate, count];
  }
  return best;
}

/** Addresses that are not those of the sector numbers beside them. Those that are not stated, or cannot be, are let be. */
export function chsFindings(table: MbrTable): TableFinding[] {
  if (table.protective) return [];
  const geometry = geometryOfTable(table);
  return addressesOf(table).flatMap(({ partition, field, chs, sector }) => {
    if (agrees(chs, sector, geometry)) return [];
    const right = triple(chsOfSector(sector, geometry));
    return {
      fault: 'chs',
      partition: partition.number,
      severity: 'note',
      structure: `partition ${partition.number}`,
      field,
      offset: partition.entryOffset + PartitionEntry[field].offset,
      found: triple(chs),
      expected: `${right}, which is sector ${sector} with ${geometry.heads} heads and ${geometry.sectorsPerTrack} sectors a track`,
    } as const;
  });
}

interface Address {
  readonly partition: MbrPartition;
  readonly field: 'startingChs' | 'endingChs';
  readonly chs: Chs;
  readonly sector: number;
}

function addressesOf({ partitions }: MbrTable): Address[] {
  return partitions.flatMap((partition) => {
    const { startSector, sectorCount, firstChs, lastChs } = partition;
    return [
      { partition, field: 'startingChs', chs: firstChs, sector: startSector },
      { partition, field: 'endingChs', chs: lastChs, sector: startSector + sectorCount - 1 },
    ] as const;
  });
}

/** Past cylinder 1023 tools write different things, and none means anything. */
function agrees(address: Chs, sector: number, geometry: Tracks): boolean {
  const right = chsOfSector(sector, geometry);
  if (right.cylinder > MAX_CYLINDER || isUnstated(address)) return true;
  return (
    address.cylinder === right.cylinder && address.head === right.head && address.sector === right.sector
  );
}

/** All zeros, and the highest address: "go by the sector number". */
function isUnstated({ cylinder, head, sector }: Chs): boolean {
  return sector === 0 || (cylinder === MAX_CYLINDER && head >= 254 && sector === 63);
}

function entryOf(partition: MbrPartition): Parameters<typeof geometryOfEntries>[0][number] {
  return { ...partition, bootIndicator: 0 };
}

function triple({ cylinder, head, sector }: Chs): string {
  return `${cylinder}/${head}/${sector}`;
}
