import { type DiskLayout, alignInRange } from './disk-layout.ts';
import type { MbrEditor } from './mbr-editor.ts';

/** Where a partition of an MBR may begin and end, found as util-linux finds it. Sectors count from the start of the disk. */

/** Where a partition may be put. */
export interface MbrSpace {
  readonly lowest: number;
  readonly highest: number;
  /** What other partitions take, in the order of the table. */
  readonly taken: readonly Taken[];
}

export interface Taken {
  readonly first: number;
  readonly last: number;
  /** Where the next may begin. */
  readonly next: number;
}

/** The first free sector on the grain from `start` on, or `start` itself where there is none. */
export function usualStart(layout: DiskLayout, space: MbrSpace, start: number, limit: number): number {
  let at = start;
  for (;;) {
    const aligned = alignInRange(layout, at, at, limit);
    at = firstFree(space, aligned) ?? at;
    if (at <= aligned || at >= limit) break;
  }
  return at >= limit ? start : at;
}

/**
 * What partitions take from a new one: between logical ones lies the gap of a boot record, on both sides. Logical partitions take only from
 * each other, since they lie in the extended one.
 */
export function takenRanges(editor: MbrEditor, logical: boolean): Taken[] {
  const gap = editor.layout.firstSector;
  return editor.partitions
    .slice(logical ? 4 : 0)
    .filter(({ present }) => present)
    .map(({ index, startSector, endSector }) => ({
      first: index >= 4 ? startSector - gap : startSector,
      last: endSector,
      next: endSector + 1 + (logical ? gap : 0),
    }));
}

/** The first sector from `start` on that nobody has; undefined where there is none. */
export function firstFree({ taken, highest }: MbrSpace, start: number): number | undefined {
  let at = start;
  for (let moved = true; moved;) {
    moved = false;
    for (const { first, last, next } of taken) {
      if (at < first || at > last) continue;
      at = next;
      moved = true;
      if (at > highest) return undefined;
    }
  }
  return at;
}

/** The last sector that nobody has; undefined where there is none. */
export function lastFree({ taken, lowest, highest }: MbrSpace): number | undefined {
  let at = highest;
  for (let moved = true; moved;) {
    moved = false;
    for (const { first, last } of taken) {
      if (at < first || at > last) continue;
      at = first - 1;
      moved = true;
      if (at < lowest) return undefined;
    }
  }
  return at;
}

/**
 * The last sector before something else begins; undefined where that is before `start`. util-linux 2.38 overlooks what lies behind a gap of a
 * single sector, and lets partitions overlap.
 */
export function limitOf({ taken }: MbrSpace, start: number, limit: number): number | undefined {
  let end = limit;
  for (const { first, last } of taken) {
    if ((first >= start && first <= end) || (last >= start && last <= end)) end = first - 1;
    if (end < start) return undefined;
  }
  return end;
}
