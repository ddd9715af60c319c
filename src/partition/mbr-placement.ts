import { FsError } from '../errors.ts';
import { alignInRange } from './disk-layout.ts';
import { hasPrimarySpace } from './free-space.ts';
import { MAX_PARTITIONS } from './mbr-chain.ts';
import type { MbrEditor } from './mbr-editor.ts';
import { type MbrSpace, firstFree, lastFree, limitOf, takenRanges, usualStart } from './mbr-space.ts';
import { isExtendedType } from './mbr-type.ts';
import type { PartitionTemplate, Speaker } from './partition-template.ts';

const LINUX = 0x83;
/** A table entry has 32 bits for a sector. */
const LAST_SECTOR = 0xffff_ffff;

export interface MbrPlacementOptions {
  readonly speaker: Speaker;
  /** The table lies beside a GPT, whose protective entry starts in sector 1: everything else may, too. */
  readonly nested?: boolean;
}

/**
 * Makes a partition as a template asks, where util-linux' sfdisk puts it. Returns its index. FsError when it cannot be, after the speaker has been
 * told why.
 */
export function addMbrPartition(
  editor: MbrEditor,
  template: PartitionTemplate,
  options: MbrPlacementOptions,
): number {
  const { startSector, index } = template;
  const { speaker } = options;
  const extended = editor.extendedIndex === undefined ? undefined : editor.partition(editor.extendedIndex);
  if (
    startSector !== undefined &&
    extended !== undefined &&
    startSector >= extended.startSector &&
    startSector <= extended.endSector
  ) {
    if (index !== undefined && index < 4) throw new FsError('EINVAL');
    return addLogical(editor, template, options);
  }
  if (startSector !== undefined && extended !== undefined) {
    if (index !== undefined && index >= 4) throw new FsError('EINVAL');
    refuseSecondExtended(template, speaker);
    return addPrimary(editor, template, options);
  }
  if (index !== undefined && index < 4) {
    if (extended !== undefined) refuseSecondExtended(template, speaker);
    return addPrimary(editor, template, options);
  }
  if (index !== undefined) {
    if (extended !== undefined) return addLogical(editor, template, options);
    speaker.warn('Extended partition does not exists. Failed to add logical partition.');
    throw new FsError('EINVAL');
  }
  return addAnywhere(editor, template, options);
}

function refuseSecondExtended({ type }: PartitionTemplate, speaker: Speaker): void {
  if (typeof type !== 'number' || !isExtendedType(type)) return;
  speaker.warn('Extended partition already exists.');
  throw new FsError('EINVAL');
}

/** Nothing says which kind: a primary one while there is a place and room for one. */
function addAnywhere(editor: MbrEditor, template: PartitionTemplate, options: MbrPlacementOptions): number {
  const { speaker } = options;
  const hasEntry = editor.partitions.slice(0, 4).some(({ present }) => !present);
  if (!hasEntry && editor.slotCount >= MAX_PARTITIONS) {
    speaker.info('The maximum number of partitions has been created.');
    throw new FsError('EINVAL');
  }
  if (hasEntry && hasPrimarySpace(editor)) return addPrimary(editor, template, options);
  if (editor.extendedIndex !== undefined) {
    if (template.startSector === undefined) return addLogical(editor, template, options);
    speaker.warn(
      hasEntry ? 'All space for primary partitions is in use.' : 'All primary partitions are in use.',
    );
    throw new FsError('EINVAL');
  }
  speaker.info(
    hasEntry
      ? 'All space for primary partitions is in use.'
      : 'To create more partitions, first replace a primary with an extended partition.',
  );
  throw new FsError('EINVAL');
}

function addPrimary(editor: MbrEditor, template: PartitionTemplate, options: MbrPlacementOptions): number {
  const primary = editor.partitions.slice(0, 4);
  const wanted = template.anyIndex === true ? undefined : template.index;
  const index = wanted ?? primary.findIndex(({ present }) => !present);
  if (index < 0 || index >= 4 || primary[index]!.present) {
    options.speaker.warn('Primary partition not available.');
    throw new FsError('ERANGE');
  }
  return place(editor, index, template, options);
}

function addLogical(editor: MbrEditor, template: PartitionTemplate, options: MbrPlacementOptions): number {
  if (editor.slotCount >= MAX_PARTITIONS) {
    options.speaker.info('The maximum number of partitions has been created.');
    throw new FsError('EINVAL');
  }
  const index = editor.addSlot();
  let placed = false;
  try {
    place(editor, index, template, options);
    placed = true;
  } finally {
    if (!placed) editor.removeSlot(index);
  }
  return index;
}

function place(
  editor: MbrEditor,
  index: number,
  template: PartitionTemplate,
  { speaker, nested = false }: MbrPlacementOptions,
): number {
  const logical = index >= 4;
  const extended = logical ? editor.partition(editor.extendedIndex!) : undefined;
  const { firstSector, sectorCount } = editor.layout;
  let lowest = extended === undefined ? (nested ? 1 : firstSector) : extended.startSector + firstSector;
  const highest = extended === undefined ? Math.min(sectorCount - 1, LAST_SECTOR) : extended.endSector;
  const usual = lowest;
  const wanted = template.startSector;
  if (wanted !== undefined && wanted < lowest) lowest = extended === undefined ? 1 : extended.startSector + 1;
  // util-linux goes on where the extended partition is too small for a boot record, and writes past its end.
  if (lowest > highest) throw noSpace(speaker);
  const limit = lastFree({
    taken: takenRanges(editor, logical),
    lowest: usual > highest ? lowest : usual,
    highest,
  });
  if (limit === undefined) throw noSpace(speaker);
  // From now on partitions may begin there unasked, and boot records come right before theirs.
  if (lowest < usual) editor.layout = { ...editor.layout, firstSector: 1 };
  const space: MbrSpace = { taken: takenRanges(editor, logical), lowest, highest };
  let start = chooseStart(editor, template, { space, limit, speaker });
  let tableSector = 0;
  if (extended !== undefined) {
    const gap = editor.layout.firstSector;
    tableSector = index === 4 ? extended.startSector : start - gap;
    // The first sector of the extended partition holds the first boot record of the chain.
    if (index > 4 && tableSector === extended.startSector) {
      tableSector++;
      if (gap === 1) start++;
    }
  }
  const last = limitOf(space, start, limit);
  if (last === undefined) throw noSpace(speaker);
  const stop = chooseEnd(editor, template, start, last);
  // util-linux makes one within the other, and cannot read the chain afterwards.
  if (logical) refuseSecondExtended(template, speaker);
  if (logical) editor.placeTable(index, tableSector);
  const type = typeof template.type === 'number' ? template.type : LINUX;
  editor.setPartition(index, type, start, stop, { active: template.bootable === true });
  return index;
}

function noSpace(speaker: Speaker): FsError {
  speaker.warn('No free sectors available.');
  return new FsError('ENOSPC');
}

function chooseStart(
  editor: MbrEditor,
  template: PartitionTemplate,
  { space, limit, speaker }: { readonly space: MbrSpace; readonly limit: number; readonly speaker: Speaker },
): number {
  const { startSector: wanted, sectorCount: size } = template;
  let start = space.lowest;
  let chosen = false;
  for (;;) {
    let from = start;
    const free = firstFree(space, start);
    if (free === undefined) throw noSpace(speaker);
    start = free;
    const usual = usualStart(editor.layout, space, start, limit);
    if (start > limit) return start;
    if (start > from && chosen) {
      if (wanted !== undefined) {
        speaker.info(`Sector ${from} is already allocated.`);
        return start;
      }
      from = start;
      chosen = false;
    }
    if (!chosen && start === from) {
      start = wanted ?? usual;
      if (start < from || start > limit) {
        speaker.warn(`Start sector ${start} out of range.`);
        throw new FsError('ERANGE');
      }
      chosen = true;
    }
    if (size !== undefined) {
      const last = limitOf(space, start, limit);
      if (last === undefined) throw noSpace(speaker);
      if (last - start + 1 < size) {
        if (wanted !== undefined && wanted <= last) throw noSpace(speaker);
        start = last + 1;
      }
    }
    if (start === from && chosen) return start;
  }
}

function chooseEnd(editor: MbrEditor, template: PartitionTemplate, start: number, last: number): number {
  const { layout } = editor;
  const { sectorCount: size, exactSize = false } = template;
  if (start === last || size === undefined) return last;
  const rounds = !exactSize && layout.grain > 1;
  let stop = start + size;
  if (!rounds && stop > start) stop--;
  if (stop > last) return last;
  // Tiny partitions are not rounded, and get a sector more than was asked for.
  if (!rounds || stop - start < layout.grain) return stop;
  stop = alignInRange(layout, stop, start, last);
  return stop > start ? stop - 1 : stop;
}
