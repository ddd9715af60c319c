import type { BlockDevice } from '../device/block-device.ts';
import { CorruptImageError } from '../errors.ts';
import { BootRecord } from '../partition/mbr-entry.ts';
import { isVolumeBootSector } from '../partition/superfloppy.ts';
import { readTable, type Table } from '../partition/table.ts';

/** Whose names a device has: Linux' loop0 and loop0p1, FreeBSD's md0 and md0s1, OpenBSD's vnd0c, rvnd0c and vnd0i. */
export type DeviceFamily = 'loop' | 'md' | 'vnd';

/** A name by which a device, or a part of it, can be opened. */
export interface DeviceView {
  /** Small and positive, the same in every thread and across changes of the table as long as the part has this name. */
  readonly id: number;
  /** Without folder: `loop0p1`. */
  readonly name: string;
  /** The partition's number; undefined for the whole device. */
  readonly partition: number | undefined;
  /** Bytes, from the start of the device. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

const WHOLE = 1;
const RAW = 2;
const FIRST_PARTITION = 16;
/** OpenBSD's letters for partitions that are not its own: `i` is the first (disklabel(8)). */
const FOREIGN_LETTERS = 'ijklmnop';
/** Bytes of an extended partition that can be opened. */
const EXTENDED_SHOWN = 1024;

/** All names under which the device `unit` can be opened now, the whole device first. A broken table gives the whole device only. */
export function deviceViews(device: BlockDevice, family: DeviceFamily, unit: number): DeviceView[] {
  const base = `${family}${unit}`;
  const parts = partitions(device);
  const whole = { partition: undefined, offset: 0, size: device.size };
  if (family !== 'vnd') {
    const infix = family === 'md' ? 's' : 'p';
    return [
      { id: WHOLE, name: base, ...whole },
      ...parts.map((part) => ({
        ...part,
        id: FIRST_PARTITION + part.partition,
        name: `${base}${infix}${part.partition}`,
      })),
    ];
  }
  const views: DeviceView[] = [
    { id: WHOLE, name: `${base}c`, ...whole },
    { id: RAW, name: `r${base}c`, ...whole },
  ];
  const foreign = parts.filter((part) => !part.extended).slice(0, FOREIGN_LETTERS.length);
  // A file system without a table: OpenBSD makes up a label in which it is the first foreign partition.
  const letters =
    foreign.length > 0 || !startsWithVolume(device)
      ? foreign.map(({ offset, size, partition }) => ({ offset, size, partition }))
      : [whole];
  for (const [index, part] of letters.entries()) {
    const letter = FOREIGN_LETTERS[index]!;
    const id = FIRST_PARTITION + 2 * index;
    views.push({ ...part, id, name: `${base}${letter}` }, { ...part, id: id + 1, name: `r${base}${letter}` });
  }
  return views;
}

/**
 * Byte offsets of the 512-byte blocks, besides those at both ends of the device, that the names depend on: the extended boot records, and the
 * place where the chain of them ends because nothing was written there yet.
 */
export function tableBlocks(device: BlockDevice): number[] {
  const table = tableOf(device);
  if (table?.kind !== 'mbr') return [];
  const blocks = table.partitions
    .filter(({ kind }) => kind !== 'primary')
    .map(({ kind, startSector, tableOffset }) =>
      kind === 'extended' ? startSector * table.sectorSize : tableOffset,
    );
  const end = table.findings.find(
    ({ structure, field }) => structure === 'extended boot record' && field === 'signature',
  );
  if (end?.offset !== undefined) blocks.push(end.offset - BootRecord.signature.offset);
  return [...new Set(blocks)];
}

interface Part {
  readonly partition: number;
  readonly extended: boolean;
  readonly offset: number;
  readonly size: number;
}

/** The partitions that lie on the device; what ends past its end is cut there, as Linux does. */
function partitions(device: BlockDevice): Part[] {
  const parts: Part[] = [];
  const table = tableOf(device);
  if (table === undefined) return parts;
  const { sectorSize } = table;
  for (const entry of table.partitions) {
    const offset = entry.startSector * sectorSize;
    // Linux shows the first KiB of an extended partition, so that a boot loader can be put there; at least a sector.
    const shown = Math.max(1, EXTENDED_SHOWN / table.sectorSize);
    const sectors = entry.kind === 'extended' ? Math.min(entry.sectorCount, shown) : entry.sectorCount;
    const size = Math.min(sectors * sectorSize, device.size - offset);
    if (size > 0) parts.push({ partition: entry.number, extended: entry.kind === 'extended', offset, size });
  }
  return parts;
}

function tableOf(device: BlockDevice): Table | undefined {
  try {
    return readTable(device);
  } catch (error) {
    if (error instanceof CorruptImageError) return undefined;
    throw error;
  }
}

function startsWithVolume(device: BlockDevice): boolean {
  if (device.size < 512) return false;
  const sector = new Uint8Array(512);
  device.read(0, sector);
  return isVolumeBootSector(sector);
}
