import { viewOf } from '../../bytes/struct.ts';
import { readEntry } from '../../partition/mbr-entry.ts';
import { type GrubDevice, isHardDisk, WHOLE_DRIVE } from './device-name.ts';
import { SECTOR_SIZE, writeSectors } from './drive.ts';
import { GrubError } from './grub-error.ts';
import { openFile } from './grub-file.ts';
import { checkSignature } from './grub-partition.ts';
import type { GrubSession } from './session.ts';

/** 640 KiB. */
const MAX_SECTORS = 1280;

/**
 * Writes a stage 1.5 into the gap between the master boot record and the first partition, and returns how many
 * sectors it takes there. Error 12 for anything but a whole hard disk, 34 where the gap is too small.
 */
export function embed(session: GrubSession, stageFile: string, device: GrubDevice): number {
  const file = openFile(session, stageFile);
  const count = Math.ceil(file.size / SECTOR_SIZE);
  const { drive } = session.openPartition(device);
  if (!isHardDisk(device.drive) || device.partition !== WHOLE_DRIVE) throw new GrubError(12);

  const view = viewOf(checkSignature(drive));
  const entries = [0, 1, 2, 3].map((index) => readEntry(view, index));
  const starts = entries.filter((entry) => entry.type !== 0).map((entry) => entry.startSector);
  const firstUsed = Math.min(drive.geometry.totalSectors, ...starts);
  if (count + 1 > firstUsed) throw new GrubError(34);
  // Whatever the gap takes, it is loaded into the first megabyte of memory.
  if (count > MAX_SECTORS) throw new GrubError(28);

  const padded = new Uint8Array(count * SECTOR_SIZE);
  padded.set(file.read(0, file.size));
  writeSectors([{ drive, sector: 1, content: padded }]);
  return count;
}
