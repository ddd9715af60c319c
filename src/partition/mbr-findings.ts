import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { chsFindings } from './chs-findings.ts';
import { hiddenSectorsFinding } from './hidden-sectors.ts';
import { PartitionEntry, entryOffset, readEntry } from './mbr-entry.ts';
import { isExtendedType } from './mbr-type.ts';
import type { MbrPartition, MbrTable } from './mbr.ts';
import { OVERLAP_ADVICE, type TableFinding } from './table-finding.ts';

/** What is odd in an MBR beyond what hinders reading it, which `table.findings` has. */
export function mbrFindings(device: BlockDevice, table: MbrTable): TableFinding[] {
  return [
    ...emptyEntries(device, table),
    ...severalActive(table),
    ...overExtended(table),
    ...overTables(table),
    ...chsFindings(table),
    ...table.partitions.flatMap(
      (partition) => hiddenSectorsFinding(device, table.sectorSize, partition) ?? [],
    ),
  ];
}

/** Sectors with boot records: the first one, the first of the chain, and those that hold logical partitions. */
export function bootRecordSectors({ partitions, sectorSize }: MbrTable): number[] {
  const extended = partitions.find(({ kind }) => kind === 'extended');
  return [
    ...new Set([
      0,
      ...(extended === undefined ? [] : [extended.startSector]),
      ...partitions.map(({ tableOffset }) => tableOffset / sectorSize),
    ]),
  ];
}

/** An entry of no sectors is skipped by some systems and counted by others. */
function emptyEntries(device: BlockDevice, table: MbrTable): TableFinding[] {
  const findings: TableFinding[] = [];
  for (const sector of bootRecordSectors(table)) {
    const tableOffset = sector * table.sectorSize;
    // The chain may begin where nothing is.
    if (tableOffset + 512 > device.size) continue;
    const record = readBytes(device, tableOffset, 512);
    if (record[510] !== 0x55 || record[511] !== 0xaa) continue;
    for (let index = 0; index < 4; index++) {
      const { type, sectorCount, startSector } = readEntry(viewOf(record), index);
      // A link of no sectors is how some tools end a chain.
      if (type === 0 || sectorCount !== 0 || (sector !== 0 && isExtendedType(type))) continue;
      findings.push({
        fault: 'zero-length',
        ...(sector === 0 ? { partition: index + 1 } : {}),
        severity: 'note',
        structure: sector === 0 ? `entry ${index + 1} of the master boot record` : 'extended boot record',
        field: 'numberOfSectors',
        offset: tableOffset + entryOffset(index) + PartitionEntry.numberOfSectors.offset,
        found: `0, with type 0x${type.toString(16).padStart(2, '0')} from sector ${startSector}`,
        expected: 'sectors, or an entry that is all zeros',
      });
    }
  }
  return findings;
}

/** The boot code of DOS refuses such a table. */
function severalActive({ partitions }: MbrTable): TableFinding[] {
  const [first, ...others] = partitions.filter(({ active, kind }) => active && kind !== 'logical');
  return others.map((partition) => ({
    fault: 'several-active',
    partition: partition.number,
    severity: 'note',
    structure: `partition ${partition.number}`,
    field: 'bootIndicator',
    offset: partition.entryOffset,
    found: '0x80 (active)',
    expected: `0x00, since partition ${first!.number} is active and boot code takes one only`,
  }));
}

/** Primary partitions that reach into the extended one, which holds more than its logical partitions. */
function overExtended({ partitions }: MbrTable): TableFinding[] {
  const extended = partitions.find(({ kind }) => kind === 'extended');
  if (extended === undefined) return [];
  return partitions
    .filter(
      (partition) =>
        partition.kind === 'primary' &&
        partition.startSector <= lastSector(extended) &&
        extended.startSector <= lastSector(partition),
    )
    .map((partition) => ({
      fault: 'overlap',
      partition: partition.number,
      severity: 'note',
      structure: `partition ${partition.number}`,
      field: 'range',
      offset: partition.entryOffset + PartitionEntry.startingSector.offset,
      found: `sectors ${partition.startSector} to ${lastSector(partition)}`,
      expected: `none of the extended partition ${extended.number}, ${extended.startSector} to ${lastSector(extended)}`,
      advice: OVERLAP_ADVICE,
    }));
}

/** Who writes such a partition writes over the table. */
function overTables(table: MbrTable): TableFinding[] {
  const records = bootRecordSectors(table);
  return table.partitions.flatMap((partition) => {
    const covered = records.find(
      (sector) =>
        sector >= partition.startSector &&
        sector <= lastSector(partition) &&
        (partition.kind !== 'extended' || sector === 0),
    );
    if (covered === undefined) return [];
    return {
      fault: 'covers-table',
      partition: partition.number,
      severity: 'note',
      structure: `partition ${partition.number}`,
      field: 'range',
      offset: partition.entryOffset + PartitionEntry.startingSector.offset,
      found: `sectors ${partition.startSector} to ${lastSector(partition)}`,
      expected:
        covered === 0
          ? 'a start behind sector 0, which holds the table'
          : `a range without sector ${covered}, which holds an extended boot record`,
      advice: 'Copy what is needed out of the partition, then make it anew behind the table',
    } as const;
  });
}

function lastSector({ startSector, sectorCount }: MbrPartition): number {
  return startSector + sectorCount - 1;
}
