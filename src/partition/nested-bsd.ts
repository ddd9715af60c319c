import type { BlockDevice } from '../device/block-device.ts';
import { type BsdPartition, readDisklabel, sliceOf } from './bsd-disklabel.ts';
import type { Table } from './table.ts';

/** A partition of a BSD disklabel, with the number that Linux gives it. */
export interface NestedBsdPartition extends BsdPartition {
  /** Behind those of the table, the logical ones included; on a disk without a table from 1. */
  readonly number: number;
  /** The number of the MBR's partition that holds the label; undefined for the label of a whole disk. */
  readonly within: number | undefined;
  /** Bytes from the start of the disk. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  /** Bytes a sector. */
  readonly sectorSize: number;
}

const FIRST_BEHIND_PRIMARY = 5;

/** The partitions of the disklabels in an MBR's partitions, and without a table those of the disk's own label, as Linux and libblkid number them. */
export function bsdPartitions(device: BlockDevice, table: Table | undefined): NestedBsdPartition[] {
  if (table?.kind === 'gpt') return [];
  const found: NestedBsdPartition[] = [];
  let number =
    table === undefined
      ? 1
      : Math.max(FIRST_BEHIND_PRIMARY, ...table.partitions.map((each) => each.number + 1));
  const holders =
    table === undefined
      ? [{ slice: undefined, within: undefined }]
      : table.partitions.map((each) => ({ slice: sliceOf(each, table.sectorSize), within: each.number }));
  for (const { slice, within } of holders) {
    if (slice === undefined && within !== undefined) continue;
    const label = readDisklabel(device, slice);
    for (const partition of label?.partitions ?? []) {
      const { sectorSize } = label!;
      found.push({
        ...partition,
        number: number++,
        within,
        offset: partition.startSector * sectorSize,
        size: partition.sectorCount * sectorSize,
        sectorSize,
      });
    }
  }
  return found;
}

/**
 * Where a label may be, whether there is one or not: byte offsets of the 512-byte blocks that the names of nested partitions depend on.
 */
export function disklabelBlocks(table: Table | undefined): number[] {
  if (table === undefined) return [512];
  if (table.kind === 'gpt') return [];
  return table.partitions
    .map((partition) => sliceOf(partition, table.sectorSize))
    .filter((slice) => slice !== undefined)
    .map(({ offset }) => offset + 512);
}
