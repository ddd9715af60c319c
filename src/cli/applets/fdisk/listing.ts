import { chsOfSector, cylinderSize, type Chs } from '../../../bytes/chs.ts';
import { freeRanges } from '../../../partition/free-space.ts';
import { formatGptAttributes } from '../../../partition/gpt-attributes.ts';
import type { EditedGptPartition } from '../../../partition/gpt-editor.ts';
import { gptFreeRanges } from '../../../partition/gpt-space.ts';
import { gptTypeName } from '../../../partition/gpt-type.ts';
import type { EditedPartition } from '../../../partition/mbr-editor.ts';
import { partitionTypeName } from '../../../partition/mbr-type.ts';
import { type Column, columnShape, detailColumns, renderColumns } from './columns.ts';
import type { Disk } from './disk.ts';
import { humanSize } from './human-size.ts';

/** `a.img1`, `/dev/loop0p1`: a `p` in between where the name ends in a digit. */
export function partitionName(diskName: string, number: number): string {
  return `${diskName}${/\d$/.test(diskName) ? 'p' : ''}${number}`;
}

/** The lines above the table; the last ones only where the disk has one. */
export function describeDisk(disk: Disk, detailed = false): string[] {
  const { layout, name } = disk;
  const { geometry, sectorSize } = layout;
  const size = layout.sectorCount * sectorSize;
  const lines = [
    `Disk ${name}: ${humanSize(size, { digits: 2, long: true })}, ${size} bytes, ${layout.sectorCount} sectors`,
  ];
  if ((disk.geometryMatters && disk.label?.kind === 'dos') || disk.cylinders) {
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
  lines.push(`Disklabel type: ${label.kind}`, `Disk identifier: ${diskIdentifier(disk)}`);
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
export function usedPartitions(disk: Disk): readonly (EditedPartition | EditedGptPartition)[] {
  if (disk.label === undefined) return [];
  return disk.label.kind === 'gpt'
    ? disk.label.editor.partitions
    : disk.label.editor.partitions.filter(({ present }) => present);
}

/** The table of partitions with its heading; empty where there are none. */
export function partitionTable(disk: Disk, columns: readonly Column[], inBytes: boolean): string[] {
  const partitions = usedPartitions(disk);
  if (partitions.length === 0) return [];
  const rows = partitions.map((partition) => columns.map((column) => cell(disk, partition, column, inBytes)));
  return renderColumns(columns.map(columnShape), rows);
}

function cell(
  disk: Disk,
  partition: EditedPartition | EditedGptPartition,
  column: Column,
  inBytes: boolean,
): string {
  const { startSector, endSector, sectorCount } = partition;
  const { geometry, sectorSize } = disk.layout;
  const size = sectorCount * sectorSize;
  switch (column) {
    case 'device':
      return partitionName(disk.name, partition.index + 1);
    case 'start':
      return String(inUnits(disk, startSector));
    case 'end':
      return String(inUnits(disk, endSector));
    case 'sectors':
      return String(sectorCount);
    case 'cylinders':
      // The tool counts one too many where they come out even.
      return sectorCount === 0 ? '' : String(Math.floor(sectorCount / cylinderSize(geometry)) + 1);
    case 'size':
      return inBytes ? String(size) : humanSize(size, { digits: 1, long: false });
    default:
      return 'entry' in partition ? dosCell(partition, column) : gptCell(partition, column);
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

/** What `F` shows. */
export function describeFreeSpace(disk: Disk): { heading: string[]; table: string[] } {
  const { sectorSize } = disk.layout;
  const ranges =
    disk.label?.kind === 'gpt'
      ? gptFreeRanges(disk.label.editor)
      : freeRanges(disk.editor!, disk.parent?.lastUsable);
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
