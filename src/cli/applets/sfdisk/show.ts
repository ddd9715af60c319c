import type { Disk } from '../fdisk/disk.ts';
import { defaultColumns, parseColumns } from '../fdisk/columns.ts';
import { cell, describeDisk, outOfOrder, partitionTable } from '../fdisk/listing.ts';
import type { Context } from './context.ts';

/** Lines of `describeDisk` that are about the disk; what follows is about its label. */
const DISK_LINES = 4;

/** Size, units and sectors of the disk. */
export function showDisk({ talk }: Context, disk: Disk): void {
  for (const line of describeDisk(disk).slice(0, DISK_LINES)) talk.info(line);
}

/** Kind and identifier of the label. */
export function showLabel({ talk }: Context, disk: Disk): void {
  for (const line of describeDisk(disk).slice(DISK_LINES)) talk.info(line);
}

/** The table of partitions, after an empty line; nothing where there are none. */
export function showPartitions(context: Context, disk: Disk, notes: readonly string[] = []): void {
  const { talk, options } = context;
  const { label } = disk;
  if (label === undefined) return;
  const usual = defaultColumns(label.kind, false, false);
  const columns = options.columns === undefined ? usual : parseColumns(options.columns, label.kind, usual);
  const table = partitionTable(disk, columns, options.inBytes);
  if (table.length > 0) talk.print(`${talk.quiet ? '' : '\n'}${table.join('\n')}\n`);
  for (const note of notes) talk.info(`\n${note}`);
  if (outOfOrder(disk)) talk.info('\nPartition table entries are not in disk order.');
}

/** A new partition, on a terminal: name, first and last sector, size, type. */
export function showPartition({ talk, options }: Context, disk: Disk, index: number): void {
  const { label } = disk;
  if (label === undefined || talk.quiet) return;
  const partition = label.editor.partition(index);
  const [name, start, end, size, type] = (['device', 'start', 'end', 'size', 'type'] as const).map((column) =>
    cell(disk, partition, column, options.inBytes),
  );
  talk.print(`${name!.padStart(12)} : ${start!.padStart(12)} ${end!.padStart(12)} (${size}) ${type}\n`);
}
