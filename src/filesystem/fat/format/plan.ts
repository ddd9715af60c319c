import { checkAtariLimits } from './atari.ts';
import { messageCapacity } from './boot-message.ts';
import { formatError, type NoteTaker } from './format-note.ts';
import { diskDefaults, floppyOfSize } from './geometry.ts';
import { dataStartSector, type FatBits, type FatLayout } from './layout.ts';
import { checkLayoutOptions, type FatLayoutOptions } from './layout-options.ts';
import { chooseAtariTables, chooseTables } from './tables.ts';

const LARGE = 512 * 1024 * 1024;
/** No alignment up to here: it would cost too much of a small file system. */
const TINY_SECTORS = 8192;
const FS_INFO_SECTOR = 1;
const NO_SECTOR = 0xffff;
const MAX_SECTORS = 0xffff_ffff;
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

/** `fatBits` is what `chooseFatBits` gave. */
export function planFormat(
  size: number,
  options: FatLayoutOptions,
  fatBits: FatBits | undefined,
  note: NoteTaker,
): FatLayout {
  checkLayoutOptions(size, options);
  const atari = options.variant === 'atari';
  const sectorSize = options.sectorSize ?? 512;
  const mediumSize = options.mediumSize ?? size;
  let totalSectors = Math.floor(size / sectorSize);
  const defaults = floppyOfSize(mediumSize) ?? diskDefaults(Math.floor(mediumSize / sectorSize));
  const { heads, sectorsPerTrack } = options.geometry ?? defaults.geometry;
  const media = options.media ?? defaults.media;

  const messageLength = atari ? 0 : (options.bootMessage?.length ?? 0);
  if (fatBits === 32 && messageLength > messageCapacity(32, false)) note({ kind: 'boot-message-truncated' });
  const second = fatBits === 32 ? 0x58 : 0x3c;
  note(atari ? { kind: 'boot-jump', first: 0x60, second: 0x1c } : { kind: 'boot-jump', first: 0xeb, second });
  const reservedSectors = options.reservedSectors ?? (fatBits === 32 ? 32 : 1);
  if (fatBits === 32 && reservedSectors < 2) {
    throw formatError('On FAT32 at least 2 reserved sectors are needed.');
  }
  note({ kind: 'reserved-sectors', count: reservedSectors });
  const hiddenSectors = options.hiddenSectors ?? 0;
  if (atari && fatBits !== 32 && hiddenSectors > 0xffff) {
    throw formatError("#hidden doesn't fit in 16bit field of Atari format");
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
  const rootEntryCount = fatBits === 32 ? 0 : (options.rootEntryCount ?? defaults.rootEntryCount);
  const start = { fatBits, sectorSize, totalSectors, reservedSectors, rootEntryCount, fatCount, align };
  const tables = atari
    ? chooseAtariTables(start, options, note)
    : chooseTables(start, options, defaults.sectorsPerCluster, note);
  if (options.mbr === true) {
    note({ kind: 'mbr' });
    if (messageLength > messageCapacity(tables.fatBits, true)) note({ kind: 'boot-message-truncated' });
  }
  const isFat32 = tables.fatBits === 32;
  const backupBootSector = isFat32 ? chooseBackup(options.backupBootSector, tables.reservedSectors) : 0;
  if (isFat32) note({ kind: 'backup-boot-sector', sector: backupBootSector });
  if (tables.clusterCount === 0) {
    throw formatError(
      options.sectorsPerCluster === undefined
        ? 'Attempting to create a too small or a too large filesystem'
        : 'Not enough or too many clusters for filesystem - try less or more sectors per cluster',
    );
  }
  if (atari) checkAtariLimits(tables.totalSectors, note);
  const layout: FatLayout = {
    ...tables,
    variant: options.variant ?? 'standard',
    fatCount,
    sectorsPerTrack,
    heads,
    hiddenSectors,
    media,
    driveNumber: options.driveNumber ?? (media === 0xf8 ? 0x80 : 0x00),
    // The serial number of GEMDOS has three bytes.
    volumeId: atari ? options.volumeId & 0xff_ffff : options.volumeId,
    mbr: options.mbr ?? false,
    fsInfoSector: isFat32 ? FS_INFO_SECTOR : NO_SECTOR,
    backupBootSector,
    rootEndMark: atari ? 0x0fff_ffff : 0x0fff_fff8,
    backupFsInfo: backupBootSector !== 0 && backupBootSector + FS_INFO_SECTOR < tables.reservedSectors,
  };
  const dataStartBlock = Math.ceil((dataStartSector(layout) * layout.sectorSize) / BLOCK_SIZE);
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
