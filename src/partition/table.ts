import type { BlockDevice } from '../device/block-device.ts';
import { SliceDevice } from '../device/slice-device.ts';
import { CorruptImageError } from '../errors.ts';
import { type GptPartition, type GptTable, readGpt } from './gpt.ts';
import { type MbrPartition, type MbrTable, readMbr } from './mbr.ts';
import { sectorSizeOfMbr } from './mbr-sector-size.ts';
import type { TableFinding } from './table-finding.ts';

/** What the table of a disk says, whatever kind of table it is. */
export type Table = MbrTable | GptTable;
export type TablePartition = MbrPartition | GptPartition;

/** The table of the disk: its GPT where it has one, else its MBR. Undefined where there is neither. */
export function readTable(device: BlockDevice): Table | undefined {
  const gpt = readGpt(device);
  if (gpt !== undefined) return gpt;
  const mbr = readMbr(device);
  if (mbr === undefined || mbr.partitions.length === 0) return mbr;
  const sectorSize = sectorSizeOfMbr(device, mbr.partitions);
  if (sectorSize === mbr.sectorSize) return mbr;
  const other = readMbr(device, { sectorSize })!;
  const finding: TableFinding = {
    fault: 'sector-size',
    severity: 'note',
    structure: 'master boot record',
    field: 'sector size',
    found: `${sectorSize} bytes, by where its partitions begin`,
    expected: `${mbr.sectorSize} bytes, which the image is taken for; it is read with sectors of ${sectorSize}`,
  };
  return { ...other, findings: [finding, ...other.findings] };
}

/**
 * The sectors, in bytes, that the image was made for, where these are not those that the device is taken for: nothing in an image says
 * so but its table. Undefined where both agree, and where there is no table.
 */
export function otherSectorSize(device: BlockDevice, table: Table | undefined): number | undefined {
  return table === undefined || table.sectorSize === device.sectorSize ? undefined : table.sectorSize;
}

/** The partition as a device of its own, with the table's sectors; CorruptImageError when it does not lie on the disk. */
export function partitionSlice(device: BlockDevice, table: Table, partition: TablePartition): BlockDevice {
  const end = (partition.startSector + partition.sectorCount) * table.sectorSize;
  if (end > device.size) {
    throw new CorruptImageError({
      structure: `partition ${partition.number}`,
      field: 'end',
      offset: partition.entryOffset,
      found: `byte ${end}`,
      expected: `at most ${device.size}, the size of the device`,
    });
  }
  const { sectorSize } = table;
  const { startSector, sectorCount } = partition;
  return new SliceDevice(device, startSector * sectorSize, sectorCount * sectorSize, { sectorSize });
}
