import type { Geometry } from '../bytes/chs.ts';

/** Where partitions may begin and end on a disk, as util-linux lays them out. */
export interface DiskLayout {
  /** Bytes. */
  readonly sectorSize: number;
  readonly sectorCount: number;
  readonly geometry: Geometry;
  /** DOS mode: partitions begin on the second track and are not aligned. */
  readonly dosCompatible: boolean;
  /** The first sector that a partition may take, and the gap before each logical partition. */
  readonly firstSector: number;
  /** Partitions begin at multiples of this many sectors. */
  readonly grain: number;
}

export interface DiskLayoutOptions {
  /** Bytes of the device. */
  readonly size: number;
  readonly sectorSize: number;
  readonly geometry: Geometry;
  readonly dosCompatible: boolean;
  /** Bytes: what partitions are aligned to, where it is not the usual. */
  readonly grain?: number;
}

/** Bytes: what partitions are aligned to outside DOS mode, whatever the disk's blocks are. */
const ALIGNMENT = 1 << 20;

export function diskLayout(options: DiskLayoutOptions): DiskLayout {
  const { sectorSize, geometry, dosCompatible } = options;
  const sectorCount = Math.floor(options.size / sectorSize);
  const aligned = ALIGNMENT / sectorSize;
  // A disk of four grains or less has no room to give away.
  const small = sectorCount <= 4 * aligned;
  return {
    sectorSize,
    sectorCount,
    geometry,
    dosCompatible,
    firstSector: dosCompatible ? geometry.sectorsPerTrack : small ? 1 : aligned,
    grain: dosCompatible ? 1 : usualGrain(options.grain, sectorSize, small),
  };
}

function usualGrain(bytes: number | undefined, sectorSize: number, small: boolean): number {
  if (bytes !== undefined) return Math.max(1, Math.floor(bytes / sectorSize));
  return small ? 1 : ALIGNMENT / sectorSize;
}

export function alignUp(layout: DiskLayout, sector: number): number {
  if (sector < layout.firstSector && sector % layout.grain !== 0) return layout.firstSector;
  return Math.ceil(sector / layout.grain) * layout.grain;
}

/** The multiple of the grain that is nearest to `sector` within the multiples in `low` to `high`. */
export function alignInRange(layout: DiskLayout, sector: number, low: number, high: number): number {
  const { grain } = layout;
  const lowest = alignUp(layout, low);
  // Too narrow to choose in.
  if (high - lowest < grain) return sector;
  const aligned = (at: number, up: number): number =>
    at < layout.firstSector && at % grain !== 0 ? layout.firstSector : Math.floor((at + up) / grain) * grain;
  const highest = aligned(high, 0);
  const nearest = aligned(sector, Math.floor(grain / 2));
  if (nearest < lowest) return lowest;
  return nearest > highest ? highest : nearest;
}
