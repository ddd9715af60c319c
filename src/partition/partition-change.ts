import { FsError } from '../errors.ts';
import type { PartitionTemplate, Speaker } from './partition-template.ts';

/** A run of sectors, both ends included. */
interface Range {
  readonly startSector: number;
  readonly endSector: number;
}

/** What surrounds the partition that changes. */
export interface Surroundings {
  /** From 0. */
  readonly index: number;
  readonly current: Range;
  /** The free sectors that count for it, to the sector. */
  readonly free: readonly Range[];
  /** What other partitions take, their boot records with them. */
  readonly others: readonly Range[];
  /** Before the first partition sectors from `firstSector` on count as free, `grain` of them. */
  readonly firstSector: number;
  readonly grain: number;
}

/**
 * Where a partition that is there comes to lie when a template moves it or changes its size, by util-linux' rules: it stays within its place and the free
 * sectors around it. ERANGE, after the speaker has been told, where it would not.
 */
export function changedRange(
  template: PartitionTemplate,
  surroundings: Surroundings,
  speaker: Speaker,
): { readonly startSector: number; readonly sectorCount: number } {
  const startSector = changedStart(template, surroundings);
  const room = startSector === undefined ? undefined : roomFrom(surroundings, startSector);
  const sectorCount = room === undefined ? undefined : changedSize(template, surroundings, room);
  // util-linux leaves an entry without sectors.
  if (startSector === undefined || sectorCount === undefined || sectorCount > room! || sectorCount === 0) {
    speaker.warn(`Failed to resize partition #${surroundings.index + 1}.`);
    throw new FsError('ERANGE');
  }
  return { startSector, sectorCount };
}

function changedStart(
  { startSector: by, startMove }: PartitionTemplate,
  { current, free, firstSector, grain }: Surroundings,
): number | undefined {
  let start = current.startSector;
  if (by !== undefined) {
    if (startMove === 'down') start -= by;
    else if (startMove === 'up') start += by;
    else start = by;
  } else if (startMove === 'down') {
    const lowest = before({ current, free });
    if (lowest === undefined) return undefined;
    start = lowest;
  } else return start;
  const within = [current, ...free].some((range) => start >= range.startSector && start <= range.endSector);
  return within || (start >= firstSector && start < firstSector + grain) ? start : undefined;
}

/** The first sector of the free ones right before the partition. */
function before({ current, free }: Pick<Surroundings, 'current' | 'free'>): number | undefined {
  return free.find(({ endSector }) => endSector === current.startSector - 1)?.startSector;
}

/** How many sectors there are from `start` to the end of the last free ones, or the partition's own, before another partition begins. */
function roomFrom({ current, free, others }: Surroundings, start: number): number {
  const limit = Math.min(
    ...others.filter(({ startSector }) => startSector > start).map(({ startSector }) => startSector),
  );
  const ends = [current, ...free]
    .filter(({ startSector, endSector }) => endSector >= start && startSector < limit)
    .map(({ endSector }) => endSector + 1);
  return Math.max(0, Math.min(limit, Math.max(start, ...ends)) - start);
}

function changedSize(
  { sectorCount: by, resize }: PartitionTemplate,
  { current }: Surroundings,
  room: number,
): number | undefined {
  const size = current.endSector - current.startSector + 1;
  if (by === undefined) return resize === 'enlarge' ? room : size;
  if (resize === 'reduce') return by > size ? undefined : size - by;
  return resize === 'enlarge' ? size + by : by;
}
