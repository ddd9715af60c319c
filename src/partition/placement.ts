import { parseSize } from '../bytes/size.ts';

/** What the starts of partitions are multiples of: a number of bytes, a size as people write it, or the cylinders of the disk. */
export type Alignment = 'cylinder' | number | (string & {});

/** An alignment in sectors. */
export interface Grid {
  /** Partitions begin at multiples of this. */
  readonly grain: number;
  /** Sectors from an extended boot record to its partition, and from sector 0 to the first one. */
  readonly lead: number;
  /** Partitions end where the next multiple begins. */
  readonly alignsEnds: boolean;
}

/** A run of sectors, both ends included. */
export interface Gap {
  readonly first: number;
  readonly last: number;
}

export interface PlaceRequest {
  readonly grid: Grid;
  /** Sectors before the partition that its boot record needs: 1 for a logical one. */
  readonly records: 0 | 1;
  /** Where the partition is to begin; where there is room when absent. */
  readonly start?: number;
  /** Sectors; as many as there are when absent. */
  readonly count?: number;
}

export interface Place {
  /** Where its boot record goes, for a logical one. */
  readonly record: number;
  readonly first: number;
  readonly last: number;
}

export interface GridOptions {
  readonly sectorSize: number;
  readonly sectorCount: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

/** Bytes: what everybody aligns to since disks have sectors, stripes and erase blocks of their own. */
const USUAL = 1 << 20;

/** RangeError for an alignment that is none. */
export function gridOf(alignment: Alignment | undefined, options: GridOptions): Grid {
  const { sectorSize, sectorCount, heads, sectorsPerTrack } = options;
  if (alignment === 'cylinder') {
    return { grain: heads * sectorsPerTrack, lead: sectorsPerTrack, alignsEnds: true };
  }
  // As in fdisk: a disk of four grains or less has no room to give away.
  if (alignment === undefined && sectorCount * sectorSize <= 4 * USUAL) {
    return { grain: 1, lead: 1, alignsEnds: false };
  }
  const bytes = typeof alignment === 'string' ? parseSize(alignment) : (alignment ?? USUAL);
  if (bytes === undefined || !Number.isSafeInteger(bytes) || bytes < sectorSize || bytes % sectorSize !== 0) {
    throw new RangeError(
      `${String(alignment)} is no alignment: expected "cylinder" or a multiple of ${sectorSize} bytes`,
    );
  }
  const grain = bytes / sectorSize;
  return { grain, lead: grain, alignsEnds: false };
}

/**
 * Where a partition fits into the gaps: where it was asked to begin, else in the first gap that is large enough, and in the largest one when it may
 * have all. Undefined where it fits nowhere.
 */
export function placeIn(gaps: readonly Gap[], request: PlaceRequest): Place | undefined {
  const places = gaps.flatMap((gap) => placeInGap(gap, request) ?? []);
  if (request.count !== undefined || request.start !== undefined) return places[0];
  const sizeOf = ({ first, last }: Place): number => last - first;
  return places.reduce<Place | undefined>(
    (best, each) => (best === undefined || sizeOf(each) > sizeOf(best) ? each : best),
    undefined,
  );
}

function placeInGap(gap: Gap, { grid, records, start, count }: PlaceRequest): Place | undefined {
  const first = start ?? alignedStart(gap, grid, records);
  if (first < gap.first + records || first > gap.last) return undefined;
  const last = lastOf(gap.last, first, grid, count);
  if (last === undefined) return undefined;
  return { record: Math.max(gap.first, first - grid.lead), first, last };
}

function alignedStart(gap: Gap, { grain, lead, alignsEnds }: Grid, records: number): number {
  if (!alignsEnds) return roundUp(gap.first + records, grain);
  // By cylinders the first track belongs to the boot record, the whole of it.
  if (records > 0) return roundUp(gap.first, grain) + lead;
  return gap.first <= lead ? lead : roundUp(gap.first, grain);
}

/** The last sector of a partition that begins at `first` and may reach to `limit`; undefined where it does not fit. */
export function lastOf(
  limit: number,
  first: number,
  { grain, alignsEnds }: Grid,
  count: number | undefined,
): number | undefined {
  const wanted = count === undefined ? limit : first + count - 1;
  if (wanted > limit || wanted < first) return undefined;
  if (!alignsEnds) return wanted;
  const up = roundUp(wanted + 1, grain) - 1;
  if (up <= limit) return up;
  const down = Math.floor((limit + 1) / grain) * grain - 1;
  if (count === undefined && down >= first) return down;
  return wanted;
}

/** What is left of `whole` without the ranges. */
export function gapsBetween(whole: Gap, taken: readonly Gap[]): Gap[] {
  const gaps: Gap[] = [];
  let next = whole.first;
  for (const { first, last } of [...taken].sort((a, b) => a.first - b.first)) {
    if (first > next) gaps.push({ first: next, last: Math.min(first - 1, whole.last) });
    next = Math.max(next, last + 1);
  }
  if (next <= whole.last) gaps.push({ first: next, last: whole.last });
  return gaps.filter(({ first, last }) => first <= last && first <= whole.last);
}

function roundUp(sector: number, grain: number): number {
  return Math.ceil(sector / grain) * grain;
}
