import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { BOOT_RECORD_SIGNATURE, BootRecord } from './mbr-entry.ts';
import type { MbrPartition } from './mbr.ts';
import { isVolumeBootSector } from './superfloppy.ts';

/** What disks have, beside the size that the device claims. */
const CANDIDATES = [512, 4096];

/**
 * The sectors, in bytes, that an MBR counts in. The table does not say, so what its partitions begin with decides: an extended
 * boot record, a boot sector, or the superblock of an ext file system. The device's own size stays unless another finds something
 * where the device's finds nothing at all.
 */
export function sectorSizeOfMbr(device: BlockDevice, partitions: readonly MbrPartition[]): number {
  const own = device.sectorSize;
  const primary = partitions.filter(({ number }) => number <= 4);
  if (recognized(device, primary, own) > 0) return own;
  const other = CANDIDATES.filter((size) => size !== own).find(
    (size) => recognized(device, primary, size) > 0,
  );
  return other ?? own;
}

function recognized(device: BlockDevice, partitions: readonly MbrPartition[], sectorSize: number): number {
  return partitions.filter(({ startSector, kind }) => {
    const offset = startSector * sectorSize;
    if (startSector === 0 || offset + 2048 > device.size) return false;
    const start = readBytes(device, offset, 2048);
    const view = viewOf(start);
    const signature = BootRecord.signature.get(view, 0) === BOOT_RECORD_SIGNATURE;
    if (kind === 'extended') return signature;
    // s_magic of the superblock at 1024.
    return (
      (signature && isVolumeBootSector(start.subarray(0, 512))) ||
      view.getUint16(1024 + 0x38, true) === 0xef53
    );
  }).length;
}
