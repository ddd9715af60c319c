import { type DiskLayout, alignUp } from './disk-layout.ts';
import type { MbrEditor } from './mbr-editor.ts';

/** A run of sectors that no partition has, both ends included. */
export interface FreeRange {
  readonly startSector: number;
  readonly endSector: number;
  readonly sectorCount: number;
}

/** What takes room of a disk, in whatever kind of table it is. Both ends are included. */
export interface Occupied {
  readonly startSector: number;
  readonly endSector: number;
  /** It holds others: the extended partition. */
  readonly container?: boolean;
  /** It lies in the container. */
  readonly nested?: boolean;
}

/**
 * The free ranges that util-linux shows, in the order of the disk, between the layout's first sector and `lastSector`: they begin on the grain
 * where that leaves enough, and smaller ones are passed over, except before the first partition. In a container each begins past the gap that
 * the next extended boot record takes.
 */
export function freeRangesBetween(
  occupied: readonly Occupied[],
  layout: DiskLayout,
  lastSector: number,
): FreeRange[] {
  const { firstSector, grain } = layout;
  const ranges: FreeRange[] = [];
  const sorted = [...occupied].sort((a, b) => a.startSector - b.startSector);
  let last = firstSector;
  let isFirst = true;
  for (const { startSector, endSector, container = false, nested = false } of sorted) {
    if (nested) continue;
    if (last + grain < startSector || (isFirst && alignUp(layout, last) < startSector)) {
      pushRange(layout, ranges, last + (isFirst ? 0 : 1), startSector - 1);
    }
    if (container) pushContained(layout, ranges, sorted, { startSector, endSector });
    last = Math.max(last, endSector);
    isFirst = false;
  }
  if (last + grain < lastSector - 1) {
    pushRange(layout, ranges, last + (last > firstSector || !isFirst ? 1 : 0), lastSector);
  }
  return ranges.sort((a, b) => a.startSector - b.startSector);
}

function pushContained(
  layout: DiskLayout,
  ranges: FreeRange[],
  sorted: readonly Occupied[],
  container: Occupied,
): void {
  const { firstSector, grain } = layout;
  let next = container.startSector + firstSector;
  for (const { startSector, endSector, nested = false } of sorted) {
    if (!nested) continue;
    // util-linux counts the first sector of the partition that follows as free, too.
    if (startSector - next > grain) pushRange(layout, ranges, next, startSector);
    next = endSector + firstSector;
  }
  if (container.endSector - next > grain) pushRange(layout, ranges, next, container.endSector);
}

function pushRange(layout: DiskLayout, ranges: FreeRange[], first: number, endSector: number): void {
  if (first === endSector) return;
  const aligned = alignUp(layout, first);
  const startSector = endSector - aligned < layout.grain ? first : aligned;
  if (endSector < startSector) return;
  ranges.push({ startSector, endSector, sectorCount: endSector - startSector + 1 });
}

/** The free ranges of an MBR. `lastSector`: where not the end of the disk ends the free space. */
export function freeRanges(editor: MbrEditor, lastSector?: number): FreeRange[] {
  const { layout } = editor;
  const occupied = editor.partitions
    .filter(({ present }) => present)
    .map(({ startSector, endSector, index }) => ({
      startSector,
      endSector,
      container: index === editor.extendedIndex,
      nested: index >= 4,
    }));
  return freeRangesBetween(occupied, layout, lastSector ?? layout.sectorCount - 1);
}

/**
 * Whether there is room for another primary or extended partition. As in util-linux the partitions are looked at in the
 * order of the table, so that one out of order may be offered room that it then does not get. `besideGpt`: every sector will do.
 */
export function hasPrimarySpace(editor: MbrEditor, besideGpt = false): boolean {
  const { layout } = editor;
  const grain = besideGpt ? 1 : layout.grain;
  let next = besideGpt ? 1 : layout.firstSector;
  for (const partition of editor.partitions.slice(0, 4)) {
    if (!partition.used) continue;
    if (partition.startSector - next >= grain) return true;
    next = partition.endSector + 1;
  }
  return layout.sectorCount - next >= grain;
}
