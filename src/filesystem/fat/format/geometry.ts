/** Heads and sectors per track, as the boot sector tells them. */
export interface DiskGeometry {
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

/** What is customary on a medium of a given size, where the caller does not say otherwise. */
export interface MediumDefaults {
  readonly geometry: DiskGeometry;
  readonly media: number;
  readonly rootEntryCount: number;
  readonly sectorsPerCluster: number;
}

/** Kibibytes to floppy: those sizes that mkfs.fat of dosfstools 4.2 knows. */
const FLOPPIES: ReadonlyMap<number, MediumDefaults> = new Map([
  [360, floppy(9, 0xfd, 112, 2)],
  [720, floppy(9, 0xf9, 112, 2)],
  [1200, floppy(15, 0xf9, 224, 1)],
  [1440, floppy(18, 0xf0, 224, 1)],
  [2880, floppy(36, 0xf0, 224, 2)],
]);

function floppy(
  sectorsPerTrack: number,
  media: number,
  rootEntryCount: number,
  sectorsPerCluster: number,
): MediumDefaults {
  return { geometry: { heads: 2, sectorsPerTrack }, media, rootEntryCount, sectorsPerCluster };
}

/**
 * SD Specifications part 2, File System Specification, appendix C (up to 256 MiB) and LBA-assist translation above:
 * the largest number of sectors for which a geometry is used.
 */
const DISK_GEOMETRIES: readonly (readonly [sectors: number, heads: number, sectorsPerTrack: number])[] = [
  [4096, 2, 16],
  [32_768, 2, 32],
  [65_536, 4, 32],
  [262_144, 8, 32],
  [524_288, 16, 32],
  [1_032_192, 16, 63],
  [2_064_384, 32, 63],
  [4_128_768, 64, 63],
  [8_257_536, 128, 63],
  [Number.POSITIVE_INFINITY, 255, 63],
];

/** The floppy of exactly that size; undefined when there is none. */
export function floppyOfSize(mediumSize: number): MediumDefaults | undefined {
  return FLOPPIES.get(Math.floor(mediumSize / 1024));
}

/** `sectorCount` in logical sectors, of whatever size: mkfs.fat looks at the count alone. */
export function diskDefaults(sectorCount: number): MediumDefaults {
  const [, heads, sectorsPerTrack] = DISK_GEOMETRIES.find(([limit]) => sectorCount <= limit)!;
  return { geometry: { heads, sectorsPerTrack }, media: 0xf8, rootEntryCount: 512, sectorsPerCluster: 4 };
}

/** Sectors per cluster of FAT32, again by the bare number of sectors: 512-byte clusters up to 260 MiB, then 4 KiB to 32 KiB. */
export function fat32SectorsPerCluster(sectorCount: number): number {
  if (sectorCount <= 532_480) return 1;
  if (sectorCount <= 16_777_216) return 8;
  if (sectorCount <= 33_554_432) return 16;
  return sectorCount <= 67_108_864 ? 32 : 64;
}
