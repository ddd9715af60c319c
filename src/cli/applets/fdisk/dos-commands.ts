import { checkMbr } from '../../../partition/mbr-check.ts';
import { isExtendedType, partitionTypeName } from '../../../partition/mbr-type.ts';
import type { Speaker } from '../../../partition/partition-template.ts';
import type { Context } from './dialog-context.ts';
import type { Disk } from './disk.ts';
import { diskIdentifier } from './listing.ts';
import { choosePartition } from './partition-choice.ts';
import { parseType, typeList } from './type-list.ts';

/** The commands of the menus that are about an MBR. */

/** A partition that is there; the prompt's range may hold numbers that have none. */
export function chooseUsed({ disk, dialog }: Context): number | undefined {
  const index = choosePartition(disk, dialog);
  if (index === undefined) return undefined;
  const partition = disk.label!.editor.partition(index);
  if ('present' in partition ? partition.present : partition.used) return index;
  dialog.warn(`Partition ${index + 1} does not exist yet!`);
  return undefined;
}

/** `a`. */
export function toggleActive(context: Context): void {
  const { disk, dialog } = context;
  const editor = disk.editor!;
  const index = choosePartition(disk, dialog);
  if (index === undefined) return;
  const { entry } = editor.partition(index);
  if (isExtendedType(entry.type) && entry.bootIndicator === 0)
    dialog.warn(`Partition ${index + 1}: is an extended partition.`);
  const state = editor.toggleActive(index) ? 'enabled' : 'disabled';
  dialog.info(`The bootable flag on partition ${index + 1} is ${state} now.`);
}

/** `t`. */
export function changeDosType(context: Context): void {
  const { io, dialog } = context;
  const editor = context.disk.editor!;
  const index = chooseUsed(context);
  if (index === undefined) return;
  const before = editor.partition(index).entry.type;
  const unchanged = (): void =>
    dialog.info(`Type of partition ${index + 1} is unchanged: ${partitionTypeName(before)}.`);
  let answer: string | undefined;
  do {
    answer = dialog.reply('Hex code or alias (type L to list all): ');
    if (answer === undefined) {
      unchanged();
      return;
    }
    if (answer === 'l' || answer === 'L') dialog.print(typeList(io.stdout.columns));
  } while (answer === '' || answer === 'l' || answer === 'L');
  const code = parseType(answer);
  const type = (code ?? 0) & 0xff;
  if (isExtendedType(before) !== isExtendedType(type) && index >= 4) {
    dialog.warn('You cannot change a partition into an extended one or vice versa. Delete it first.');
    unchanged();
    return;
  }
  if (type === 0) {
    dialog.warn('Type 0 means free space to many systems. Having partitions of type 0 is probably unwise.');
  }
  const logicalCount = editor.partitions.slice(4).filter(({ used }) => used).length;
  if (index === editor.extendedIndex && !isExtendedType(type) && logicalCount > 0) {
    dialog.warn(
      'Cannot change type of the extended partition which is already used by logical partitions. Delete logical partitions first.',
    );
    unchanged();
    return;
  }
  editor.setType(index, type);
  const after = code === undefined ? 'unknown' : partitionTypeName(code);
  dialog.info(`Changed type of partition '${partitionTypeName(before)}' to '${after}'.`);
}

/** `v`. */
export function verifyDos({ disk, dialog }: { readonly disk: Disk; readonly dialog: Speaker }): void {
  const { layout } = disk;
  if (disk.geometryMatters && layout.geometry.cylinders === 0) {
    dialog.warn('Incomplete geometry setting.');
    return;
  }
  const { errors, allocatedSectors } = checkMbr(disk.editor!);
  for (const error of errors) dialog.warn(error);
  if (errors.length > 0) {
    dialog.warn(`${errors.length} error${errors.length === 1 ? '' : 's'} detected.`);
    return;
  }
  dialog.info('No errors detected.');
  if (allocatedSectors > layout.sectorCount) {
    dialog.info(
      `Total allocated sectors ${allocatedSectors} greater than the maximum ${layout.sectorCount}.`,
    );
  } else if (allocatedSectors < layout.sectorCount) {
    const free = layout.sectorCount - allocatedSectors;
    dialog.info(`Remaining ${free} unallocated ${layout.sectorSize}-byte sectors.`);
  }
}

/** The expert commands that only an MBR has; false for any other. */
export function runDosExpert(context: Context, command: string): boolean {
  const { disk, dialog } = context;
  switch (command) {
    case 'b':
      moveBeginning(context);
      return true;
    case 'F':
      dialog.info(
        disk.editor!.fixChs() ? 'C/H/S values fixed.' : 'Nothing to do. C/H/S values are correct already.',
      );
      return true;
    case 'i':
      changeIdentifier(context);
      return true;
    default:
      return false;
  }
}

function moveBeginning(context: Context): void {
  const { disk, dialog } = context;
  const editor = disk.editor!;
  const index = choosePartition(disk, dialog);
  if (index === undefined) return;
  const { used, entry, startSector, endSector } = editor.partition(index);
  if (!used || isExtendedType(entry.type)) {
    dialog.warn(`Partition ${index + 1}: no data area.`);
    return;
  }
  let low = index < 4 ? 0 : editor.tableSector(index) + 1;
  for (const other of editor.partitions) {
    const end = other.endSector + 1;
    if (other.used && end > low && end <= startSector) low = end;
  }
  const answer = dialog.askNumber({
    prompt: 'New beginning of data',
    low,
    high: endSector,
    fallback: startSector,
  });
  editor.moveBeginning(index, answer);
  if (answer === 0) {
    dialog.info(
      'The new beginning of the partition overlaps the disk label area. Be very careful when using the partition. You can lose all your partitions on the disk.',
    );
  }
}

function changeIdentifier({ disk, dialog }: Context): void {
  const before = diskIdentifier(disk);
  const answer = dialog.ask('\nEnter the new disk identifier: ');
  const identifier = parseIdentifier(answer);
  if (identifier === undefined) {
    dialog.warn('Incorrect value.');
    return;
  }
  disk.editor!.diskIdentifier = identifier;
  dialog.info(`Disk identifier changed from ${before} to ${diskIdentifier(disk)}.`);
}

/** Decimal, hexadecimal or octal as strtoul(3) reads it; the low 32 bits of what fits into 64. */
function parseIdentifier(answer: string): number | undefined {
  const match = /^\s*([+-]?)(?:0x([\da-f]+)|(0[0-7]*)|([1-9]\d*))$/i.exec(answer);
  if (match === null) return undefined;
  const [, sign, hex, octal, decimal] = match;
  const value = BigInt(hex === undefined ? (octal === undefined ? decimal! : `0o${octal}`) : `0x${hex}`);
  if (value >= 1n << 64n) return undefined;
  return Number(BigInt.asUintN(32, sign === '-' ? -value : value));
}
