import { FsError } from '../errors.ts';
import { alignInRange } from './disk-layout.ts';
import { parseGptAttributes } from './gpt-attributes.ts';
import type { GptEditor } from './gpt-editor.ts';
import { firstFree, gptGaps, lastFreeFrom } from './gpt-space.ts';
import { LINUX_FILESYSTEM } from './gpt-type.ts';
import { formatGuid, parseGuid } from './guid.ts';
import type { PartitionTemplate, Speaker } from './partition-template.ts';

export interface GptPlacementOptions {
  readonly speaker: Speaker;
  /** A GUID for a partition that brings none. */
  readonly newGuid: () => string;
}

/**
 * Makes a partition as a template asks, where util-linux' sfdisk puts it. Returns its index. FsError when it cannot be, after the speaker has been
 * told why.
 */
export function addGptPartition(
  editor: GptEditor,
  template: PartitionTemplate,
  { speaker, newGuid }: GptPlacementOptions,
): number {
  const index = chooseIndex(editor, template);
  const gaps = gptGaps(editor);
  if (gaps.length === 0) {
    speaker.warn('No free sectors available.');
    throw new FsError('ENOSPC');
  }
  const type = template.type === undefined ? LINUX_FILESYSTEM : guidText(String(template.type));
  const largest = gaps.reduce((a, b) => (b.sectorCount > a.sectorCount ? b : a));
  if (template.startSector === undefined && largest.sectorCount < editor.layout.grain) {
    speaker.warn('No enough free sectors available.');
    throw new FsError('ENOSPC');
  }
  const start =
    template.startSector ??
    alignInRange(editor.layout, largest.startSector, largest.startSector, largest.endSector);
  if (template.startSector !== undefined && firstFree(editor, start) !== start) {
    speaker.warn(`Sector ${start} already used.`);
    throw new FsError('ERANGE');
  }
  const end = chooseEnd(editor, template, start);
  if (end > editor.lastUsable) {
    speaker.warn(`The last usable GPT sector is ${editor.lastUsable}, but ${end} is requested.`);
    throw new FsError('EINVAL');
  }
  if (end < start) {
    speaker.warn(`Could not create partition ${index + 1}`);
    throw new FsError('EINVAL');
  }
  const uuid = template.uuid === undefined ? newGuid() : guidText(template.uuid);
  editor.setPartition(index, { type, uuid, startSector: start, endSector: end });
  if (template.name !== undefined && template.name !== '')
    editor.setPartition(index, { name: template.name });
  if (template.attributes !== undefined) setGptAttributes(editor, index, template.attributes, speaker);
  return index;
}

/** The GUID in its usual spelling; EINVAL for what is none. */
function guidText(text: string): string {
  const guid = parseGuid(text);
  if (guid === undefined) throw new FsError('EINVAL');
  return formatGuid(guid);
}

function chooseIndex(editor: GptEditor, { index, anyIndex = false }: PartitionTemplate): number {
  const used = new Set(editor.partitions.map((partition) => partition.index));
  if (index !== undefined && !anyIndex) {
    if (index >= editor.entryCount || used.has(index)) throw new FsError('ERANGE');
    return index;
  }
  for (let free = 0; free < editor.entryCount; free++) if (!used.has(free)) return free;
  throw new FsError('ERANGE');
}

function chooseEnd(editor: GptEditor, template: PartitionTemplate, start: number): number {
  const { layout } = editor;
  const last = lastFreeFrom(editor, start);
  const usual = usualGptEnd(editor, start);
  const { sectorCount: size, exactSize = false } = template;
  if (size === undefined) return usual;
  const end = start + size - 1;
  if (end === usual || exactSize || layout.grain === 1 || end - start <= layout.grain) return end;
  const aligned = alignInRange(layout, end, start, Math.min(last, usual));
  return aligned > start ? aligned - 1 : aligned;
}

/** The last free sector behind `start`; at the end of the disk the last one of a whole grain. */
export function usualGptEnd(editor: GptEditor, start: number): number {
  const last = lastFreeFrom(editor, start);
  if (last !== editor.lastUsable) return last;
  return alignInRange(editor.layout, last, start, last) - 1;
}

/** Gives a partition the attributes of a text. Returns whether it could be understood; the speaker has been told where not. */
export function setGptAttributes(editor: GptEditor, index: number, text: string, speaker: Speaker): boolean {
  const attributes = parseGptAttributes(text);
  if (typeof attributes === 'string') {
    speaker.warn(`unsupported GPT attribute bit '${attributes}'`);
    return false;
  }
  editor.setPartition(index, { attributes });
  return true;
}
