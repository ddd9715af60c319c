import type { BlockDevice } from '../device/block-device.ts';
import { CorruptImageError } from '../errors.ts';
import { readDisklabel, sliceOf } from '../partition/bsd-disklabel.ts';
import { BootRecord } from '../partition/mbr-entry.ts';
import { bsdPartitions, disklabelBlocks } from '../partition/nested-bsd.ts';
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

const OPENBSD_TYPE = 0xa6;
/** Behind every number of a table. */
const OPENBSD_ONLY = 1000;
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
    const nested = bsdPartitions(device, tableOf(device)).map(({ number, letter, within, offset, size }) => ({
      id: FIRST_PARTITION + number,
      // FreeBSD's md0s1a, on a disk without slices md0a; Linux goes on counting.
      name:
        family === 'loop'
          ? `${base}p${number}`
          : `${base}${within === undefined ? '' : `s${within}`}${letter}`,
      partition: number,
      offset,
      size,
    }));
    return [
      { id: WHOLE, name: base, ...whole },
      ...parts.map((part) => ({
        ...part,
        id: FIRST_PARTITION + part.partition,
        name: `${base}${infix}${part.partition}`,
      })),
      ...nested,
    ];
  }
  const views: DeviceView[] = [
    { id: WHOLE, name: `${base}c`, ...whole },
    { id: RAW, name: `r${base}c`, ...whole },
  ];
  for (const { letter, ...part } of openBsdLetters(device) ?? foreignLetters(device, parts, whole)) {
    const id = FIRST_PARTITION + 2 * (letter.charCodeAt(0) - 0x61);
    views.push({ ...part, id, name: `${base}${letter}` }, { ...part, id: id + 1, name: `r${base}${letter}` });
  }
  return views;
}

interface Lettered {
  readonly letter: string;
  readonly partition: number | undefined;
  readonly offset: number;
  readonly size: number;
}

/** OpenBSD's own label of the disk, which names everything itself: in its partition of the MBR, or at the start of a disk without one. */
function openBsdLetters(device: BlockDevice): Lettered[] | undefined {
  const table = tableOf(device);
  if (table?.kind === 'gpt') return undefined;
  const own = table?.partitions.find(({ kind, type }) => kind === 'primary' && type === OPENBSD_TYPE);
  if (table !== undefined && own === undefined) return undefined;
  const slice = own === undefined ? undefined : sliceOf(own, table!.sectorSize);
  const label = readDisklabel(device, slice === undefined ? undefined : { ...slice, wholeDisk: true });
  if (label === undefined) return undefined;
  const numbered = bsdPartitions(device, table);
  return label.partitions.map(({ letter, startSector, sectorCount }) => ({
    letter,
    // Foreign ones are only OpenBSD's.
    partition: numbered.find((each) => each.letter === letter)?.number ?? OPENBSD_ONLY + letter.charCodeAt(0),
    offset: startSector * label.sectorSize,
    size: sectorCount * label.sectorSize,
  }));
}

/** Without one OpenBSD makes up a label: `i` is the first partition that is not its own, or a file system without a table. */
function foreignLetters(
  device: BlockDevice,
  parts: readonly Part[],
  whole: Omit<Lettered, 'letter'>,
): Lettered[] {
  const foreign = parts.filter((part) => !part.extended).slice(0, FOREIGN_LETTERS.length);
  const named = foreign.length > 0 || !startsWithVolume(device) ? foreign : [whole];
  return named.map(({ offset, size, partition }, index) => ({
    letter: FOREIGN_LETTERS[index]!,
    partition,
    offset,
    size,
  }));
}

/**
 * Byte offsets of the 512-byte blocks, besides those at both ends of the device, that the names depend on: the extended boot records, and the
 * place where the chain of them ends because nothing was written there yet, and where BSD disklabels are or may be put.
 */
export function tableBlocks(device: BlockDevice): number[] {
  const table = tableOf(device);
  if (table?.kind !== 'mbr') return disklabelBlocks(table);
  const blocks = table.partitions
    .filter(({ kind }) => kind !== 'primary')
    .map(({ kind, startSector, tableOffset }) =>
      kind === 'extended' ? startSector * table.sectorSize : tableOffset,
    );
  const end = table.findings.find(
    ({ structure, field }) => structure === 'extended boot record' && field === 'signature',
  );
  if (end?.offset !== undefined) blocks.push(end.offset - BootRecord.signature.offset);
  return [...new Set([...blocks, ...disklabelBlocks(table)])];
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
