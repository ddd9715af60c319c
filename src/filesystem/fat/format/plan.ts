import {
  ATARI_FLOPPY_SECTORS,
  ATARI_SECTORS_PER_CLUSTER,
  checkAtariLimits,
  chooseAtariSectorSize,
} from './atari.ts';
import { messageCapacity } from './boot-message.ts';
import { chooseClusterSize } from './cluster-size.ts';
import { formatError, type NoteTaker } from './format-note.ts';
import { type DiskGeometry, diskDefaults, fat32SectorsPerCluster, floppyOfSize } from './geometry.ts';
import {
  DIRECTORY_ENTRY_SIZE,
  dataStartSector,
  type FatBits,
  type FatLayout,
  type FatVariant,
} from './layout.ts';

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

const LARGE = 512 * 1024 * 1024;
/** No alignment up to here: it would cost too much of a small file system. */
const TINY_SECTORS = 8192;
const FS_INFO_SECTOR = 1;
const NO_SECTOR = 0xffff;
const MAX_SECTORS = 0xffff_ffff;
const SUGGESTED_FAT32_CLUSTERS = 65_525;
/** Data of less than 32 KiB is not worth a file system. */
const MIN_DATA_BLOCKS = 32;
const BLOCK_SIZE = 1024;

/** Undefined: FAT12 or FAT16, as the clusters fit. */
export function chooseFatBits(
  mediumSize: number,
  options: Pick<FatLayoutOptions, 'fatBits' | 'rootEntryCount'>,
  note: NoteTaker,
): FatBits | undefined {
  let { fatBits } = options;
  if (fatBits === undefined && mediumSize >= LARGE) {
    fatBits = 32;
    note({ kind: 'fat32-selected' });
  }
  if (fatBits === 32 && options.rootEntryCount !== undefined) note({ kind: 'root-entries-ignored' });
  return fatBits;
}

/** `chosenBits` is what `chooseFatBits` gave. */
export function planFormat(
  size: number,
  options: FatLayoutOptions,
  chosenBits: FatBits | undefined,
  note: NoteTaker,
): FatLayout {
  checkOptions(size, options);
  const atari = options.variant === 'atari';
  let sectorSize = options.sectorSize ?? 512;
  const mediumSize = options.mediumSize ?? size;
  let totalSectors = Math.floor(size / sectorSize);
  const defaults = floppyOfSize(mediumSize) ?? diskDefaults(Math.floor(mediumSize / sectorSize));
  const { heads, sectorsPerTrack } = options.geometry ?? defaults.geometry;
  const media = options.media ?? defaults.media;

  let fatBits = chosenBits;
  const messageLength = atari ? 0 : (options.bootMessage?.length ?? 0);
  if (fatBits === 32 && messageLength > messageCapacity(32, false)) note({ kind: 'boot-message-truncated' });
  const second = fatBits === 32 ? 0x58 : 0x3c;
  note(atari ? { kind: 'boot-jump', first: 0x60, second: 0x1c } : { kind: 'boot-jump', first: 0xeb, second });
  let reservedSectors = options.reservedSectors ?? (fatBits === 32 ? 32 : 1);
  if (fatBits === 32 && reservedSectors < 2) {
    throw formatError('On FAT32 at least 2 reserved sectors are needed.');
  }
  note({ kind: 'reserved-sectors', count: reservedSectors });
  const hiddenSectors = options.hiddenSectors ?? 0;
  if (atari && fatBits !== 32 && hiddenSectors > 0xffff) {
    throw formatError("#hidden doesn't fit in 16bit field of Atari format\n");
  }

  if (totalSectors > MAX_SECTORS) {
    totalSectors = MAX_SECTORS;
    note({ kind: 'too-large' });
  }
  let align = options.align ?? true;
  // MS-DOS and mtools want whole tracks.
  if (align) totalSectors -= totalSectors % sectorsPerTrack;
  if (atari) align = false;
  else if (align && totalSectors <= TINY_SECTORS) {
    align = false;
    note({ kind: 'alignment-disabled' });
  }

  const fatCount = options.fatCount ?? 2;
  let rootEntryCount = fatBits === 32 ? 0 : (options.rootEntryCount ?? defaults.rootEntryCount);
  let sectorsPerCluster = options.sectorsPerCluster;
  let clusterCount: number;
  let fatSectors: number;
  if (atari) {
    sectorsPerCluster ??= ATARI_SECTORS_PER_CLUSTER;
    fatBits ??= ATARI_FLOPPY_SECTORS.has(totalSectors) ? 12 : 16;
    note({ kind: 'fat-bits', fatBits });
    const chosen = chooseAtariSectorSize(
      {
        fatBits,
        sectorSize,
        sectorSizeGiven: options.sectorSize !== undefined,
        totalSectors,
        reservedSectors,
        rootEntryCount,
        fatCount,
        sectorsPerCluster,
      },
      note,
    );
    ({ sectorSize, totalSectors, fatSectors, clusterCount } = chosen);
  } else {
    const chosen = chooseClusterSize(
      {
        fatBits,
        fatBitsGiven: options.fatBits !== undefined,
        sectorSize,
        totalSectors,
        reservedSectors,
        rootEntryCount,
        fatCount,
        align,
        sectorsPerCluster:
          sectorsPerCluster ??
          (fatBits === 32 ? fat32SectorsPerCluster(totalSectors) : defaults.sectorsPerCluster),
        sectorsPerClusterGiven: sectorsPerCluster !== undefined,
      },
      note,
    );
    if (fatBits === undefined) note({ kind: 'fat-bits', fatBits: chosen.fatBits });
    ({ fatBits, sectorsPerCluster, fatSectors, clusterCount } = chosen);
    if (align) {
      // Where nothing fits the tool has gone on to the next size, and 256 sectors have become 0 in its byte.
      const aligned = clusterCount === 0 ? (sectorsPerCluster * 2) & 0xff : sectorsPerCluster;
      reservedSectors = aligned === 0 ? 0 : alignUp(reservedSectors, aligned);
      const rootSize = alignUp(rootEntryCount * DIRECTORY_ENTRY_SIZE, sectorsPerCluster * sectorSize);
      rootEntryCount = rootSize / DIRECTORY_ENTRY_SIZE;
    }
    if (fatBits === 32 && clusterCount < SUGGESTED_FAT32_CLUSTERS) {
      note({ kind: 'few-clusters' });
    }
  }
  if (options.mbr === true) {
    note({ kind: 'mbr' });
    if (messageLength > messageCapacity(fatBits, true)) note({ kind: 'boot-message-truncated' });
  }
  const backupBootSector = fatBits === 32 ? chooseBackup(options.backupBootSector, reservedSectors) : 0;
  if (fatBits === 32) note({ kind: 'backup-boot-sector', sector: backupBootSector });
  if (clusterCount === 0) {
    throw formatError(
      options.sectorsPerCluster === undefined
        ? 'Attempting to create a too small or a too large filesystem'
        : 'Not enough or too many clusters for filesystem - try less or more sectors per cluster',
    );
  }
  if (atari) checkAtariLimits(totalSectors, note);
  const layout: FatLayout = {
    fatBits,
    variant: options.variant ?? 'standard',
    sectorSize,
    sectorsPerCluster,
    reservedSectors,
    fatCount,
    fatSectors,
    rootEntryCount,
    totalSectors,
    clusterCount,
    sectorsPerTrack,
    heads,
    hiddenSectors,
    media,
    driveNumber: options.driveNumber ?? (media === 0xf8 ? 0x80 : 0x00),
    // The serial number of GEMDOS has three bytes.
    volumeId: atari ? options.volumeId & 0xff_ffff : options.volumeId,
    mbr: options.mbr ?? false,
    fsInfoSector: fatBits === 32 ? FS_INFO_SECTOR : NO_SECTOR,
    backupBootSector,
    rootEndMark: atari ? 0x0fff_ffff : 0x0fff_fff8,
    backupFsInfo: backupBootSector !== 0 && backupBootSector + FS_INFO_SECTOR < reservedSectors,
  };
  const dataStartBlock = Math.ceil((dataStartSector(layout) * sectorSize) / BLOCK_SIZE);
  if (dataStartBlock + MIN_DATA_BLOCKS > Math.floor(size / BLOCK_SIZE)) {
    throw formatError('Too few blocks for viable filesystem');
  }
  checkWidths(layout);
  return layout;
}

/** Alignment can round these two up past the 16 bits that they have; the tool writes what is left of them. */
function checkWidths({ reservedSectors, rootEntryCount }: FatLayout): void {
  if (reservedSectors > 0xffff) {
    throw formatError(`Alignment makes ${reservedSectors} reserved sectors, at most 65535 can be`);
  }
  if (rootEntryCount > 0xffff) {
    throw formatError(`Alignment makes ${rootEntryCount} root directory entries, at most 65535 can be`);
  }
}

/** What no caller should ask for; command lines are checked where they are read. */
function checkOptions(size: number, options: FatLayoutOptions): void {
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

function chooseBackup(wanted: number | undefined, reservedSectors: number): number {
  if (wanted === undefined) {
    if (reservedSectors > 6) return 6;
    if (reservedSectors > 3 + FS_INFO_SECTOR) return reservedSectors - 1 - FS_INFO_SECTOR;
    return reservedSectors > 2 ? 2 : 0;
  }
  if (wanted === FS_INFO_SECTOR) {
    throw formatError(`Backup boot sector must not be same as info sector (${FS_INFO_SECTOR})`);
  }
  if (wanted >= reservedSectors && wanted !== 0) {
    throw formatError('Backup boot sector must be a reserved sector');
  }
  return wanted;
}

function alignUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
