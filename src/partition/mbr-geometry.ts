import { MAX_CYLINDER, type Chs, type Geometry } from '../bytes/chs.ts';
import type { Entry } from './mbr-entry.ts';

/** What a disk without any hint is taken for. */
export const DEFAULT_HEADS = 255;
export const DEFAULT_SECTORS_PER_TRACK = 63;

/**
 * Heads and sectors a track that the entries of a partition table were made with: each entry gives two addresses both as C/H/S
 * and as a sector number, which are two linear equations for the two unknowns. The first entry that has a plausible
 * solution decides; undefined when none has.
 */
export function geometryOfEntries(
  entries: readonly Entry[],
): Pick<Geometry, 'heads' | 'sectorsPerTrack'> | undefined {
  for (const entry of entries) {
    if (entry.type === 0 || entry.sectorCount === 0) continue;
    const solution = solve(
      entry.firstChs,
      entry.startSector,
      entry.lastChs,
      entry.startSector + entry.sectorCount - 1,
    );
    if (solution !== undefined) return solution;
  }
  return undefined;
}

/** `sector = (cylinder * heads + head) * sectorsPerTrack + chs.sector - 1`, twice. */
function solve(
  first: Chs,
  firstSector: number,
  last: Chs,
  lastSector: number,
): Pick<Geometry, 'heads' | 'sectorsPerTrack'> | undefined {
  if (first.cylinder >= MAX_CYLINDER || last.cylinder >= MAX_CYLINDER) return undefined;
  const a = firstSector - (first.sector - 1);
  const b = lastSector - (last.sector - 1);
  const determinant = first.cylinder * last.head - last.cylinder * first.head;
  if (determinant === 0) return undefined;
  const sectorsPerTrack = (first.cylinder * b - last.cylinder * a) / determinant;
  if (!Number.isInteger(sectorsPerTrack) || sectorsPerTrack < 1 || sectorsPerTrack > 63) return undefined;
  const cylinderSize =
    first.cylinder > 0
      ? (a - first.head * sectorsPerTrack) / first.cylinder
      : (b - last.head * sectorsPerTrack) / last.cylinder;
  const heads = cylinderSize / sectorsPerTrack;
  if (!Number.isInteger(heads) || heads < 1 || heads > 255) return undefined;
  return { heads, sectorsPerTrack };
}
