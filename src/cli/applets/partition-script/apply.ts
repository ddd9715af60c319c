import { FsError } from '../../../errors.ts';
import { addBsdPartition } from '../../../partition/bsd-placement.ts';
import { freeRanges } from '../../../partition/free-space.ts';
import { addGptPartition, setGptAttributes } from '../../../partition/gpt-placement.ts';
import { gptGaps } from '../../../partition/gpt-space.ts';
import { formatGuid, parseGuid } from '../../../partition/guid.ts';
import type { MbrEditor } from '../../../partition/mbr-editor.ts';
import { addMbrPartition } from '../../../partition/mbr-placement.ts';
import { isExtendedType, partitionTypeName } from '../../../partition/mbr-type.ts';
import type { CreateGptOptions, GptEditor } from '../../../partition/gpt-editor.ts';
import { gptTypeName } from '../../../partition/gpt-type.ts';
import { changedRange } from '../../../partition/partition-change.ts';
import type { PartitionTemplate, Speaker } from '../../../partition/partition-template.ts';
import { type Disk, newGuid } from '../fdisk/disk.ts';
import { humanSize } from '../fdisk/human-size.ts';
import { usedPartitions } from '../fdisk/listing.ts';
import { createDosLabel, createGptLabel } from '../fdisk/new-label.ts';
import { parseClassicSize } from './size.ts';

/** What the headers of a script do: an empty label in place of what there is. FsError, after the speaker has said why, where they cannot. */
export function applyHeaders(disk: Disk, headers: ReadonlyMap<string, string>, speaker: Speaker): void {
  const grain = headers.get('grain');
  if (grain !== undefined) {
    const size = parseClassicSize(grain)?.value;
    if (size === undefined || size % 512 !== 0) throw new FsError('EINVAL');
    disk.setGrain(size);
  }
  const kind = headers.get('label');
  const identifier = headers.get('label-id');
  const length = headers.get('table-length');
  const entryCount = length === undefined ? undefined : parseClassicSize(length)?.value;
  if (kind === 'gpt') {
    const guid = identifier === undefined ? undefined : parseGuid(identifier);
    const firstUsable = sectorHeader(disk, headers, 'first-lba', speaker);
    const lastUsable = sectorHeader(disk, headers, 'last-lba', speaker);
    const options = {
      ...(guid === undefined ? {} : { diskGuid: formatGuid(guid) }),
      ...(firstUsable === undefined ? {} : { firstUsable }),
      ...(lastUsable === undefined ? {} : { lastUsable }),
    };
    makeGpt(disk, speaker, options, entryCount);
  } else {
    const id = identifier === undefined ? undefined : parseClassicSize(identifier);
    createDosLabel(disk, speaker, id === undefined || id.value > 0xffff_ffff ? undefined : id.value);
  }
  if (length !== undefined && (entryCount === undefined || kind !== 'gpt')) throw new FsError('EINVAL');
}

/** A table whose length does not fit is made with the usual one first: the tool finds out too late. */
function makeGpt(
  disk: Disk,
  speaker: Speaker,
  options: Partial<CreateGptOptions>,
  entryCount: number | undefined,
): void {
  try {
    createGptLabel(disk, speaker, { ...options, ...(entryCount === undefined ? {} : { entryCount }) });
  } catch (error) {
    if (entryCount === undefined || !(error instanceof FsError) || error.code !== 'ENOSPC') throw error;
    createGptLabel(disk, speaker, options);
    throw error;
  }
}

/** A header that is a sector counts in the script's own ones. */
function sectorHeader(
  disk: Disk,
  headers: ReadonlyMap<string, string>,
  name: string,
  speaker: Speaker,
): number | undefined {
  const text = headers.get(name);
  if (text === undefined) return undefined;
  const size = Number(headers.get('sector-size') ?? 0);
  if (size !== 0 && size !== disk.sectorSize) {
    speaker.info(`Ingnore "${name}" header due to sector size mismatch.`);
    return undefined;
  }
  return parseClassicSize(text)?.value;
}

/** Makes a partition and says so. Returns its index; FsError where it cannot be made. */
export function addPartition(disk: Disk, template: PartitionTemplate, speaker: Speaker): number {
  const { label } = disk;
  if (label === undefined) throw new FsError('EINVAL');
  if (label.kind === 'gpt') {
    const index = addGptPartition(label.editor, template, { speaker, newGuid });
    const { type, sectorCount } = label.editor.partition(index);
    sayNew(disk, index, gptTypeName(type), sectorCount, speaker);
    return index;
  }
  if (label.kind === 'bsd') return addBsdPartition(label.editor, template);
  const index = addMbrPartition(label.editor, template, { speaker, nested: disk.parent?.gpt !== undefined });
  const { entry, sectorCount } = label.editor.partition(index);
  sayNew(disk, index, partitionTypeName(entry.type), sectorCount, speaker);
  return index;
}

function sayNew(disk: Disk, index: number, type: string, sectorCount: number, speaker: Speaker): void {
  const size = humanSize(sectorCount * disk.layout.sectorSize, { digits: 1, long: true });
  speaker.info(`Created a new partition ${index + 1} of type '${type}' and of size ${size}.`);
}

/** Changes a partition as a template says; one that is not there is made, at its own place. FsError where it cannot be. */
export function changePartition(
  disk: Disk,
  index: number,
  template: PartitionTemplate,
  speaker: Speaker,
): number {
  const label = disk.label!;
  const exists = usedPartitions(disk).some((partition) => partition.index === index);
  if (!exists) return addPartition(disk, { ...template, index, anyIndex: true }, speaker);
  const { startSector, startMove, sectorCount, resize } = template;
  const moves =
    startSector !== undefined || startMove !== undefined || sectorCount !== undefined || resize !== undefined;
  if (label.kind === 'gpt') changeGpt(label.editor, index, template, moves, speaker);
  else if (label.kind === 'dos') changeMbr(label.editor, index, template, moves, speaker);
  return index;
}

/** Entries of a GPT; of an MBR the places that there are. */
export function partitionCount(disk: Disk): number {
  if (disk.label === undefined) return 0;
  if (disk.label.kind === 'bsd') return disk.label.editor.partitionCount;
  return disk.label.kind === 'gpt' ? disk.label.editor.entryCount : disk.label.editor.slotCount;
}

function changeMbr(
  editor: MbrEditor,
  index: number,
  template: PartitionTemplate,
  moves: boolean,
  speaker: Speaker,
): void {
  const current = editor.partition(index);
  const before = editor.extendedIndex;
  const { layout } = editor;
  let range: ReturnType<typeof changedRange> | undefined;
  if (moves) {
    // To the sector, whatever partitions are aligned to.
    editor.layout = { ...layout, grain: 1 };
    const inside = before === undefined ? undefined : editor.partition(before);
    const free = freeRanges(editor).filter(({ startSector }) => {
      const nested =
        inside !== undefined && startSector >= inside.startSector && startSector <= inside.endSector;
      return nested === index >= 4;
    });
    const others = editor.partitions
      .filter((other) => other.used && other.index !== index && other.index >= 4 === index >= 4)
      .map((other) => ({
        startSector:
          index >= 4 ? Math.min(other.startSector, editor.tableSector(other.index)) : other.startSector,
        endSector: other.endSector,
      }));
    editor.layout = layout;
    const { firstSector, grain } = layout;
    range = changedRange(template, { index, current, free, others, firstSector, grain }, speaker);
  }
  const type = typeof template.type === 'number' ? template.type : undefined;
  if (type !== undefined) checkType(editor, index, type, speaker);
  if (range !== undefined) {
    if (range.startSector < editor.tableSector(index) || range.sectorCount === 0) {
      // The entry counts from its boot record, and cannot count backwards.
      speaker.warn(`Failed to resize partition #${index + 1}.`);
      throw new FsError('ERANGE');
    }
    editor.setRange(index, range.startSector, range.startSector + range.sectorCount - 1);
  }
  if (type !== undefined) editor.setType(index, type);
  if (template.bootable !== undefined) editor.setActive(index, template.bootable);
}

/** Throws EINVAL, after the speaker has been told, when the partition cannot get that type. */
export function checkType(editor: MbrEditor, index: number, type: number, speaker: Speaker): void {
  const extended = editor.extendedIndex;
  if (isExtendedType(type) && extended !== undefined && extended !== index) {
    speaker.warn('Extended partition already exists.');
    throw new FsError('EINVAL');
  }
  if (type === 0) {
    speaker.warn('Type 0 means free space to many systems. Having partitions of type 0 is probably unwise.');
  }
  const hasLogical = editor.partitions.slice(4).some(({ used }) => used);
  if (extended === index && !isExtendedType(type) && hasLogical) {
    speaker.warn(
      'Cannot change type of the extended partition which is already used by logical partitions. Delete logical partitions first.',
    );
    throw new FsError('EINVAL');
  }
}

function changeGpt(
  editor: GptEditor,
  index: number,
  template: PartitionTemplate,
  moves: boolean,
  speaker: Speaker,
): void {
  const current = editor.partition(index);
  let range: { startSector: number; sectorCount: number } | undefined;
  if (moves) {
    const { firstSector, grain } = editor.layout;
    const others = editor.partitions.filter((other) => other.index !== index);
    const surroundings = { index, current, free: gptGaps(editor), others, firstSector, grain };
    range = changedRange(template, surroundings, speaker);
  }
  if (template.uuid !== undefined) {
    const guid = parseGuid(template.uuid);
    if (guid === undefined) throw new FsError('EINVAL');
    editor.setPartition(index, { uuid: formatGuid(guid) });
    speaker.info(`Partition UUID changed from ${current.uuid} to ${formatGuid(guid)}.`);
  }
  if (template.name !== undefined) {
    editor.setPartition(index, { name: template.name });
    speaker.info(`Partition name changed from '${current.name}' to '${editor.partition(index).name}'.`);
  }
  if (template.type !== undefined) {
    const guid = parseGuid(String(template.type));
    if (guid === undefined) throw new FsError('EINVAL');
    editor.setPartition(index, { type: formatGuid(guid) });
  }
  if (template.attributes !== undefined && !setGptAttributes(editor, index, template.attributes, speaker)) {
    throw new FsError('EINVAL');
  }
  if (range === undefined) return;
  const { startSector, sectorCount } = range;
  editor.setPartition(index, { startSector, endSector: startSector + sectorCount - 1 });
}
