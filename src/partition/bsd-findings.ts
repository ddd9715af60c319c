import { viewOf } from '../bytes/struct.ts';
import type { BlockDevice } from '../device/block-device.ts';
import {
  type BsdPartition,
  DISKLABEL_OFFSET,
  Disklabel,
  type Slice,
  disklabelSum,
  readDisklabel,
  readDisklabelBytes,
  sliceOf,
} from './bsd-disklabel.ts';
import { OVERLAP_ADVICE, type TableFinding } from './table-finding.ts';
import type { Table } from './table.ts';

/** What is wrong with the disklabels in an MBR's partitions, or with that of a disk without a table. */
export function bsdFindings(device: BlockDevice, table: Table | undefined): TableFinding[] {
  if (table?.kind === 'gpt') return [];
  if (table === undefined) return labelFindings(device, undefined, 'BSD disklabel');
  return table.partitions.flatMap((partition) => {
    const slice = sliceOf(partition, table.sectorSize);
    return slice === undefined
      ? []
      : labelFindings(device, slice, `BSD disklabel in partition ${partition.number}`);
  });
}

/** Partitions that leave the slice are not read, as by Linux, and so are not told of. */
function labelFindings(device: BlockDevice, slice: Slice | undefined, structure: string): TableFinding[] {
  const bytes = readDisklabelBytes(device, slice?.offset ?? 0);
  const label = readDisklabel(device, slice);
  if (bytes === undefined || label === undefined) return [];
  const findings: TableFinding[] = [];
  if (!label.checksumIsRight) {
    const found = Disklabel.d_checksum.get(viewOf(bytes), 0);
    findings.push({
      fault: 'label-checksum',
      severity: 'note',
      structure,
      field: 'd_checksum',
      offset: (slice?.offset ?? 0) + DISKLABEL_OFFSET + Disklabel.d_checksum.offset,
      found: hex16(found),
      expected: hex16(found ^ disklabelSum(bytes)),
      advice: 'The BSDs do not believe such a label; which of its fields changed nobody can tell',
    });
  }
  const sorted = [...label.partitions].sort((a, b) => a.startSector - b.startSector);
  let furthest: BsdPartition | undefined;
  for (const partition of sorted) {
    if (furthest !== undefined && partition.startSector < endOf(furthest)) {
      findings.push({
        fault: 'overlap',
        severity: 'note',
        structure: `partition ${partition.letter} of the ${structure}`,
        field: 'p_offset',
        offset: partition.entryOffset + 4,
        found: `sector ${partition.startSector}`,
        expected: `at least ${endOf(furthest)}, the end of ${furthest.letter}`,
        advice: OVERLAP_ADVICE,
      });
    }
    if (furthest === undefined || endOf(partition) > endOf(furthest)) furthest = partition;
  }
  return findings;
}

function endOf({ startSector, sectorCount }: BsdPartition): number {
  return startSector + sectorCount;
}

function hex16(value: number): string {
  return `0x${value.toString(16).padStart(4, '0')}`;
}
