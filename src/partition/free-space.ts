import { type DiskLayout, alignUp } from './disk-layout.ts';
import type { MbrEditor } from './mbr-editor.ts';

/** A run of sectors that no partition has, both ends included. */
export interface FreeRange {
  readonly startSector: number;
  readonly endSector: number;
  readonly sectorCount: number;
}

/**
 * The free ranges that util-linux shows, in the order of the disk: they begin on the grain where that leaves enough, and
 * hold one grain at least, at the end of the disk one sector more. Inside the extended partition each begins past the
 * gap that the next extended boot record takes. `lastSector`: where not the end of the disk ends the free space.
 */
export function freeRanges(editor: MbrEditor, lastSector?: number): FreeRange[] {
  const { layout } = editor;
  const ranges: FreeRange[] = [];
  const used = editor.partitions.filter((partition) => partition.used);
  const primary = used.filter(({ index }) => index < 4).sort((a, b) => a.startSector - b.startSector);
  let next = layout.firstSector;
  for (const { startSector, endSector } of primary) {
    if (startSector - next >= layout.grain) ranges.push(range(layout, next, startSector - 1));
    next = Math.max(next, endSector + 1);
  }
  const last = lastSector ?? layout.sectorCount - 1;
  if (last - next >= layout.grain) ranges.push(range(layout, next, last));

  const extended = primary.find((partition) => partition.extended);
  if (extended !== undefined) {
    const logical = used.filter(({ index }) => index >= 4).sort((a, b) => a.startSector - b.startSector);
    next = extended.startSector + layout.firstSector;
    for (const { startSector, endSector } of logical) {
      // util-linux counts the first sector of the partition that follows as free, too.
      if (startSector - next >= layout.grain) ranges.push(range(layout, next, startSector));
      next = endSector + 1 + layout.firstSector;
    }
    // Behind the last one it counts one sector less.
    if (logical.length > 0) next--;
    if (extended.endSector - next >= layout.grain) ranges.push(range(layout, next, extended.endSector));
  }
  return ranges.sort((a, b) => a.startSector - b.startSector);
}

function range(layout: DiskLayout, first: number, endSector: number): FreeRange {
  const aligned = alignUp(layout, first);
  const startSector = endSector - aligned < layout.grain ? first : aligned;
  return { startSector, endSector, sectorCount: endSector - startSector + 1 };
}

/**
 * Whether there is room for another primary or extended partition. As in util-linux the partitions are looked at in the
 * order of the table, so that one out of order may be offered room that it then does not get.
 */
export function hasPrimarySpace(editor: MbrEditor): boolean {
  const { layout } = editor;
  let next = layout.firstSector;
  for (const partition of editor.partitions.slice(0, 4)) {
    if (!partition.used) continue;
    if (partition.startSector - next >= layout.grain) return true;
    next = partition.endSector + 1;
  }
  return layout.sectorCount - next >= layout.grain;
}
