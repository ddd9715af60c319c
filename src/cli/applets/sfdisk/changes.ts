import { FsError } from '../../../errors.ts';
import { formatGptAttributes } from '../../../partition/gpt-attributes.ts';
import { formatGuid, parseGuid } from '../../../partition/guid.ts';
import { changePartition, partitionCount } from '../partition-script/apply.ts';
import { parseClassicSize } from '../partition-script/size.ts';
import { parseTypeText } from '../partition-script/type.ts';
import type { Disk } from '../fdisk/disk.ts';
import { diskIdentifier, partitionName, usedPartitions } from '../fdisk/listing.ts';
import { backUp } from './backup.ts';
import { partitionNumber } from './command-line.ts';
import {
  type Context,
  Failure,
  diskOperand,
  hybridOf,
  openDisk,
  refuseBsd,
  writeChanges,
} from './context.ts';

/** The commands that print or change one thing. */

/** Opens the disk, saves its table where that is asked for, and closes it in the end. */
function withDisk(context: Context, name: string, readOnly: boolean, run: (disk: Disk) => void): number {
  const disk = openDisk(context, name, { readOnly });
  try {
    if (!readOnly) refuseBsd(disk);
    if (context.options.backup && !readOnly) backUp(context, disk);
    run(disk);
    return 0;
  } finally {
    disk.close();
  }
}

/** `--disk-id DISK [ID]`. */
export function diskId(context: Context, operands: readonly string[]): number {
  const name = diskOperand(operands);
  const id = operands[1];
  if (operands.length > 2) throw new Failure('unexpected arguments');
  const { talk } = context;
  return withDisk(context, name, id === undefined, (disk) => {
    const failure = new Failure(`${disk.name}: failed to set disklabel ID`);
    if (id === undefined) {
      if (disk.label !== undefined) talk.print(`${diskIdentifier(disk)}\n`);
      return;
    }
    if (disk.label === undefined) throw failure;
    const before = diskIdentifier(disk);
    if (disk.gpt !== undefined) {
      const guid = parseGuid(id);
      if (guid === undefined) {
        talk.warn('Failed to parse your UUID.');
        throw failure;
      }
      disk.gpt.diskGuid = formatGuid(guid);
    } else {
      // The last 32 bits count.
      const number = /^\s*\+?(0x[\da-f]+|\d+)$/i.test(id) ? parseClassicSize(id)?.value : undefined;
      if (number === undefined || number >= 2 ** 53) {
        talk.warn('Incorrect value.');
        throw failure;
      }
      disk.editor!.diskIdentifier = number % 2 ** 32;
    }
    talk.info(`Disk identifier changed from ${before} to ${diskIdentifier(disk)}.`);
    writeChanges(context, disk);
  });
}

/** `--part-type`, `--part-label`, `--part-uuid` and `--part-attrs DISK NUMBER [VALUE]`. */
export function partitionField(context: Context, operands: readonly string[]): number {
  const name = diskOperand(operands);
  const [, number, value] = operands;
  if (number === undefined) throw new Failure('no partition number specified');
  const index = partitionNumber(number) - 1;
  if (operands.length > 3) throw new Failure('unexpected arguments');
  return withDisk(context, name, value === undefined, (disk) => {
    const what = `${disk.name}: partition ${index + 1}`;
    if (disk.label === undefined) throw new Failure(`${disk.name}: no partition table found`);
    const count = partitionCount(disk);
    if (index >= count) throw new Failure(`${what}: partition table contains only ${count} partitions`);
    if (!usedPartitions(disk).some((partition) => partition.index === index)) {
      throw new Failure(`${what}: partition is unused`);
    }
    const text = value === undefined ? fieldOf(context, disk, index) : undefined;
    if (value === undefined) context.talk.print(text === undefined ? '' : `${text}\n`);
    else changeField(context, disk, index, value);
  });
}

const FIELD_NAMES = {
  'part-type': 'type',
  'part-label': 'name',
  'part-uuid': 'UUID',
  'part-attrs': 'attributes',
} as const;

function fieldName(context: Context): (typeof FIELD_NAMES)[keyof typeof FIELD_NAMES] {
  return FIELD_NAMES[context.options.command as keyof typeof FIELD_NAMES];
}

function fieldOf(context: Context, disk: Disk, index: number): string | undefined {
  const label = disk.label!;
  const field = fieldName(context);
  const failure = new Failure(`${disk.name}: partition ${index + 1}: failed to get partition ${field}`);
  if (label.kind === 'bsd') {
    if (field === 'type') return label.editor.partition(index).type.toString(16);
    throw failure;
  }
  if (label.kind === 'dos') {
    const { entry } = label.editor.partition(index);
    if (field === 'type') return entry.type.toString(16);
    if (field !== 'attributes') throw failure;
    if (entry.bootIndicator === 0) return undefined;
    return entry.bootIndicator.toString(16).padStart(2, '0');
  }
  const partition = label.editor.partition(index);
  switch (field) {
    case 'type':
      return partition.type;
    case 'UUID':
      return partition.uuid;
    case 'name':
      return partition.name;
    case 'attributes': {
      const text = formatGptAttributes(partition.attributes);
      return text === '' ? undefined : text;
    }
  }
}

function changeField(context: Context, disk: Disk, index: number, value: string): void {
  const { talk } = context;
  const field = fieldName(context);
  const what = `${disk.name}: partition ${index + 1}`;
  try {
    if (field === 'type') {
      const label = disk.gpt === undefined ? 'dos' : 'gpt';
      const type = parseTypeText(label, value, 'command line') ?? (label === 'dos' ? 0 : value);
      changePartition(disk, index, { type }, talk);
    } else if (field === 'name') changePartition(disk, index, { name: value }, talk);
    else if (field === 'UUID') changePartition(disk, index, { uuid: value }, talk);
    else changePartition(disk, index, { attributes: value }, talk);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw new Failure(`${what}: failed to set partition ${field}`);
  }
  writeChanges(context, disk);
}

/** `--delete DISK [NUMBER...]`. */
export function deletePartitions(context: Context, operands: readonly string[]): number {
  const name = diskOperand(operands);
  const numbers = operands.slice(1);
  return withDisk(context, name, false, (disk) => {
    const remove = (index: number): void => {
      if (!usedPartitions(disk).some((partition) => partition.index === index)) {
        throw new Failure(`${disk.name}: partition ${index + 1}: failed to delete`);
      }
      disk.label!.editor.delete(index);
    };
    for (const number of numbers) remove(partitionNumber(number) - 1);
    if (numbers.length === 0) {
      for (const { index } of [...usedPartitions(disk)].reverse()) {
        // Logical partitions go with the extended one when it comes first.
        if (index < partitionCount(disk)) disk.label!.editor.delete(index);
      }
    }
    writeChanges(context, disk);
  });
}

/** `-r DISK`. */
export function reorder(context: Context, operands: readonly string[]): number {
  const name = diskOperand(operands);
  return withDisk(context, name, false, (disk) => {
    if (disk.label === undefined) throw new Failure('');
    if (!(disk.gpt ?? disk.editor!).sort()) {
      context.talk.info('Nothing to do. Ordering is correct already.');
      return;
    }
    context.talk.info('Partitions order fixed.');
    writeChanges(context, disk);
  });
}

/** `-A DISK [NUMBER...]`. */
export function activate(context: Context, operands: readonly string[]): number {
  const name = diskOperand(operands);
  const numbers = operands.slice(1);
  const { talk } = context;
  return withDisk(context, name, numbers.length === 0, (disk) => {
    if (disk.label === undefined) throw new Failure('toggle boot flags is supported for MBR or PMBR only');
    if (disk.gpt !== undefined) talk.info('Activation is unsupported for GPT -- entering nested PMBR.');
    const table = hybridOf(context, disk);
    const editor = table.editor!;
    const active = editor.partitions.filter(({ entry }) => entry.bootIndicator === 0x80);
    if (numbers.length === 0) {
      for (const { index } of active) talk.print(`${partitionName(disk.name, index + 1)}\n`);
      return;
    }
    const toggle = (index: number): void => {
      const { extended, entry } = editor.partition(index);
      if (extended && entry.bootIndicator === 0) {
        talk.warn(`Partition ${index + 1}: is an extended partition.`);
      }
      const state = editor.toggleActive(index) ? 'enabled' : 'disabled';
      talk.info(`The bootable flag on partition ${index + 1} is ${state} now.`);
    };
    const none = numbers.length === 1 && numbers[0] === '-';
    for (const { index } of active) toggle(index);
    for (const [place, number] of none ? [] : numbers.entries()) {
      const index = partitionNumber(number) - 1;
      if (index < 0 || index >= editor.slotCount) {
        throw new Failure(`${disk.name}: partition ${place + 2}: failed to toggle bootable flag`);
      }
      if (editor.partition(index).entry.bootIndicator !== 0x80) toggle(index);
    }
    writeChanges(context, table);
  });
}

/** `--relocate WHERE DISK`. */
export function relocate(context: Context, operands: readonly string[]): number {
  const name = diskOperand(operands);
  const { relocation } = context.options;
  if (relocation !== 'gpt-bak-std' && relocation !== 'gpt-bak-mini') {
    throw new Failure('unsupported relocation operation');
  }
  return withDisk(context, name, false, (disk) => {
    if (disk.label === undefined) throw new Failure('');
    if (disk.gpt !== undefined)
      disk.gpt.placeBackup(relocation === 'gpt-bak-mini' ? 'behind partitions' : 'end');
    writeChanges(context, disk);
  });
}
