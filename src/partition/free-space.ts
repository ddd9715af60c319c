import { type DiskLayout, alignUp } from './disk-layout.ts';
import type { MbrEditor } from './mbr-editor.ts';

/** A run of sectors that no partition has, both ends included. */
export interface FreeRange {
  readonly startSector: number;
  readonly endSector: number;
  readonly sectorCount: number;
  /** Inside the extended partition. */
  readonly logical: boolean;
}

/**
 * The free ranges that are worth a partition, in the order of the disk: they begin on the grain where they can, and hold one grain
 * at least. Inside the extended partition each begins past the gap that the next extended boot record takes.
 */
export function freeRanges(editor: MbrEditor): FreeRange[] {
  const { layout } = editor;
  const ranges: FreeRange[] = [];
  const used = editor.partitions.filter((partition) => partition.used);
  const primary = used.filter(({ index }) => index < 4).sort((a, b) => a.startSector - b.startSector);
  let next = layout.firstSector;
  for (const partition of primary) {
    pushRange(layout, ranges, next, partition.startSector - 1, false);
    next = Math.max(next, partition.endSector + 1);
  }
  pushRange(layout, ranges, next, layout.sectorCount - 1, false);

  const extended = primary.find((partition) => partition.extended);
  if (extended !== undefined) {
    const logical = used.filter(({ index }) => index >= 4).sort((a, b) => a.startSector - b.startSector);
    next = extended.startSector;
    for (const partition of logical) {
      // util-linux counts the first sector of the partition that follows as free, too.
      pushRange(layout, ranges, next + layout.firstSector, partition.startSector, true);
      next = partition.endSector + 1;
    }
    pushRange(layout, ranges, next + layout.firstSector, extended.endSector, true);
  }
  return ranges.sort((a, b) => a.startSector - b.startSector);
}

function pushRange(
  layout: DiskLayout,
  ranges: FreeRange[],
  first: number,
  endSector: number,
  logical: boolean,
): void {
  if (endSector - first + 1 < layout.grain || endSector < first) return;
  // The start moves to the grain where that leaves enough.
  const aligned = alignUp(layout, first);
  const startSector = endSector - aligned < layout.grain ? first : aligned;
  ranges.push({ startSector, endSector, sectorCount: endSector - startSector + 1, logical });
}
