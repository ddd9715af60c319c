import { bytes, struct, text, u16le, u32le, u8, viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { BSD_UNUSED, bsdTypeName } from './bsd-type.ts';
import type { MbrPartition } from './mbr.ts';

/**
 * The disklabel of the BSDs as it lies on a PC: 4.4BSD's <sys/disklabel.h>, with what OpenBSD has put into spare fields since
 * (disklabel(5), version 1). See docs/formats/bsd-disklabel.md.
 */
export const Disklabel = struct('BSD disklabel', 404, {
  d_magic: u32le(0x00), // 0x82564557
  d_type: u16le(0x04),
  d_subtype: u16le(0x06),
  d_typename: text(0x08, 16),
  d_packname: text(0x18, 16),
  d_secsize: u32le(0x28), // bytes a sector
  d_nsectors: u32le(0x2c), // sectors a track
  d_ntracks: u32le(0x30), // tracks a cylinder
  d_ncylinders: u32le(0x34),
  d_secpercyl: u32le(0x38),
  d_secperunit: u32le(0x3c),
  d_acylinders: u32le(0x44),
  d_rpm: u16le(0x48),
  d_interleave: u16le(0x4a),
  d_trackskew: u16le(0x4c),
  d_cylskew: u16le(0x4e),
  d_headswitch: u32le(0x50),
  d_trkseek: u32le(0x54),
  d_flags: u32le(0x58),
  d_secperunith: u16le(0x70), // OpenBSD: upper bits of d_secperunit
  d_version: u16le(0x72), // OpenBSD: 1 where partitions have 48-bit places
  d_magic2: u32le(0x84), // 0x82564557
  d_checksum: u16le(0x88), // makes the XOR of all words up to the last partition 0
  d_npartitions: u16le(0x8a), // at most 16
  d_bbsize: u32le(0x8c), // bytes of the boot area
  d_sbsize: u32le(0x90), // most bytes of a file system's superblock
  d_partitions: bytes(0x94, 256), // 16 DisklabelPartition
});

export const DisklabelPartition = struct('BSD disklabel partition', 16, {
  p_size: u32le(0x0), // sectors
  p_offset: u32le(0x4), // sector, from the start of the disk; FreeBSD: of the slice, where partition c is at 0
  p_fsize: u32le(0x8), // bytes a fragment of the file system; OpenBSD version 1: upper bits of p_offset, then of p_size
  p_fstype: u8(0xc),
  p_frag: u8(0xd), // fragments a block
  p_cpg: u16le(0xe), // cylinders a group
});

export const DISKLABEL_MAGIC = 0x82564557;
export const MAX_BSD_PARTITIONS = 16;
/** Bytes from the start of the disk or slice: sector 1, whatever the sector size. */
export const DISKLABEL_OFFSET = 512;
/** Index of partition c, which is the whole disk or the whole slice. */
const RAW_PARTITION = 2;

/** One partition of a disklabel that has a type and sectors. */
export interface BsdPartition {
  /** `a` to `p`. */
  readonly letter: string;
  readonly type: number;
  readonly typeName: string;
  /** From the start of the disk. */
  readonly startSector: number;
  readonly sectorCount: number;
  /** Byte offset of its entry. */
  readonly entryOffset: number;
}

/** What a disklabel says. */
export interface BsdDisklabel {
  /** Bytes a sector, which it counts in. */
  readonly sectorSize: number;
  /** The name of the disk or the pack, where it has one. */
  readonly packName: string;
  readonly checksumIsRight: boolean;
  /** Those in use, by letter. */
  readonly partitions: readonly BsdPartition[];
}

/** XOR of the words of a label up to its last partition, the checksum's own included: 0 where that is right. */
export function disklabelSum(label: Uint8Array): number {
  const view = viewOf(label);
  const count = Math.min(Disklabel.d_npartitions.get(view, 0), MAX_BSD_PARTITIONS);
  const end = Disklabel.d_partitions.offset + count * DisklabelPartition.$size;
  let sum = 0;
  for (let at = 0; at < end; at += 2) sum ^= view.getUint16(at, true);
  return sum;
}

/** Bytes of the label of the disk or of the slice that begins at this byte; undefined where there is none. */
export function readDisklabelBytes(device: BlockDevice, offset: number): Uint8Array | undefined {
  if (device.size < offset + DISKLABEL_OFFSET + Disklabel.$size) return undefined;
  const label = readBytes(device, offset + DISKLABEL_OFFSET, Disklabel.$size);
  const view = viewOf(label);
  const isLabel =
    Disklabel.d_magic.get(view, 0) === DISKLABEL_MAGIC && Disklabel.d_magic2.get(view, 0) === DISKLABEL_MAGIC;
  return isLabel ? label : undefined;
}

/** What of an MBR's partition the label in it counts from and stays within, in bytes. */
export interface Slice {
  readonly offset: number;
  readonly size: number;
  /** FreeBSD may count from the start of its slice. */
  readonly relative: boolean;
  /** OpenBSD has the foreign partitions of the disk in its label, too. */
  readonly wholeDisk?: boolean;
}

/**
 * The disklabel of the whole disk, or of a slice of it; undefined where there is none. Partitions that leave their slice, or are just the
 * slice once more, are left out, as Linux and libblkid leave them out; c is what the whole is called and left out of a whole disk, too.
 */
export function readDisklabel(device: BlockDevice, slice?: Slice): BsdDisklabel | undefined {
  const base = slice?.offset ?? 0;
  const label = readDisklabelBytes(device, base);
  if (label === undefined) return undefined;
  const view = viewOf(label);
  const secsize = Disklabel.d_secsize.get(view, 0);
  const sectorSize = secsize >= 512 && secsize <= 65536 && secsize % 512 === 0 ? secsize : 512;
  const entry = (index: number): number => Disklabel.d_partitions.offset + index * DisklabelPartition.$size;
  const isLarge = Disklabel.d_version.get(view, 0) === 1;
  const rawOffset = DisklabelPartition.p_offset.get(view, entry(RAW_PARTITION));
  const shift = slice?.relative === true && rawOffset === 0 ? base / sectorSize : 0;
  const isWholeDisk = slice === undefined || slice.wholeDisk === true;
  const area = isWholeDisk
    ? { start: 0, end: device.size }
    : { start: base, end: Math.min(base + slice.size, device.size) };
  const count = Math.min(Disklabel.d_npartitions.get(view, 0), MAX_BSD_PARTITIONS);
  const partitions: BsdPartition[] = [];
  for (let index = 0; index < count; index++) {
    const at = entry(index);
    const type = DisklabelPartition.p_fstype.get(view, at);
    const high = isLarge ? 2 ** 32 : 0;
    const startSector =
      DisklabelPartition.p_offset.get(view, at) + high * view.getUint16(at + 8, true) + shift;
    const sectorCount = DisklabelPartition.p_size.get(view, at) + high * view.getUint16(at + 10, true);
    if (type === BSD_UNUSED || sectorCount === 0) continue;
    const [start, end] = [startSector * sectorSize, (startSector + sectorCount) * sectorSize];
    const isWhole = isWholeDisk ? index === RAW_PARTITION : start === area.start && end === area.end;
    if (isWhole || start < area.start || end > area.end) continue;
    partitions.push({
      letter: String.fromCharCode(0x61 + index),
      type,
      typeName: bsdTypeName(type),
      startSector,
      sectorCount,
      entryOffset: base + DISKLABEL_OFFSET + at,
    });
  }
  return {
    sectorSize,
    packName: Disklabel.d_packname.get(view, 0),
    checksumIsRight: disklabelSum(label) === 0,
    partitions,
  };
}

/** The slice that a partition of an MBR is to a disklabel, where it is one of FreeBSD, OpenBSD or NetBSD. */
export function sliceOf(partition: MbrPartition, sectorSize: number): Slice | undefined {
  const { type, kind, startSector, sectorCount } = partition;
  if (kind !== 'primary' || ![0xa5, 0xa6, 0xa9].includes(type)) return undefined;
  return {
    offset: startSector * sectorSize,
    size: sectorCount * sectorSize,
    relative: type === 0xa5,
  };
}
