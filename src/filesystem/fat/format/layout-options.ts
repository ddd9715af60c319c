import type { DiskGeometry } from './geometry.ts';
import type { FatBits, FatVariant } from './layout.ts';

/** What may be asked for; what is not asked for is chosen as mkfs.fat of dosfstools 4.2 chooses it. */
export interface FatLayoutOptions {
  readonly variant?: FatVariant;
  readonly fatBits?: FatBits;
  /** Bytes: a power of two, 512 to 32768. */
  readonly sectorSize?: number;
  /** A power of two, 1 to 128. */
  readonly sectorsPerCluster?: number;
  /** 1 to 4. Default 2. */
  readonly fatCount?: number;
  /** At least so many; alignment may round up. Not with FAT32. */
  readonly rootEntryCount?: number;
  /** At least so many; alignment may round up. */
  readonly reservedSectors?: number;
  readonly hiddenSectors?: number;
  readonly media?: number;
  readonly driveNumber?: number;
  readonly volumeId: number;
  readonly geometry?: DiskGeometry;
  /** Starts FATs, root directory and data on multiples of a cluster. Default true, off on tiny file systems. */
  readonly align?: boolean;
  /** FAT32 only; 0 for none. */
  readonly backupBootSector?: number;
  /** Puts a partition table with one partition, the whole disk, into the boot sector. Default false. */
  readonly mbr?: boolean;
  /** Shown when somebody boots from it, as it is to stand in the sector (`prepareMessage` makes it so). */
  readonly bootMessage?: Uint8Array;
  /** Bytes of the whole medium, by which floppies are recognised. Default: the size that is formatted. */
  readonly mediumSize?: number;
}

/** What no caller should ask for; command lines are checked where they are read. */
export function checkLayoutOptions(size: number, options: FatLayoutOptions): void {
  checkNumber('size', size, 0, Number.MAX_SAFE_INTEGER);
  checkPowerOfTwo('sectorSize', options.sectorSize, 512, 32_768);
  checkPowerOfTwo('sectorsPerCluster', options.sectorsPerCluster, 1, 128);
  checkNumber('fatCount', options.fatCount, 1, 255);
  checkNumber('rootEntryCount', options.rootEntryCount, 1, 0xffff);
  checkNumber('reservedSectors', options.reservedSectors, 1, 0xffff);
  checkNumber('hiddenSectors', options.hiddenSectors, 0, 0xffff_ffff);
  checkNumber('media', options.media, 0, 0xff);
  checkNumber('driveNumber', options.driveNumber, 0, 0xff);
  checkNumber('volumeId', options.volumeId, 0, 0xffff_ffff);
  checkNumber('backupBootSector', options.backupBootSector, 0, 0xffff);
  checkNumber('geometry.heads', options.geometry?.heads, 1, 0xffff);
  checkNumber('geometry.sectorsPerTrack', options.geometry?.sectorsPerTrack, 1, 0xffff);
}

function checkNumber(name: string, value: number | undefined, low: number, high: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= low && value <= high)) return;
  throw new RangeError(`${name} is ${value}, expected a whole number from ${low} to ${high}`);
}

function checkPowerOfTwo(name: string, value: number | undefined, low: number, high: number): void {
  checkNumber(name, value, low, high);
  if (value !== undefined && (value & (value - 1)) !== 0) {
    throw new RangeError(`${name} is ${value}, expected a power of two`);
  }
}
