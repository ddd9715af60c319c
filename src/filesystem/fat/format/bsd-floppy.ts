import type { BsdLayoutOptions } from './bsd-plan.ts';

type FloppyLayout = Required<
  Pick<
    BsdLayoutOptions,
    | 'sectorSize'
    | 'sectorsPerCluster'
    | 'reservedSectors'
    | 'fatCount'
    | 'rootEntryCount'
    | 'totalSectors'
    | 'media'
    | 'fatSectors'
    | 'sectorsPerTrack'
    | 'heads'
  >
>;

/** The formats of newfs_msdos -f, by their size in KiB. */
export const BSD_FLOPPIES: ReadonlyMap<string, FloppyLayout> = new Map([
  ['160', floppy(512, 1, 64, 320, 0xfe, 1, 8, 1)],
  ['180', floppy(512, 1, 64, 360, 0xfc, 2, 9, 1)],
  ['320', floppy(512, 2, 112, 640, 0xff, 1, 8, 2)],
  ['360', floppy(512, 2, 112, 720, 0xfd, 2, 9, 2)],
  ['640', floppy(512, 2, 112, 1280, 0xfb, 2, 8, 2)],
  ['720', floppy(512, 2, 112, 1440, 0xf9, 3, 9, 2)],
  ['1200', floppy(512, 1, 224, 2400, 0xf9, 7, 15, 2)],
  ['1232', floppy(1024, 1, 192, 1232, 0xfe, 2, 8, 2)],
  ['1440', floppy(512, 1, 224, 2880, 0xf0, 9, 18, 2)],
  ['2880', floppy(512, 2, 240, 5760, 0xf0, 9, 36, 2)],
]);

function floppy(
  sectorSize: number,
  sectorsPerCluster: number,
  rootEntryCount: number,
  totalSectors: number,
  media: number,
  fatSectors: number,
  sectorsPerTrack: number,
  heads: number,
): FloppyLayout {
  return {
    sectorSize,
    sectorsPerCluster,
    reservedSectors: 1,
    fatCount: 2,
    rootEntryCount,
    totalSectors,
    media,
    fatSectors,
    sectorsPerTrack,
    heads,
  };
}
