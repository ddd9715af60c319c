import { SliceDevice } from '../../../device/slice-device.ts';
import { BSD_TYPES } from '../../../partition/bsd-type.ts';
import { gptTypeName } from '../../../partition/gpt-type.ts';
import { changeBsdType, newBsdPartition } from './bsd-commands.ts';
import { classicListing } from './classic-listing.ts';
import { type Column, defaultColumns } from './columns.ts';
import type { Context } from './dialog-context.ts';
import { changeDosType, chooseUsed, verifyDos } from './dos-commands.ts';
import { gptTypeList, newGptPartition, parseGptType, verifyGpt } from './gpt-commands.ts';
import {
  describeDisk,
  describeDrive,
  describeFreeSpace,
  outOfOrder,
  partitionDetails,
  partitionTable,
} from './listing.ts';
import { newPartition } from './new-partition.ts';
import { choosePartition } from './partition-choice.ts';
import { codeList, typeList } from './type-list.ts';

/** The commands of the menus that every kind of table has. */

/** `n`. */
export function addPartition(context: Context): void {
  const { disk, dialog } = context;
  const label = disk.label!;
  const index =
    label.kind === 'gpt'
      ? newGptPartition(context, label.editor)
      : label.kind === 'bsd'
        ? newBsdPartition(context, label.editor)
        : newPartition(disk, dialog);
  if (index === undefined) return;
  const { startSector, sectorCount } = label.editor.partition(index);
  const { sectorSize } = disk.layout;
  if ((startSector + sectorCount) * sectorSize > disk.device.size) return;
  const place = new SliceDevice(disk.device, startSector * sectorSize, sectorCount * sectorSize);
  context.wiping.mentionPartition(place, startSector * sectorSize, index, dialog);
}

/** `d`. */
export function deletePartition({ disk, dialog, wiping }: Context): void {
  const { editor } = disk.label!;
  const index = choosePartition(disk, dialog);
  if (index === undefined) return;
  // That of a BSD disklabel deletes what is not there, too.
  if (disk.bsd === undefined && !editor.partition(index).used) {
    dialog.warn(`Could not delete partition ${index + 1}`);
    return;
  }
  wiping.forget(index);
  editor.delete(index);
  dialog.info(`Partition ${index + 1} has been deleted.`);
}

/** `t`. */
export function changeType(context: Context): void {
  const { label } = context.disk;
  if (label?.kind === 'gpt') changeGptType(context);
  else if (label?.kind === 'bsd') changeBsdType(context, label.editor);
  else changeDosType(context);
}

function changeGptType(context: Context): void {
  const { dialog } = context;
  const editor = context.disk.gpt!;
  const index = chooseUsed(context);
  if (index === undefined) return;
  const before = gptTypeName(editor.partition(index).type);
  for (;;) {
    const answer = dialog.reply('Partition type or alias (type L to list all): ');
    if (answer === undefined) {
      dialog.info(`Type of partition ${index + 1} is unchanged: ${before}.`);
      return;
    }
    if (answer === 'l' || answer === 'L') dialog.print(gptTypeList());
    else if (answer !== '') {
      const type = parseGptType(answer);
      if (type === undefined) dialog.info(`Type of partition ${index + 1} is unchanged: ${before}.`);
      else {
        editor.setPartition(index, { type });
        dialog.info(`Changed type of partition '${before}' to '${gptTypeName(type)}'.`);
      }
      return;
    }
  }
}

/** `l`. */
export function listTypes({ io, disk, dialog }: Context): void {
  const { columns } = io.stdout;
  if (disk.gpt !== undefined) dialog.print(gptTypeList());
  else dialog.print(disk.bsd === undefined ? typeList(columns) : `${codeList(BSD_TYPES, columns)}\n`);
}

/** `i`. */
export function showPartition(context: Context): void {
  const index = chooseUsed(context);
  if (index !== undefined) context.dialog.info(partitionDetails(context.disk, index).join('\n'));
}

/** `v`. */
export function verify(context: Context): void {
  const { label } = context.disk;
  if (label?.kind === 'gpt') verifyGpt(context, label.editor);
  else if (label?.kind === 'dos') verifyDos(context);
}

/** `p`, in the expert menu with more. `columns`: where they are not the usual ones. */
export function printTable(
  context: Context,
  options: { readonly detailed: boolean; readonly columns?: readonly Column[]; readonly inBytes?: boolean },
): void {
  const { disk, dialog } = context;
  const { detailed, inBytes = false } = options;
  if (disk.options.classic && !detailed && disk.editor !== undefined) {
    dialog.info(classicListing(disk).join('\n'));
    return;
  }
  dialog.info(describeDisk(disk, detailed).join('\n'));
  if (disk.label === undefined) return;
  const columns = options.columns ?? defaultColumns(disk.label.kind, disk.cylinders, detailed);
  printRows(context, columns, inBytes);
}

/** `s` of a BSD disklabel. */
export function printDisklabel(context: Context): void {
  const { disk, dialog } = context;
  dialog.info(describeDrive(disk.bsd!).join('\n'));
  printRows(context, defaultColumns('bsd', disk.cylinders, true), true);
}

function printRows({ disk, dialog, wiping }: Context, columns: readonly Column[], inBytes: boolean): void {
  const table = partitionTable(disk, columns, inBytes);
  if (table.length > 0) dialog.print(`\n${table.join('\n')}\n`);
  for (const line of wiping.announce()) {
    dialog.print('\n');
    dialog.info(line);
  }
  if (outOfOrder(disk)) {
    dialog.print('\n');
    dialog.info('Partition table entries are not in disk order.');
  }
}

/** `F`. */
export function printFreeSpace({ disk, dialog }: Context): void {
  const { heading, table } = describeFreeSpace(disk);
  dialog.info(heading.join('\n'));
  if (table.length > 0) dialog.print(`\n${table.join('\n')}\n`);
}

/** `f` of the expert menu. */
export function fixOrder({ disk, dialog }: Context): void {
  const { label } = disk;
  if (label === undefined || label.kind === 'bsd') return;
  dialog.info(
    label.editor.sort() ? 'Partitions order fixed.' : 'Nothing to do. Ordering is correct already.',
  );
}

/** `c`, `h` and `s` of the expert menu. */
export function changeGeometry({ disk, dialog }: Context, command: 'c' | 'h' | 's'): void {
  const { cylinders, heads, sectorsPerTrack } = disk.layout.geometry;
  const ask = (prompt: string, high: number, fallback: number): number =>
    dialog.askNumber({ prompt, low: 1, high, fallback });
  if (command === 'c') disk.setGeometry({ cylinders: ask('Number of cylinders', 1_048_576, cylinders) });
  else if (command === 'h') disk.setGeometry({ heads: ask('Number of heads', 255, heads) });
  else disk.setGeometry({ sectorsPerTrack: ask('Number of sectors', 63, sectorsPerTrack) });
}
