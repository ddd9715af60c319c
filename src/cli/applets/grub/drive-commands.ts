import {
  formatDevice,
  isHardDisk,
  parseDevice,
  parseNumber,
  pcPartition,
  WHOLE_DRIVE,
} from '../../../boot/grub-legacy/device-name.ts';
import type { Drive } from '../../../boot/grub-legacy/drive.ts';
import { GrubError } from '../../../boot/grub-legacy/grub-error.ts';
import { openFile } from '../../../boot/grub-legacy/grub-file.ts';
import { checkSignature, isBsdType, listPartitions } from '../../../boot/grub-legacy/grub-partition.ts';
import type { GrubSession } from '../../../boot/grub-legacy/session.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { UnsupportedError } from '../../../errors.ts';
import { readEntry } from '../../../partition/mbr-entry.ts';
import { isExtendedType } from '../../../partition/mbr-type.ts';
import { type Shell, splitWords } from './command.ts';

/** `find`: every device that holds the file; Error 15 when none does. */
export function find(shell: Shell, text: string): void {
  const { session } = shell;
  const [name = ''] = splitWords(text);
  let found = false;
  for (const drive of session.drives) {
    for (const partition of partitionsToSearch(drive)) {
      const device = { drive: drive.number, partition };
      if (!holds(session, formatDevice(device) + name)) continue;
      shell.print(` ${formatDevice(device)}\n`);
      found = true;
    }
  }
  if (!found) throw new GrubError(15);
}

function partitionsToSearch(drive: Drive): readonly number[] {
  if (!isHardDisk(drive.number)) return [WHOLE_DRIVE];
  try {
    return listPartitions(drive)
      .filter((entry) => !isExtendedType(entry.type))
      .map((entry) => entry.partition);
  } catch (error) {
    if (error instanceof GrubError) return [];
    throw error;
  }
}

function holds(session: GrubSession, name: string): boolean {
  try {
    openFile(session, name);
    return true;
  } catch (error) {
    if (error instanceof GrubError || error instanceof UnsupportedError) return false;
    throw error;
  }
}

/** `geometry`: what GRUB believes of a drive, and its partitions. */
export function geometry(shell: Shell, text: string): void {
  const { device, rest } = parseDevice(text);
  const drive = shell.session.drive(device.drive);
  const numbers = splitWords(rest);
  if (numbers.length > 0) {
    const [cylinders, heads, sectorsPerTrack] = [0, 1, 2].map((i) => parseNumber(numbers[i] ?? '').value);
    drive.geometry = {
      cylinders: cylinders!,
      heads: heads!,
      sectorsPerTrack: sectorsPerTrack!,
      totalSectors:
        numbers[3] === undefined ? cylinders! * heads! * sectorsPerTrack! : parseNumber(numbers[3]).value,
    };
  }
  const { cylinders, heads, sectorsPerTrack, totalSectors } = drive.geometry;
  shell.print(
    `drive 0x${drive.number.toString(16)}: C/H/S = ${cylinders}/${heads}/${sectorsPerTrack}, ` +
      // GRUB counts in 32 bits, and prints them signed.
      `The number of sectors = ${totalSectors | 0}, ${drive.name}\n`,
  );
  if (isHardDisk(drive.number)) printPartitions(shell, drive);
  else printFloppyErrors(shell, drive);
}

/** GRUB looks for partitions on floppies, too, and prints only what goes wrong. */
function printFloppyErrors(shell: Shell, drive: Drive): void {
  const view = viewOf(checkSignature(drive));
  const { totalSectors } = drive.geometry;
  for (const { type, startSector } of [0, 1, 2, 3].map((index) => readEntry(view, index))) {
    if (type === 0 || isExtendedType(type)) continue;
    shell.session.forgetFileSystem();
    shell.print(`\n${new GrubError(startSector >= totalSectors ? 18 : 24).message}\n`);
  }
  throw new GrubError(24);
}

function printPartitions(shell: Shell, drive: Drive): void {
  const { session } = shell;
  for (const partition of partitionsToSearch(drive)) {
    const device = { drive: drive.number, partition };
    const heading = `   Partition num: ${pcPartition(partition)}, `;
    try {
      const { type } = session.openPartition(device);
      session.probe(device);
      const what = isBsdType(type)
        ? ` No BSD sub-partition found, partition type 0x${type.toString(16)}`
        : session.describeLast(partition);
      shell.print(`${heading}${what}\n`);
    } catch (error) {
      if (!(error instanceof GrubError || error instanceof UnsupportedError)) throw error;
      shell.print(`${heading}\n${error.message}\n`);
    }
  }
  session.rememberType(0);
}
