import { viewOf } from '../../bytes/struct.ts';
import { UnsupportedError } from '../../errors.ts';
import { BOOT_RECORD_SIGNATURE, BootRecord, readEntry } from '../../partition/mbr-entry.ts';
import { readMbr } from '../../partition/mbr.ts';
import { bsdPartition, isHardDisk, pcPartition, WHOLE_DRIVE } from './device-name.ts';
import { type Drive, readSectors, SECTOR_SIZE } from './drive.ts';
import { GrubError } from './grub-error.ts';

/** A part of a drive, or all of it, as GRUB opens it. */
export interface GrubPartition {
  readonly drive: Drive;
  /** See GrubDevice. */
  readonly partition: number;
  readonly startSector: number;
  readonly sectorCount: number;
  /** The partition type, 0 for a whole drive. */
  readonly type: number;
}

/** 386BSD, FreeBSD, OpenBSD, NetBSD: partitions that may hold a disklabel. */
const BSD_TYPES: readonly number[] = [0xa5, 0xa6, 0xa9];
const EZ_DRIVE_TYPE = 0x55;
const BSD_LABEL_MAGIC = 0x82564557;

export function isBsdType(type: number): boolean {
  return BSD_TYPES.includes(type);
}

/** Errors 5 and 22, and 18 where the partition starts beyond the end of the drive. */
export function openPartition(drive: Drive, partition: number): GrubPartition {
  const total = drive.geometry.totalSectors;
  if (partition === WHOLE_DRIVE) {
    if (isHardDisk(drive.number)) refuseEzDrive(readSectors(drive, 0, 1));
    return { drive, partition, startSector: 0, sectorCount: total, type: 0 };
  }
  if (!isHardDisk(drive.number)) throw new GrubError(12);
  const partitions = listPartitions(drive);
  if (bsdPartition(partition) !== 0xff) refuseBsd(drive, partitions, partition);
  const found = partitions.find((entry) => entry.partition === partition);
  if (found === undefined) throw new GrubError(22);
  return found;
}

/** All partitions, extended ones too, in GRUB's numbering; Error 5 when there is no partition table. */
export function listPartitions(drive: Drive): GrubPartition[] {
  refuseEzDrive(checkSignature(drive));
  const reachable = drive.geometry.totalSectors * SECTOR_SIZE;
  const entries = readMbr(drive.device)?.partitions.filter((entry) => entry.tableOffset < reachable) ?? [];
  return entries.map((entry) => ({
    drive,
    partition: ((entry.number - 1) << 16) | 0xffff,
    startSector: entry.startSector,
    sectorCount: entry.sectorCount,
    type: entry.type,
  }));
}

/** GRUB takes a sector 0 that ends in 0x55 0xaa for a partition table, even when it lists nothing. */
export function checkSignature(drive: Drive): Uint8Array {
  const sector = readSectors(drive, 0, 1);
  if (BootRecord.signature.get(viewOf(sector), 0) !== BOOT_RECORD_SIGNATURE) throw new GrubError(5);
  return sector;
}

/** EZ-Drive moves the disk by one sector, its partition table with it. */
function refuseEzDrive(bootRecord: Uint8Array): void {
  const view = viewOf(bootRecord);
  const isTable = BootRecord.signature.get(view, 0) === BOOT_RECORD_SIGNATURE;
  if (isTable && readEntry(view, 0).type === EZ_DRIVE_TYPE) {
    throw new UnsupportedError('Disks with EZ-Drive are not supported', ['EZ-Drive']);
  }
}

function refuseBsd(drive: Drive, partitions: readonly GrubPartition[], wanted: number): never {
  const pc = pcPartition(wanted);
  const candidates = partitions.filter(
    (entry) => isBsdType(entry.type) && (pc === 0xff || pcPartition(entry.partition) === pc),
  );
  if (candidates.length === 0) throw new GrubError(22);
  for (const candidate of candidates) {
    const label = readSectors(drive, candidate.startSector + 1, 1);
    if (viewOf(label).getUint32(0, true) === BSD_LABEL_MAGIC) {
      throw new UnsupportedError('Partitions of a BSD disklabel are not supported', ['BSD disklabel']);
    }
  }
  throw new GrubError(5);
}
