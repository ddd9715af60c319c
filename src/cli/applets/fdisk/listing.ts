import { chsOfSector, cylinderSize, type Chs } from '../../../bytes/chs.ts';
import type { BsdDisklabelEditor, EditedBsdPartition } from '../../../partition/bsd-disklabel-editor.ts';
import { BSD_FFS, BSD_UNUSED, bsdTypeName } from '../../../partition/bsd-type.ts';
import { type FreeRange, freeRanges, freeRangesBetween } from '../../../partition/free-space.ts';
import { formatGptAttributes } from '../../../partition/gpt-attributes.ts';
import type { EditedGptPartition } from '../../../partition/gpt-editor.ts';
import { gptFreeRanges } from '../../../partition/gpt-space.ts';
import { gptTypeName } from '../../../partition/gpt-type.ts';
import type { EditedPartition } from '../../../partition/mbr-slots.ts';
import { partitionTypeName } from '../../../partition/mbr-type.ts';
import { type Column, columnShape, detailColumns, renderColumns } from './columns.ts';
import { type Disk, partitionPath } from './disk.ts';
import { humanSize } from './human-size.ts';

export { partitionPath as partitionName } from './disk.ts';

/** The lines above the table; the last ones only where the disk has one. */
export function describeDisk(disk: Disk, detailed = false): string[] {
  const { layout, name } = disk;
  const { geometry, sectorSize } = layout;
  const size = layout.sectorCount * sectorSize;
  const lines = [
    `Disk ${name}: ${humanSize(size, { digits: 2, long: true })}, ${size} bytes, ${layout.sectorCount} sectors`,
  ];
  const kind = disk.label?.kind;
  if ((disk.geometryMatters && kind === 'dos') || kind === 'bsd' || disk.cylinders) {
    lines.push(
      `Geometry: ${geometry.heads} heads, ${geometry.sectorsPerTrack} sectors/track, ${geometry.cylinders} cylinders`,
    );
  }
  lines.push(
    unitLine(disk),
    `Sector size (logical/physical): ${sectorSize} bytes / ${sectorSize} bytes`,
    `I/O size (minimum/optimal): ${sectorSize} bytes / ${sectorSize} bytes`,
  );
  const { label } = disk;
  if (label === undefined) return lines;
  lines.push(`Disklabel type: ${label.kind}`);
  if (label.kind === 'bsd') return detailed ? [...lines, ...describeDrive(label.editor)] : lines;
  lines.push(`Disk identifier: ${diskIdentifier(disk)}`);
  if (label.kind === 'gpt' && detailed) {
    const { editor } = label;
    lines.push(
      `First usable LBA: ${editor.firstUsable}`,
      `Last usable LBA: ${editor.lastUsable}`,
      `Alternative LBA: ${editor.alternateLba}`,
      `Partition entries starting LBA: ${editor.tableLba}`,
      `Allocated partition entries: ${editor.entryCount}`,
      `Partition entries ending LBA: ${editor.tableEndLba}`,
    );
  }
  return lines;
}

/** `0x8bafd0cb`, of a GPT its GUID. */
export function diskIdentifier(disk: Disk): string {
  if (disk.label?.kind === 'gpt') return disk.label.editor.diskGuid;
  return `0x${(disk.editor?.diskIdentifier ?? 0).toString(16).padStart(8, '0')}`;
}

function unitLine(disk: Disk): string {
  const { sectorSize } = disk.layout;
  const sectors = disk.cylinders ? cylinderSize(disk.layout.geometry) : 1;
  return `Units: ${disk.cylinders ? 'cylinders' : 'sectors'} of ${sectors} * ${sectorSize} = ${sectors * sectorSize} bytes`;
}

/** The partitions in use, in the order of their numbers. */
export function usedPartitions(disk: Disk): readonly ListedPartition[] {
  const { label } = disk;
  switch (label?.kind) {
    case undefined:
      return [];
    case 'gpt':
      return label.editor.partitions;
    case 'bsd':
      return label.editor.partitions.filter(({ used }) => used);
    case 'dos':
      return label.editor.partitions.filter(({ present }) => present);
  }
}

export type ListedPartition = EditedPartition | EditedGptPartition | EditedBsdPartition;

/** What the `s` of a BSD disklabel shows of it. */
export function describeDrive(editor: BsdDisklabelEditor): string[] {
  const type = editor.drive('d_type');
  const flags = editor.drive('d_flags');
  const flag = FLAGS.find(([bit]) => (flags & bit) !== 0)?.[1] ?? '';
  return [
    `Type: ${DRIVE_TYPES[type] ?? type}`,
    `Disk: ${editor.typeName}`,
    `Packname: ${editor.packName}`,
    `Flags: ${flag}`,
    `Bytes/Sector: ${editor.drive('d_secsize')}`,
    `Tracks/Cylinder: ${editor.drive('d_ntracks')}`,
    `Sectors/Cylinder: ${editor.drive('d_secpercyl')}`,
    `Cylinders: ${editor.drive('d_ncylinders')}`,
    `Rpm: ${editor.drive('d_rpm')}`,
    `Interleave: ${editor.drive('d_interleave')}`,
    `Trackskew: ${editor.drive('d_trackskew')}`,
    `Cylinderskew: ${editor.drive('d_cylskew')}`,
    `Headswitch: ${editor.drive('d_headswitch')}`,
    `Track-to-track seek: ${editor.drive('d_trkseek')}`,
  ];
}

const DRIVE_TYPES = [
  'unknown',
  'SMD',
  'MSCP',
  'old DEC',
  'SCSI',
  'ESDI',
  'ST506',
  'HP-IB',
  'HP-FL',
  'type 9',
  'floppy',
];

const FLAGS: readonly (readonly [bit: number, name: string])[] = [
  [1, ' removable'],
  [2, ' ecc'],
  [4, ' badsect'],
];

/** The table of partitions with its heading; empty where there are none. */
export function partitionTable(disk: Disk, columns: readonly Column[], inBytes: boolean): string[] {
  const partitions = usedPartitions(disk);
  if (partitions.length === 0) return [];
  const rows = partitions.map((partition) => columns.map((column) => cell(disk, partition, column, inBytes)));
  return renderColumns(columns.map(columnShape), rows);
}

export function cell(disk: Disk, partition: ListedPartition, column: Column, inBytes: boolean): string {
  const { startSector, endSector, sectorCount } = partition;
  const { geometry, sectorSize } = disk.layout;
  const size = sectorCount * sectorSize;
  switch (column) {
    case 'device':
      return partitionPath(disk.name, partition.index + 1);
    case 'start':
      return `${inUnits(disk, startSector)}${remainder(disk, startSector)}`;
    case 'end':
      // An entry without sectors ends where it begins.
      if (sectorCount === 0) return String(inUnits(disk, startSector));
      return `${inUnits(disk, endSector)}${remainder(disk, endSector + 1)}`;
    case 'sectors':
      return String(sectorCount);
    case 'cylinders':
      // The tool counts one too many where they come out even.
      return sectorCount === 0 ? '' : String(Math.floor(sectorCount / cylinderSize(geometry)) + 1);
    case 'size':
      return inBytes ? String(size) : humanSize(size, { digits: 1, long: false });
    default:
      if ('entry' in partition) return dosCell(partition, column);
      return 'uuid' in partition ? gptCell(partition, column) : bsdCell(partition, column);
  }
}

/** Behind a cylinder of a BSD disklabel: a star where the partition does not begin or end with it. */
function remainder(disk: Disk, sector: number): string {
  const size = disk.bsd?.drive('d_secpercyl') ?? 0;
  if (!disk.cylinders || size === 0) return '';
  // The tool counts in 32 bits.
  return (sector >>> 0) % size === 0 ? ' ' : '*';
}

function bsdCell(partition: EditedBsdPartition, column: Column): string {
  const { type } = partition;
  switch (column) {
    case 'slice':
      return String.fromCharCode(0x61 + partition.index);
    case 'bsdType':
      return bsdTypeName(type);
    case 'fragmentSize':
      return String(type === BSD_UNUSED || type === BSD_FFS ? partition.fragmentSize : 0);
    case 'blockSize':
      return String(type === BSD_UNUSED || type === BSD_FFS ? partition.blockSize : 0);
    case 'cylindersPerGroup':
      return String(type === BSD_FFS ? partition.cylindersPerGroup : 0);
    default:
      return '';
  }
}

function dosCell({ entry }: EditedPartition, column: Column): string {
  switch (column) {
    case 'boot':
      return entry.bootIndicator === 0x80 ? '*' : '';
    case 'id':
      return entry.type.toString(16);
    case 'type':
      return partitionTypeName(entry.type);
    case 'attrs':
      return entry.bootIndicator === 0 ? '' : entry.bootIndicator.toString(16).padStart(2, '0');
    case 'startChs':
      return formatChs(entry.firstChs);
    case 'endChs':
      return formatChs(entry.lastChs);
    default:
      return '';
  }
}

function gptCell(partition: EditedGptPartition, column: Column): string {
  switch (column) {
    case 'type':
      return gptTypeName(partition.type);
    case 'typeUuid':
      return partition.type;
    case 'uuid':
      return partition.uuid;
    case 'name':
      return partition.name;
    case 'gptAttrs':
      return formatGptAttributes(partition.attributes);
    default:
      return '';
  }
}

function formatChs({ cylinder, head, sector }: Chs): string {
  return `${cylinder}/${head}/${sector}`;
}

/** A sector number in what the display counts in: itself, or its cylinder, from 1. */
export function inUnits(disk: Disk, sector: number): number {
  return disk.cylinders ? chsOfSector(sector, disk.layout.geometry).cylinder + 1 : sector;
}

/** Do the partitions come in another order than their numbers? */
export function outOfOrder(disk: Disk): boolean {
  const starts = usedPartitions(disk).map(({ startSector }) => startSector);
  return starts.some((start, i) => i > 0 && start < starts[i - 1]!);
}

/** One partition, as `i` shows it: heading and value a line. */
export function partitionDetails(disk: Disk, index: number): string[] {
  const { label } = disk;
  if (label === undefined) return [];
  const partition = label.editor.partition(index);
  return detailColumns(label.kind)
    .map((column): [string, string] => [columnShape(column).heading, cell(disk, partition, column, false)])
    .filter(([, value]) => value !== '')
    .map(([heading, value]) => `${heading.padStart(15)}: ${value}`);
}

function freeOf(disk: Disk): FreeRange[] {
  const { label, layout } = disk;
  switch (label?.kind) {
    case undefined:
      return [];
    case 'gpt':
      return gptFreeRanges(label.editor);
    case 'bsd':
      return freeRangesBetween(usedPartitions(disk), layout, disk.lastSector);
    case 'dos':
      return freeRanges(label.editor, disk.lastSector);
  }
}

/** What `F` shows. */
export function describeFreeSpace(disk: Disk): { heading: string[]; table: string[] } {
  const { sectorSize } = disk.layout;
  const ranges = freeOf(disk);
  const sectors = ranges.reduce((sum, range) => sum + range.sectorCount, 0);
  const size = sectors * sectorSize;
  const heading = [
    `Unpartitioned space ${disk.name}: ${humanSize(size, { digits: 2, long: true })}, ${size} bytes, ${sectors} sectors`,
    unitLine(disk),
    `Sector size (logical/physical): ${sectorSize} bytes / ${sectorSize} bytes`,
  ];
  if (ranges.length === 0) return { heading, table: [] };
  const table = renderColumns(
    (['start', 'end', 'sectors', 'size'] as const).map(columnShape),
    ranges.map((range) => [
      String(inUnits(disk, range.startSector)),
      String(inUnits(disk, range.endSector)),
      String(range.sectorCount),
      humanSize(range.sectorCount * sectorSize, { digits: 1, long: false }),
    ]),
  );
  return { heading, table };
}
