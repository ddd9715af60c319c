import { viewOf } from '../bytes/struct.ts';
import type { BlockDevice } from '../device/block-device.ts';
import { BOOT_RECORD_SIGNATURE, BootRecord, readEntry } from './mbr-entry.ts';
import { isExtendedType } from './mbr-type.ts';
import type { MbrPartition } from './mbr.ts';
import { isVolumeBootSector } from './superfloppy.ts';

/** What disks have, beside the size that the device claims. */
const CANDIDATES = [512, 4096];

/** Bytes at the start of a partition by which file systems and their like are known: as many as the last of them needs. */
const START_SIZE = 4096;

/** Where each of them has which bytes: the on-disk format documents of Linux, LUKS and FreeBSD. */
const MAGICS: readonly (readonly [offset: number, magic: string])[] = [
  [0x438, '\x53\xef'], // ext2, ext3, ext4: s_magic
  [0, 'XFSB'], // XFS
  [0, 'hsqs'], // SquashFS
  [0, 'LUKS\xba\xbe'],
  [0x400, '\x10\x20\xf5\xf2'], // F2FS
  [0x400, '\xe2\xe1\xf5\xe0'], // EROFS
  [4086, 'SWAPSPACE2'], // Linux swap
  [512, 'LABELONE'], // LVM
  [512, '\x57\x45\x56\x82'], // BSD disklabel
];

/**
 * The sectors, in bytes, that an MBR counts in. The table does not say, so what its partitions begin with decides: an extended
 * boot record, a boot sector, the magic number of a file system. The device's own size stays unless another finds more, and with
 * that other size all partitions begin on the device.
 */
export function sectorSizeOfMbr(device: BlockDevice, partitions: readonly MbrPartition[]): number {
  const own = device.sectorSize;
  const primary = partitions.filter(({ number }) => number <= 4);
  let best = own;
  let most = recognized(device, primary, own);
  for (const size of CANDIDATES) {
    if (size === own || primary.some(({ startSector }) => startSector * size >= device.size)) continue;
    const count = recognized(device, primary, size);
    if (count > most) [best, most] = [size, count];
  }
  return best;
}

/** In how many of the partitions something begins with sectors of that size. */
function recognized(device: BlockDevice, partitions: readonly MbrPartition[], sectorSize: number): number {
  const start = new Uint8Array(START_SIZE);
  return partitions.filter((partition) => {
    const offset = partition.startSector * sectorSize;
    if (partition.startSector === 0 || offset + 512 > device.size) return false;
    const there = start.subarray(0, Math.min(START_SIZE, device.size - offset));
    device.read(offset, there);
    return partition.kind === 'extended' ? isExtendedBootRecord(there, partition) : isVolumeStart(there);
  }).length;
}

/** A boot sector is none, though both end alike: with other sectors a volume may begin where a chain would. */
function isExtendedBootRecord(sector: Uint8Array, extended: MbrPartition): boolean {
  const view = viewOf(sector);
  if (BootRecord.signature.get(view, 0) !== BOOT_RECORD_SIGNATURE) return false;
  if (isVolumeBootSector(sector.subarray(0, 512))) return false;
  const entries = [0, 1, 2, 3].map((index) => readEntry(view, index));
  return entries.every(
    ({ bootIndicator, type, startSector, sectorCount }) =>
      (bootIndicator & 0x7f) === 0 &&
      (type === 0 ||
        (isExtendedType(type) ? startSector : startSector + sectorCount) <= extended.sectorCount),
  );
}

function isVolumeStart(start: Uint8Array): boolean {
  const sector = start.subarray(0, 512);
  if (BootRecord.signature.get(viewOf(sector), 0) === BOOT_RECORD_SIGNATURE && isVolumeBootSector(sector)) {
    return true;
  }
  return MAGICS.some(([offset, magic]) => {
    for (let at = 0; at < magic.length; at++) {
      if (start[offset + at] !== magic.charCodeAt(at)) return false;
    }
    return true;
  });
}
