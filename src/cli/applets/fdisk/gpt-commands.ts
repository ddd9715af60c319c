import { alignInRange } from '../../../partition/disk-layout.ts';
import { FIRST_OWN_BIT, LAST_OWN_BIT, gptAttributeName } from '../../../partition/gpt-attributes.ts';
import { checkGpt } from '../../../partition/gpt-check.ts';
import type { GptEditor } from '../../../partition/gpt-editor.ts';
import { firstFree, gptGaps, lastFree, lastFreeFrom } from '../../../partition/gpt-space.ts';
import { GPT_ALIASES, GPT_TYPES, LINUX_FILESYSTEM, gptTypeName } from '../../../partition/gpt-type.ts';
import { formatGuid, parseGuid } from '../../../partition/guid.ts';
import type { Speaker } from '../../../partition/partition-template.ts';
import type { Context } from './dialog-context.ts';
import { newGuid } from './disk.ts';
import { humanSize } from './human-size.ts';
import { chooseFree, choosePartition } from './partition-choice.ts';
import { plainName } from './type-list.ts';

/** The commands of the menus that are about a GPT. */

/**
 * `n`. Returns the index of the new partition, or undefined when there is none. `preset`: where the partition that was to get a name or a
 * UUID is not there yet, the tool makes it.
 */
export function newGptPartition(
  { disk, dialog }: Context,
  editor: GptEditor,
  preset: { readonly index?: number; readonly name?: string; readonly uuid?: string } = {},
): number | undefined {
  const { index: presetIndex, ...presetFields } = preset;
  const index =
    presetIndex ??
    chooseFree(
      dialog,
      editor.partitions.map((partition) => partition.index),
      editor.entryCount,
    );
  if (index === undefined) return undefined;
  if (editor.partition(index).used) {
    dialog.warn(`Partition ${index + 1} is already defined.  Delete it before re-adding it.`);
    return undefined;
  }
  const gaps = gptGaps(editor);
  if (gaps.length === 0) {
    dialog.warn('No free sectors available.');
    return undefined;
  }
  const largest = gaps.reduce((a, b) => (b.sectorCount > a.sectorCount ? b : a));
  const { layout } = editor;
  if (largest.sectorCount < layout.grain) {
    dialog.warn('No enough free sectors available.');
    return undefined;
  }
  const start = chooseStart({ disk, dialog }, editor, largest);
  const last = lastFreeFrom(editor, start);
  const fallback = usualEnd(editor, start);
  const answer = chooseEnd({ disk, dialog }, editor, start, last, fallback);
  editor.setPartition(index, {
    type: LINUX_FILESYSTEM,
    uuid: newGuid(),
    startSector: start,
    endSector: answer,
    ...presetFields,
  });
  const size = humanSize((answer - start + 1) * layout.sectorSize, { digits: 1, long: true });
  dialog.info(
    `Created a new partition ${index + 1} of type '${gptTypeName(LINUX_FILESYSTEM)}' and of size ${size}.`,
  );
  return index;
}

type Talk = Pick<Context, 'disk' | 'dialog'>;

function chooseStart(
  { dialog }: Talk,
  editor: GptEditor,
  largest: { readonly startSector: number; readonly endSector: number },
): number {
  const { startSector, endSector } = largest;
  const fallback = alignInRange(editor.layout, startSector, startSector, endSector);
  const low = firstOffered(editor);
  const high = lastFree(editor)!;
  for (;;) {
    const start = dialog.askNumber({ prompt: 'First sector', low, high, fallback });
    if (firstFree(editor, start) === start) return start;
    dialog.warn(`Sector ${start} already used.`);
  }
}

/** The first free sector; while the first partition comes later, gaps of less than a grain are passed over. */
function firstOffered(editor: GptEditor): number {
  const first = firstFree(editor, editor.firstUsable)!;
  const one = editor.partition(0);
  if (!one.used || first >= one.startSector) return first;
  const wide = gptGaps(editor).find(({ sectorCount }) => sectorCount > editor.layout.grain);
  return wide?.startSector ?? first;
}

/** The last free sector behind `start`; at the end of the disk the last one of a whole grain. */
export function usualEnd(editor: GptEditor, start: number): number {
  const last = lastFreeFrom(editor, start);
  if (last !== editor.lastUsable) return last;
  return alignInRange(editor.layout, last, start, last) - 1;
}

function chooseEnd({ dialog }: Talk, editor: GptEditor, start: number, last: number, usual: number): number {
  const { layout } = editor;
  const answer = dialog.askLastSector({
    prompt: 'Last sector, +/-sectors or +/-size{K,M,G,T,P}',
    low: start,
    high: last,
    fallback: usual < start ? undefined : usual,
    base: start,
    unitSize: layout.sectorSize,
  });
  if (!answer.fromSize) return answer.sector;
  const aligned = alignInRange(layout, answer.sector, start, usual);
  return aligned > start ? aligned - 1 : aligned;
}

/** The GUID of a type by its GUID, its alias, its name or its number in the list; undefined for what is none of these. */
export function parseGptType(answer: string): string | undefined {
  const guid = parseGuid(answer);
  if (guid !== undefined) return formatGuid(guid);
  const alias = GPT_ALIASES.find(({ name }) => name === answer);
  if (alias !== undefined) return alias.guid;
  const name = plainName(answer);
  const named = GPT_TYPES.find(([, each]) => plainName(each) === name);
  if (named !== undefined) return named[0];
  // Numbers in every notation of strtol(3).
  const digits = /^(?:0x([\da-f]+)|(0[0-7]*)|([1-9]\d*))$/i.exec(answer);
  if (digits === null) return undefined;
  const [, hex, octal, decimal] = digits;
  const number =
    hex === undefined
      ? Number.parseInt(octal ?? decimal!, octal === undefined ? 10 : 8)
      : Number.parseInt(hex, 16);
  return GPT_TYPES[number - 1]?.[0];
}

/** What `l` shows. */
export function gptTypeList(): string {
  let text = '';
  for (const [index, [guid, name]] of GPT_TYPES.entries()) {
    text += `${String(index + 1).padStart(3)} ${name.padEnd(30)} ${guid}\n`;
  }
  text += '\nAliases:\n';
  for (const { name, guid } of GPT_ALIASES) text += `   ${name.padEnd(14)} - ${guid}\n`;
  return text;
}

/** `v`. */
export function verifyGpt({ dialog }: { readonly dialog: Speaker }, editor: GptEditor): void {
  const errors = checkGpt(editor);
  for (const error of errors) dialog.warn(error);
  if (errors.length > 0) {
    dialog.warn(`${errors.length} error${errors.length === 1 ? '' : 's'} detected.`);
    return;
  }
  const gaps = gptGaps(editor);
  const free = gaps.reduce((sum, gap) => sum + gap.sectorCount, 0);
  const largest = Math.max(0, ...gaps.map(({ sectorCount }) => sectorCount));
  const size = humanSize(largest * editor.layout.sectorSize, { digits: 1, long: true });
  dialog.info('No errors detected.');
  dialog.info(`Header version: ${editor.revision}`);
  dialog.info(`Using ${editor.partitions.length} out of ${editor.entryCount} partitions.`);
  dialog.info(
    gaps.length === 1
      ? `A total of ${free} free sectors is available in 1 segment.`
      : `A total of ${free} free sectors is available in ${gaps.length} segments (the largest is ${size}).`,
  );
}

const FLAG_BITS: Readonly<Record<string, number>> = { R: 0, B: 1, A: 2 };

/** The expert commands that only a GPT has; false for any other. */
export function runGptExpert(context: Context, editor: GptEditor, command: string): boolean {
  const { disk, dialog } = context;
  switch (command) {
    case 'i':
      changeDiskGuid(context, editor);
      return true;
    case 'l':
      changeTableLength(context, editor);
      return true;
    case 'n':
    case 'u': {
      const index = choosePartition(disk, dialog);
      if (index === undefined) return true;
      if (command === 'n') changeName(context, editor, index);
      else changeUuid(context, editor, index);
      return true;
    }
    case 'A':
    case 'B':
    case 'R':
    case 'S': {
      const index = choosePartition(disk, dialog);
      if (index !== undefined) toggleAttribute(context, editor, index, FLAG_BITS[command]);
      return true;
    }
    default:
      return false;
  }
}

function changeDiskGuid({ dialog }: Context, editor: GptEditor): void {
  const answer = dialog.ask('\nEnter new disk UUID (in 8-4-4-4-12 format): ');
  const guid = parseGuid(answer);
  if (guid === undefined) {
    dialog.warn('Failed to parse your UUID.');
    return;
  }
  const before = editor.diskGuid;
  editor.diskGuid = formatGuid(guid);
  dialog.info(`Disk identifier changed from ${before} to ${editor.diskGuid}.`);
}

function changeTableLength({ dialog }: Context, editor: GptEditor): void {
  const before = editor.entryCount;
  const count = dialog.askNumber({
    prompt: 'New maximum entries',
    low: 1,
    high: 0xffff_ffff,
    fallback: before,
  });
  if (count === before) return;
  const problems = editor.resizeTable(count);
  for (const problem of problems) dialog.warn(problem);
  if (problems.length === 0) dialog.info(`Partition table length changed from ${before} to ${count}.`);
}

function changeName(context: Context, editor: GptEditor, index: number): void {
  const { dialog } = context;
  const answer = dialog.ask('\nNew name: ');
  const { used, name: before } = editor.partition(index);
  if (!used) {
    newGptPartition(context, editor, { index, name: answer });
    return;
  }
  editor.setPartition(index, { name: answer });
  dialog.info(`Partition name changed from '${before}' to '${editor.partition(index).name}'.`);
}

function changeUuid(context: Context, editor: GptEditor, index: number): void {
  const { dialog } = context;
  const answer = dialog.ask('\nNew UUID (in 8-4-4-4-12 format): ');
  if (!editor.partition(index).used) {
    const uuid = parseGuid(answer);
    newGptPartition(context, editor, { index, ...(uuid === undefined ? {} : { uuid: formatGuid(uuid) }) });
    return;
  }
  const guid = parseGuid(answer);
  // The tool says nothing of what is no UUID.
  if (guid === undefined) return;
  const before = editor.partition(index).uuid;
  editor.setPartition(index, { uuid: formatGuid(guid) });
  dialog.info(`Partition UUID changed from ${before} to ${formatGuid(guid)}.`);
}

function toggleAttribute(
  { dialog }: Context,
  editor: GptEditor,
  index: number,
  flag: number | undefined,
): void {
  const bit =
    flag ??
    dialog.askNumber({
      prompt: 'Enter GUID specific bit',
      low: FIRST_OWN_BIT,
      high: LAST_OWN_BIT,
      fallback: FIRST_OWN_BIT,
    });
  const attributes = editor.partition(index).attributes ^ (1n << BigInt(bit));
  editor.setPartition(index, { attributes });
  const state = (attributes & (1n << BigInt(bit))) === 0n ? 'disabled' : 'enabled';
  const name = gptAttributeName(bit);
  dialog.info(
    name === undefined
      ? `The GUID specific bit ${bit} on partition ${index + 1} is ${state} now.`
      : `The ${name} flag on partition ${index + 1} is ${state} now.`,
  );
}
