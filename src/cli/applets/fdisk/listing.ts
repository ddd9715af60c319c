import { chsOfSector, cylinderSize, type Chs } from '../../../bytes/chs.ts';
import { freeRanges } from '../../../partition/free-space.ts';
import type { EditedPartition } from '../../../partition/mbr-editor.ts';
import { partitionTypeName } from '../../../partition/mbr-type.ts';
import { UsageError } from '../../../errors.ts';
import type { Disk } from './disk.ts';
import { humanSize } from './human-size.ts';

/** The columns of a DOS table, in the order in which the tool's help lists them. */
export const COLUMNS = [
  'Device',
  'Start',
  'End',
  'Sectors',
  'Cylinders',
  'Size',
  'Type',
  'Id',
  'Attrs',
  'Boot',
  'End-C/H/S',
  'Start-C/H/S',
] as const;
export type Column = (typeof COLUMNS)[number];

const LEFT_ALIGNED: readonly Column[] = ['Device', 'Boot', 'Type'];

const USUAL_WIDTHS: Readonly<Partial<Record<Column, number>>> = { Device: 10, Start: 5, End: 5, Size: 5 };

/** The columns that `p` shows; `detailed` for `-x`. */
export function defaultColumns(cylinders: boolean, detailed: boolean): Column[] {
  const extent: Column[] = ['Device', 'Boot', 'Start', 'End', cylinders ? 'Cylinders' : 'Sectors'];
  return detailed
    ? [...extent, 'Id', 'Type', 'Start-C/H/S', 'End-C/H/S', 'Attrs']
    : [...extent, 'Size', 'Id', 'Type'];
}

/** Columns by a list of names in any case, for `-o`. */
export function parseColumns(list: string): Column[] {
  return list.split(',').map((name) => {
    const column = COLUMNS.find((candidate) => candidate.toLowerCase() === name.toLowerCase());
    if (column === undefined) throw new UsageError(`dos unknown column: ${name}`, 1);
    return column;
  });
}

/** `a.img1`, `/dev/loop0p1`: a `p` in between where the name ends in a digit. */
export function partitionName(diskName: string, number: number): string {
  return `${diskName}${/\d$/.test(diskName) ? 'p' : ''}${number}`;
}

/** The lines above the table; the two last ones only where the disk has one. */
export function describeDisk(disk: Disk): string[] {
  const { layout, name, editor } = disk;
  const { geometry, sectorSize } = layout;
  const size = layout.sectorCount * sectorSize;
  const lines = [
    `Disk ${name}: ${humanSize(size, { digits: 2, long: true })}, ${size} bytes, ${layout.sectorCount} sectors`,
  ];
  if (disk.geometryMatters || disk.cylinders) {
    lines.push(
      `Geometry: ${geometry.heads} heads, ${geometry.sectorsPerTrack} sectors/track, ${geometry.cylinders} cylinders`,
    );
  }
  lines.push(
    unitLine(disk),
    `Sector size (logical/physical): ${sectorSize} bytes / ${sectorSize} bytes`,
    `I/O size (minimum/optimal): ${sectorSize} bytes / ${sectorSize} bytes`,
  );
  if (editor !== undefined) {
    const identifier = editor.diskIdentifier.toString(16).padStart(8, '0');
    lines.push('Disklabel type: dos', `Disk identifier: 0x${identifier}`);
  }
  return lines;
}

function unitLine(disk: Disk): string {
  const { sectorSize } = disk.layout;
  const sectors = disk.cylinders ? cylinderSize(disk.layout.geometry) : 1;
  return `Units: ${disk.cylinders ? 'cylinders' : 'sectors'} of ${sectors} * ${sectorSize} = ${sectors * sectorSize} bytes`;
}

/** The table of partitions with its heading; empty where there are none. */
export function partitionTable(disk: Disk, columns: readonly Column[], inBytes: boolean): string[] {
  const partitions = disk.editor?.partitions.filter(({ used }) => used) ?? [];
  if (partitions.length === 0) return [];
  const rows = partitions.map((partition) => columns.map((column) => cell(disk, partition, column, inBytes)));
  return renderColumns(
    columns.map((column) => ({
      heading: column,
      left: LEFT_ALIGNED.includes(column),
      usual: USUAL_WIDTHS[column] ?? 0,
    })),
    rows,
  );
}

interface ColumnShape {
  readonly heading: string;
  readonly left: boolean;
  /** Taken where the longest text is not shorter than the heading. */
  readonly usual: number;
}

function renderColumns(columns: readonly ColumnShape[], rows: readonly (readonly string[])[]): string[] {
  const widths = columns.map(({ heading, usual }, i) => {
    const longest = Math.max(...rows.map((row) => row[i]!.length));
    return Math.max(longest >= heading.length ? usual : 0, heading.length, longest);
  });
  return [columns.map(({ heading }) => heading), ...rows].map((row) =>
    row
      .map((text, i) => {
        if (!columns[i]!.left) return text === '' && i === row.length - 1 ? '' : text.padStart(widths[i]!);
        return i === row.length - 1 ? text : text.padEnd(widths[i]!);
      })
      .join(' '),
  );
}

function cell(disk: Disk, partition: EditedPartition, column: Column, inBytes: boolean): string {
  const { entry, startSector, endSector, sectorCount } = partition;
  const { geometry, sectorSize } = disk.layout;
  const size = sectorCount * sectorSize;
  switch (column) {
    case 'Device':
      return partitionName(disk.name, partition.index + 1);
    case 'Boot':
      return entry.bootIndicator === 0x80 ? '*' : '';
    case 'Start':
      return String(inUnits(disk, startSector));
    case 'End':
      return String(inUnits(disk, endSector));
    case 'Sectors':
      return String(sectorCount);
    case 'Cylinders':
      return String(Math.ceil(sectorCount / cylinderSize(geometry)));
    case 'Size':
      return inBytes ? String(size) : humanSize(size, { digits: 1, long: false });
    case 'Id':
      return entry.type.toString(16);
    case 'Type':
      return partitionTypeName(entry.type);
    case 'Attrs':
      return entry.bootIndicator === 0 ? '' : entry.bootIndicator.toString(16).padStart(2, '0');
    case 'Start-C/H/S':
      return formatChs(entry.firstChs);
    case 'End-C/H/S':
      return formatChs(entry.lastChs);
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
  const starts = (disk.editor?.partitions ?? []).filter(({ used }) => used).map((one) => one.startSector);
  return starts.some((start, i) => i > 0 && start < starts[i - 1]!);
}

/** One partition, as `i` shows it: heading and value a line. */
export function partitionDetails(disk: Disk, index: number): string[] {
  const partition = disk.editor!.partition(index);
  const order: Column[] = [
    'Device',
    'Boot',
    'Start',
    'End',
    'Sectors',
    'Cylinders',
    'Size',
    'Id',
    'Type',
    'Start-C/H/S',
    'End-C/H/S',
    'Attrs',
  ];
  return order
    .map((column): [Column, string] => [column, cell(disk, partition, column, false)])
    .filter(([, value]) => value !== '')
    .map(([column, value]) => `${column.padStart(15)}: ${value}`);
}

/** What `F` shows. */
export function describeFreeSpace(disk: Disk): { heading: string[]; table: string[] } {
  const { sectorSize } = disk.layout;
  const ranges = freeRanges(disk.editor!);
  const sectors = ranges.reduce((sum, range) => sum + range.sectorCount, 0);
  const size = sectors * sectorSize;
  const heading = [
    `Unpartitioned space ${disk.name}: ${humanSize(size, { digits: 2, long: true })}, ${size} bytes, ${sectors} sectors`,
    unitLine(disk),
    `Sector size (logical/physical): ${sectorSize} bytes / ${sectorSize} bytes`,
  ];
  if (ranges.length === 0) return { heading, table: [] };
  const table = renderColumns(
    (['Start', 'End', 'Sectors', 'Size'] as const).map((heading) => ({
      heading,
      left: false,
      usual: USUAL_WIDTHS[heading] ?? 0,
    })),
    ranges.map((range) => [
      String(inUnits(disk, range.startSector)),
      String(inUnits(disk, range.endSector)),
      String(range.sectorCount),
      humanSize(range.sectorCount * sectorSize, { digits: 1, long: false }),
    ]),
  );
  return { heading, table };
}
