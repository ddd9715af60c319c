import { struct, text, u16le, u32le, u64le, u8, viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { BOOT_RECORD_SIGNATURE, BootRecord } from './mbr-entry.ts';
import type { MbrPartition } from './mbr.ts';
import { isVolumeBootSector } from './superfloppy.ts';
import type { TableFinding } from './table-finding.ts';

/**
 * What a boot sector says of its own place: Microsoft FAT specification 1.03, section 3.1; NTFS has it at the same offset.
 * Boot code adds it to every sector that it loads.
 */
export const VolumePlace = struct('boot sector', 512, {
  BS_OEMName: text(0x03, 8, ' '),
  BPB_BytsPerSec: u16le(0x0b),
  BPB_FATSz16: u16le(0x16), // 0 on FAT32 and NTFS
  BPB_HiddSec: u32le(0x1c), // sectors before the volume
  BS_BootSig16: u8(0x26), // 0x28 or 0x29: BPB_HiddSec has 32 bits
  totalSectors64: u64le(0x28), // NTFS only
  BPB_BkBootSec: u16le(0x32), // FAT32 only: where the boot sector is a second time
});

/** What is wrong with the place in the partition's boot sector; undefined where nothing is, or there is none. */
export function hiddenSectorsFinding(
  device: BlockDevice,
  sectorSize: number,
  partition: MbrPartition,
): TableFinding | undefined {
  const place = placeInVolume(device, sectorSize, partition);
  if (place === undefined) return undefined;
  const { found, accepted, offset } = place;
  // Volumes that nobody boots are made in files and copied; they say nothing of their place.
  if (accepted.includes(found) || (found === 0 && !partition.active)) return undefined;
  return {
    fault: 'hidden-sectors',
    partition: partition.number,
    severity: 'note',
    structure: `boot sector of partition ${partition.number}`,
    field: 'BPB_HiddSec',
    offset: offset + VolumePlace.BPB_HiddSec.offset,
    found: `${found}`,
    expected: `${accepted[0]}, the sectors before the partition`,
  };
}

export interface PlaceInVolume {
  /** Byte offsets of the boot sector and, where there is one, of its copy. */
  readonly offset: number;
  readonly copyOffset: number | undefined;
  readonly found: number;
  /** The first is what belongs there; others are counted otherwise, and meant well. */
  readonly accepted: readonly number[];
}

/** The field as it stands; undefined where the partition does not begin with the boot sector of a FAT or NTFS volume. */
export function placeInVolume(
  device: BlockDevice,
  sectorSize: number,
  partition: MbrPartition,
): PlaceInVolume | undefined {
  const offset = partition.startSector * sectorSize;
  if (partition.kind === 'extended' || partition.startSector === 0 || offset + 512 > device.size) {
    return undefined;
  }
  const sector = readBytes(device, offset, 512);
  const view = viewOf(sector);
  if (BootRecord.signature.get(view, 0) !== BOOT_RECORD_SIGNATURE || !isVolumeBootSector(sector)) {
    return undefined;
  }
  const name = VolumePlace.BS_OEMName.get(view, 0);
  const unit = VolumePlace.BPB_BytsPerSec.get(view, 0);
  if (name === 'EXFAT' || unit === 0) return undefined;
  const fat32 = name !== 'NTFS' && VolumePlace.BPB_FATSz16.get(view, 0) === 0;
  const has32Bits = fat32 || name === 'NTFS' || (VolumePlace.BS_BootSig16.get(view, 0) & 0xfe) === 0x28;
  if (!has32Bits) return undefined;
  const copySector = fat32
    ? VolumePlace.BPB_BkBootSec.get(view, 0)
    : name === 'NTFS'
      ? VolumePlace.totalSectors64.get(view, 0)
      : 0;
  const copyOffset = offset + copySector * unit;
  const end = offset + partition.sectorCount * sectorSize;
  const hasCopy =
    copySector > 0 &&
    copyOffset + 512 <= Math.min(end, device.size) &&
    BootRecord.signature.get(viewOf(readBytes(device, copyOffset, 512)), 0) === BOOT_RECORD_SIGNATURE;
  const accepted = new Set([partition.startSector]);
  if (offset % unit === 0) accepted.add(offset / unit);
  // DOS counts those of a logical partition from its extended boot record.
  if (partition.kind === 'logical') accepted.add((offset - partition.tableOffset) / sectorSize);
  return {
    offset,
    copyOffset: hasCopy ? copyOffset : undefined,
    found: VolumePlace.BPB_HiddSec.get(view, 0),
    accepted: [...accepted],
  };
}
