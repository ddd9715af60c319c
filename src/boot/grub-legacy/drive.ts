import { type BlockDevice, readBytes } from '../../device/block-device.ts';
import { GrubError } from './grub-error.ts';
import { isHardDisk } from './device-name.ts';

/** GRUB counts in sectors of this many bytes, whatever the disk's are. */
export const SECTOR_SIZE = 512;

/** What GRUB's shell believes of a drive. It asks no file for its geometry: every disk image has the same one. */
export interface DriveGeometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
  readonly totalSectors: number;
}

/** A BIOS drive and the image that stands for it. */
export interface Drive {
  readonly number: number;
  /** As the device map names it. */
  readonly name: string;
  readonly device: BlockDevice;
  geometry: DriveGeometry;
}

export function guessGeometry(drive: number, size: number): DriveGeometry {
  // GRUB counts in 32 bits: of 3 TiB it sees the first TiB.
  const totalSectors = Math.floor(size / SECTOR_SIZE) % 0x1_0000_0000;
  return isHardDisk(drive)
    ? { cylinders: 620, heads: 128, sectorsPerTrack: 63, totalSectors }
    : { cylinders: 80, heads: 2, sectorsPerTrack: 18, totalSectors };
}

/** Error 18 beyond the end that the geometry gives, 25 beyond the end of the image. */
export function readSectors(drive: Drive, sector: number, count: number): Uint8Array {
  if (sector + count > drive.geometry.totalSectors) throw new GrubError(18);
  if ((sector + count) * SECTOR_SIZE > drive.device.size) throw new GrubError(25);
  return readBytes(drive.device, sector * SECTOR_SIZE, count * SECTOR_SIZE);
}

/** One stretch of sectors to be written. */
export interface SectorWrite {
  readonly drive: Drive;
  readonly sector: number;
  readonly content: Uint8Array;
}

/** Checks every write before the first is made, so that a drive that cannot be written is left as it was. Error 29. */
export function writeSectors(writes: readonly SectorWrite[]): void {
  for (const { drive, sector, content } of writes) {
    if (drive.device.readOnly || sector * SECTOR_SIZE + content.length > drive.device.size) {
      throw new GrubError(29);
    }
  }
  for (const { drive, sector, content } of writes) drive.device.write(sector * SECTOR_SIZE, content);
  for (const drive of new Set(writes.map((write) => write.drive))) drive.device.flush();
}
