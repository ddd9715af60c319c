import { cylinderSize } from '../../../bytes/chs.ts';
import type { BsdDisklabelEditor, DriveField } from '../../../partition/bsd-disklabel-editor.ts';
import { bsdRange } from '../../../partition/bsd-placement.ts';
import { MAX_BSD_PARTITIONS } from '../../../partition/bsd-disklabel.ts';
import {
  BSD_TYPES,
  BSD_UNUSED,
  bsdTypeName,
  bsdTypeOfMbr,
  isBsdContainer,
} from '../../../partition/bsd-type.ts';
import { installBootstrap } from './bsd-bootstrap.ts';
import type { Context } from './dialog-context.ts';
import { type Dialog, EndOfInput } from './dialog.ts';
import type { Disk } from './disk.ts';
import { chooseFree, choosePartition } from './partition-choice.ts';
import { codeList, parseCode } from './type-list.ts';

/** The commands of the menus that are about a BSD disklabel. */

/** `b`: the disklabel in the first partition that is for one, which is made where there is none; undefined where nothing comes of it. */
export function enterDisklabel({ disk, dialog }: Context): Disk | undefined {
  const index = findSlice({ disk, dialog });
  const nested = disk.nestBsd(index);
  for (const warning of nested.bsd?.warnings ?? []) dialog.warn(warning);
  if (nested.bsd === undefined) {
    if (!wantsDisklabel(nested, dialog)) return undefined;
    const found = index ?? findSlice({ disk, dialog });
    if (found === undefined) return undefined;
    const { startSector, sectorCount } = disk.editor!.partition(found);
    nested.createBsd({ startSector, sectorCount });
  }
  dialog.info('Entering nested BSD disklabel.');
  return nested;
}

/** Whether a disklabel is to be made; the tool says that there is none also where it asks for a new one. */
export function wantsDisklabel(disk: Disk, dialog: Dialog): boolean {
  dialog.info(`The device ${disk.name} does not contain BSD disklabel.`);
  return dialog.askYesNo('Do you want to create a BSD disklabel?');
}

function findSlice({ disk, dialog }: Pick<Context, 'disk' | 'dialog'>): number | undefined {
  const slice = disk.editor!.partitions.slice(0, 4).find(({ entry }) => isBsdContainer(entry.type));
  if (slice === undefined) {
    dialog.warn(`There is no *BSD partition on ${disk.name}.`);
    return undefined;
  }
  if (slice.startSector !== 0) return slice.index;
  dialog.warn(`Partition ${slice.index + 1}: has invalid starting sector 0.`);
  return undefined;
}

/** `n`. Returns the index of the new partition. The tool offers all of the slice, taken or not. */
export function newBsdPartition({ disk, dialog }: Context, editor: BsdDisklabelEditor): number | undefined {
  const { geometry, sectorSize } = disk.layout;
  if (geometry.cylinders === 0 || geometry.heads === 0 || geometry.sectorsPerTrack === 0) {
    dialog.warn('Incomplete geometry setting.');
    return undefined;
  }
  const used = editor.partitions.filter((partition) => partition.used).map(({ index }) => index);
  const index = chooseFree(dialog, used, MAX_BSD_PARTITIONS, { letters: true });
  if (index === undefined) return undefined;
  const { startSector: low, sectorCount } = bsdRange(editor);
  const high = low + sectorCount - 1;
  const what = disk.cylinders ? 'cylinder' : 'sector';
  const unit = disk.cylinders ? cylinderSize(geometry) : 1;
  const shown = (sector: number): number => (disk.cylinders ? Math.floor(sector / unit) + 1 : sector);
  const first = dialog.askNumber({
    prompt: `First ${what}`,
    low: shown(low),
    high: shown(high),
    fallback: shown(low),
  });
  const perCylinder = editor.drive('d_secpercyl');
  const start = disk.cylinders ? (first - 1) * perCylinder : first;
  const { sector: last } = dialog.askLastSector({
    prompt: `Last ${what}, +/-${what}s or +/-size{K,M,G,T,P}`,
    low: shown(start),
    high: shown(high),
    fallback: shown(high),
    base: shown(start),
    unitSize: sectorSize * unit,
  });
  const end = disk.cylinders ? last * perCylinder - 1 : last;
  editor.setPartition(index, {
    startSector: start >>> 0,
    sectorCount: (end - start + 1) >>> 0,
    type: BSD_UNUSED,
  });
  return index;
}

/** `t`. */
export function changeBsdType({ disk, dialog, io }: Context, editor: BsdDisklabelEditor): void {
  const index = choosePartition(disk, dialog);
  if (index === undefined) return;
  const { used, type: before } = editor.partition(index);
  if (!used) {
    dialog.warn(`Partition ${index + 1} does not exist yet!`);
    return;
  }
  const unchanged = (): void =>
    dialog.info(`Type of partition ${index + 1} is unchanged: ${bsdTypeName(before)}.`);
  for (;;) {
    const answer = dialog.reply('Hex code (type L to list all codes): ');
    if (answer === undefined) {
      unchanged();
      return;
    }
    if (answer === 'l' || answer === 'L') dialog.print(`${codeList(BSD_TYPES, io.stdout.columns)}\n`);
    else if (answer !== '') {
      const code = parseCode(BSD_TYPES, answer);
      if (code !== undefined && code > 0xff) {
        unchanged();
        return;
      }
      editor.setPartition(index, { type: code ?? BSD_UNUSED });
      dialog.info(
        `Changed type of partition '${bsdTypeName(before)}' to '${code === undefined ? 'unknown' : bsdTypeName(code)}'.`,
      );
      return;
    }
  }
}

/** The commands that only this menu has; false for any other. */
export function runBsdCommand(context: Context, editor: BsdDisklabelEditor, command: string): boolean {
  switch (command) {
    case 'e':
      editDrive(context, editor);
      return true;
    case 'i':
      installBootstrap(context, editor);
      return true;
    case 'x':
      linkPartition(context, editor);
      return true;
    default:
      return false;
  }
}

const QUESTIONS: readonly (readonly [prompt: string, field: DriveField, high: number])[] = [
  ['rpm', 'd_rpm', 0xffff],
  ['interleave', 'd_interleave', 0xffff],
  ['trackskew', 'd_trackskew', 0xffff],
  ['cylinderskew', 'd_cylskew', 0xffff],
  ['headswitch', 'd_headswitch', 0xffff_ffff],
  ['track-to-track seek', 'd_trkseek', 0xffff_ffff],
];

function editDrive({ dialog }: Context, editor: BsdDisklabelEditor): void {
  const most = editor.drive('d_nsectors') * editor.drive('d_ntracks');
  const ask = (prompt: string, field: DriveField, low: number, high: number, fallback: number): void => {
    try {
      editor.setDrive(field, dialog.askNumber({ prompt, low, high, fallback }));
    } catch (error) {
      // Each question is asked although nobody answers any more.
      if (!(error instanceof EndOfInput)) throw error;
    }
  };
  ask('sectors/cylinder', 'd_secpercyl', 1, most, most);
  for (const [prompt, field, high] of QUESTIONS) {
    const before = editor.drive(field);
    ask(prompt, field, Math.min(before, 1), high, before);
  }
  editor.setDrive('d_secperunit', editor.drive('d_secpercyl') * editor.drive('d_ncylinders'));
}

function linkPartition({ disk, dialog }: Context, editor: BsdDisklabelEditor): void {
  const mbr = disk.parent?.editor;
  if (disk.parent === undefined || mbr === undefined) {
    dialog.warn('BSD label is not nested within a DOS partition.');
    return;
  }
  const from = choosePartition(disk.parent, dialog);
  if (from === undefined) return;
  const used = editor.partitions.filter((partition) => partition.used).map(({ index }) => index);
  const to = chooseFree(dialog, used, MAX_BSD_PARTITIONS, { letters: true });
  if (to === undefined) return;
  const { entry } = mbr.partition(from);
  editor.setPartition(to, {
    startSector: entry.startSector,
    sectorCount: entry.sectorCount,
    type: bsdTypeOfMbr(entry.type),
  });
  dialog.info(`BSD partition '${String.fromCharCode(0x61 + to)}' linked to DOS partition ${from + 1}.`);
}
