import { cylinderSize } from '../../../bytes/chs.ts';
import { alignInRange } from '../../../partition/disk-layout.ts';
import { hasPrimarySpace } from '../../../partition/free-space.ts';
import { MAX_PARTITIONS } from '../../../partition/mbr-chain.ts';
import { partitionTypeName } from '../../../partition/mbr-type.ts';
import {
  type MbrSpace,
  firstFree,
  lastFree,
  limitOf,
  takenRanges,
  usualStart,
} from '../../../partition/mbr-space.ts';
import { chooseFree } from './partition-choice.ts';
import type { Dialog } from './dialog.ts';
import type { Disk } from './disk.ts';
import { humanSize } from './human-size.ts';

const LINUX = 0x83;
const EXTENDED = 0x05;
/** A table entry has 32 bits for a sector. */
const LAST_SECTOR = 0xffff_ffff;

/** The `n` command. Returns the index of the new partition, or undefined when there is none. */
export function newPartition(disk: Disk, dialog: Dialog): number | undefined {
  const editor = disk.editor!;
  const { cylinders } = disk.layout.geometry;
  if ((disk.geometryMatters || disk.cylinders) && cylinders === 0) {
    dialog.warn('Incomplete geometry setting.');
    return undefined;
  }
  const primary = editor.partitions.slice(0, 4);
  const freeCount = primary.filter(({ used }) => !used).length;
  const hasExtended = editor.extendedIndex !== undefined;
  if (freeCount === 0 && editor.slotCount >= MAX_PARTITIONS) {
    dialog.info('The maximum number of partitions has been created.');
    return undefined;
  }
  if (freeCount === 0) {
    if (!hasExtended) {
      dialog.info('To create more partitions, first replace a primary with an extended partition.');
      return undefined;
    }
    dialog.info('All primary partitions are in use.');
    return newLogical(disk, dialog);
  }
  if (!hasPrimarySpace(editor, disk.parent?.gpt !== undefined)) {
    dialog.info('All space for primary partitions is in use.');
    return hasExtended ? newLogical(disk, dialog) : undefined;
  }
  if (editor.slotCount >= MAX_PARTITIONS) {
    dialog.info('All logical partitions are in use. Adding a primary partition.');
    return newPrimary(disk, dialog, LINUX);
  }
  const counts = `${4 - freeCount - (hasExtended ? 1 : 0)} primary, ${hasExtended ? 1 : 0} extended, ${freeCount} free`;
  const chosen = dialog.askChoice(
    'Partition type',
    [
      { key: 'p', label: `primary (${counts})` },
      hasExtended
        ? { key: 'l', label: 'logical (numbered from 5)' }
        : { key: 'e', label: 'extended (container for logical partitions)' },
    ],
    freeCount === 1 && !hasExtended ? 'e' : 'p',
  );
  if (chosen === 'l') return newLogical(disk, dialog);
  return newPrimary(disk, dialog, chosen === 'e' ? EXTENDED : LINUX);
}

function newPrimary(disk: Disk, dialog: Dialog, type: number): number | undefined {
  const taken = disk
    .editor!.partitions.slice(0, 4)
    .filter(({ present }) => present)
    .map(({ index }) => index);
  const index = chooseFree(dialog, taken, 4);
  if (index === undefined) {
    dialog.info('All primary partitions have been defined already.');
    return undefined;
  }
  if (disk.editor!.partition(index).used) {
    dialog.warn(`Partition ${index + 1} is already defined.  Delete it before re-adding it.`);
    return undefined;
  }
  return place(disk, dialog, index, type);
}

function newLogical(disk: Disk, dialog: Dialog): number | undefined {
  const editor = disk.editor!;
  const index = editor.addSlot();
  dialog.info(`Adding logical partition ${index + 1}`);
  let placed: number | undefined;
  try {
    placed = place(disk, dialog, index, LINUX);
  } finally {
    if (placed === undefined) editor.removeSlot(index);
  }
  return placed;
}

/** Asks where the partition begins and ends, and makes it. */
function place(disk: Disk, dialog: Dialog, index: number, type: number): number | undefined {
  const { layout } = disk;
  const editor = disk.editor!;
  const logical = index >= 4;
  const unit = disk.cylinders ? cylinderSize(layout.geometry) : 1;
  const extended = editor.extendedIndex === undefined ? undefined : editor.partition(editor.extendedIndex);
  // Beside a GPT, whose protective entry starts in sector 1, everything else may, too.
  const first = disk.parent?.gpt === undefined ? layout.firstSector : 1;
  const lowest = logical ? extended!.startSector + layout.firstSector : first;
  const highest = logical
    ? extended!.endSector
    : Math.min(disk.cylinders ? layout.geometry.cylinders * unit - 1 : layout.sectorCount - 1, LAST_SECTOR);
  const space: MbrSpace = { taken: takenRanges(editor, logical), lowest, highest };
  let limit = lastFree(space);
  let start = limit === undefined ? undefined : chooseStart(disk, dialog, space, limit, unit);
  if (limit === undefined || start === undefined) {
    dialog.warn('No free sectors available.');
    return undefined;
  }
  let tableSector = 0;
  if (logical) {
    tableSector = start - layout.firstSector;
    // The first sector of the extended partition holds the first boot record of the chain.
    if (index > 4 && tableSector === extended!.startSector) {
      tableSector++;
      if (layout.firstSector === 1) start++;
    }
  }
  limit = limitOf(space, start, limit);
  if (limit === undefined) {
    dialog.warn('No free sectors available.');
    return undefined;
  }
  let end = limit;
  if (Math.floor(start / unit) !== Math.floor(limit / unit)) {
    end = chooseEnd(disk, dialog, start, limit, unit);
  }
  if (logical) editor.placeTable(index, index === 4 ? extended!.startSector : tableSector);
  editor.setPartition(index, type, start, end);
  const size = humanSize((end - start + 1) * layout.sectorSize, { digits: 1, long: true });
  dialog.info(
    `Created a new partition ${index + 1} of type '${partitionTypeName(type)}' and of size ${size}.`,
  );
  return index;
}

function chooseStart(
  disk: Disk,
  dialog: Dialog,
  space: MbrSpace,
  limit: number,
  unit: number,
): number | undefined {
  const shift = disk.cylinders ? 1 : 0;
  let start = space.lowest;
  let asked = false;
  for (;;) {
    let wanted = start;
    const free = firstFree(space, start);
    if (free === undefined) return undefined;
    start = free;
    const fallback = usualStart(disk.layout, space, start, limit);
    if (start > limit) return start;
    if (start >= wanted + unit && asked) {
      dialog.info(`Sector ${wanted} is already allocated.`);
      wanted = start;
      asked = false;
    }
    if (!asked && start === wanted) {
      const answer = dialog.askNumber({
        prompt: disk.cylinders ? 'First cylinder' : 'First sector',
        low: Math.floor(start / unit) + shift,
        high: Math.floor(limit / unit) + shift,
        fallback: Math.floor(fallback / unit) + shift,
      });
      start = disk.cylinders ? Math.max((answer - 1) * unit, start) : answer;
      asked = true;
    }
    if (start === wanted && asked) return start;
  }
}

function chooseEnd(disk: Disk, dialog: Dialog, start: number, limit: number, unit: number): number {
  const { layout } = disk;
  const shift = disk.cylinders ? 1 : 0;
  const low = Math.floor(start / unit) + shift;
  const high = Math.floor(limit / unit) + shift;
  const what = disk.cylinders ? 'cylinder' : 'sector';
  const answer = dialog.askLastSector({
    prompt: `Last ${what}, +/-${what}s or +/-size{K,M,G,T,P}`,
    low,
    high,
    fallback: high < low ? undefined : high,
    base: low,
    unitSize: unit * layout.sectorSize,
  });
  if (disk.cylinders) return Math.min(answer.sector * unit - 1, limit);
  if (!answer.fromSize || layout.grain === 1 || answer.sector - start < layout.grain) return answer.sector;
  // A size is not meant to the sector: the partition after this one shall begin on the grain.
  return Math.min(alignInRange(layout, answer.sector, start, limit) - 1, limit);
}
