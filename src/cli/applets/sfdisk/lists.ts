import { GPT_TYPES } from '../../../partition/gpt-type.ts';
import { PARTITION_TYPES } from '../../../partition/mbr-type.ts';
import type { Disk } from '../fdisk/disk.ts';
import { describeFreeSpace } from '../fdisk/listing.ts';
import { allDisks, kernelDisks } from '../fdisk/opening.ts';
import { dumpJson, dumpScript } from '../partition-script/writer.ts';
import { type Context, Failure, diskOperand, openDisk } from './context.ts';
import { showDisk, showLabel, showPartitions } from './show.ts';
import { verifyDisk } from './verify.ts';

/** The commands that only look. */

/**
 * Runs over the disks that are named, or over all; those that cannot be opened are told of, and make the status 1.
 */
function each(
  context: Context,
  operands: readonly string[],
  show: (disk: Disk, place: number) => void,
): number {
  const { command } = context.options;
  // These two do not pass over what this user cannot open, and do not go on behind it.
  const strict = command === 'verify' || command === 'show-geometry';
  const all = (): string[] => (strict ? everyDisk(context) : allDisks(context.io));
  let status = 0;
  for (const [place, name] of (operands.length === 0 ? all() : operands).entries()) {
    try {
      const disk = openDisk(context, name, { readOnly: true });
      try {
        show(disk, place);
      } finally {
        disk.close();
      }
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      context.io.stderr.write(`sfdisk: ${error.message}\n`);
      status = 1;
      if (strict) break;
    }
  }
  return status;
}

/** The disks of the kernel, and those that are attached. */
function everyDisk({ io }: Context): string[] {
  return [...new Set([...kernelDisks(), ...allDisks(io)])];
}

export function listDisks(context: Context, operands: readonly string[]): number {
  const { talk, options } = context;
  return each(context, operands, (disk, place) => {
    if (place > 0) talk.print('\n\n');
    showDisk(context, disk);
    if (disk.label !== undefined) {
      showLabel(context, disk);
      showPartitions(context, disk);
    }
    if (options.verify) verifyDisk(context, disk);
  });
}

export function listFree(context: Context, operands: readonly string[]): number {
  const { talk } = context;
  return each(context, operands, (disk, place) => {
    if (place > 0) talk.print('\n\n');
    if (disk.label === undefined) return;
    const { heading, table } = describeFreeSpace(disk);
    for (const line of heading) talk.info(line);
    if (table.length > 0) talk.print(`\n${table.join('\n')}\n`);
  });
}

export function verify(context: Context, operands: readonly string[]): number {
  return each(context, operands, (disk) => {
    context.talk.print(`${disk.name}:\n`);
    verifyDisk(context, disk);
    if (operands.length !== 1) context.talk.print(' \n');
  });
}

export function showGeometry(context: Context, operands: readonly string[]): number {
  return each(context, operands, (disk) => {
    const { cylinders, heads, sectorsPerTrack } = disk.layout.geometry;
    context.talk.print(
      `${disk.name}: ${cylinders} cylinders, ${heads} heads, ${sectorsPerTrack} sectors/track\n`,
    );
  });
}

export function showSize(context: Context, operands: readonly string[]): number {
  const { talk } = context;
  const all = operands.length === 0;
  let total = 0;
  each(context, operands, (disk) => {
    const blocks = Math.floor(disk.device.size / 1024);
    total += blocks;
    talk.print(all ? `${disk.name}: ${String(blocks).padStart(9)}\n` : `${blocks}\n`);
  });
  if (all) talk.print(`total: ${total} blocks\n`);
  // The tool forgets that one could not be opened.
  return 0;
}

export function dump(context: Context, operands: readonly string[]): number {
  const disk = openDisk(context, diskOperand(operands), { readOnly: true });
  try {
    if (disk.label === undefined) {
      throw new Failure(`${disk.name}: does not contain a recognized partition table`);
    }
    const json = context.options.command === 'json';
    context.talk.print(json ? dumpJson(disk) : dumpScript(disk));
    return 0;
  } finally {
    disk.close();
  }
}

export function listTypes({ talk, options }: Context): number {
  if (options.label === 'gpt') {
    talk.print('Id  Name\n\n');
    for (const [guid, name] of GPT_TYPES) talk.print(`${guid}  ${name}\n`);
    return 0;
  }
  talk.print('Id  Name\n\n');
  for (const [id, name] of PARTITION_TYPES) talk.print(`${id.toString(16).padStart(2)}  ${name}\n`);
  return 0;
}
