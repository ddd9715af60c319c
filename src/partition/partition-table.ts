import { type RandomSource, randomUuid } from '../bytes/uuid.ts';
import { parseSize } from '../bytes/size.ts';
import type { BlockDevice } from '../device/block-device.ts';
import { SliceDevice } from '../device/slice-device.ts';
import { CorruptImageError, FsError } from '../errors.ts';
import { geometryOfTable } from './chs-findings.ts';
import { diskLayout } from './disk-layout.ts';
import { GptEditor } from './gpt-editor.ts';
import { GptHeader, PRIMARY_LBA } from './gpt-header.ts';
import { GptLabel } from './gpt-label.ts';
import { SECTOR_SIZES } from './gpt.ts';
import { formatGuid } from './guid.ts';
import { MbrEditor } from './mbr-editor.ts';
import { DEFAULT_HEADS, DEFAULT_SECTORS_PER_TRACK } from './mbr-geometry.ts';
import { MbrLabel } from './mbr-label.ts';
import { type Alignment, type Gap, type Grid, type Place, gridOf, lastOf, placeIn } from './placement.ts';
import { checkTable } from './table-check.ts';
import type { TableFault, TableFinding } from './table-finding.ts';
import { type Table, readTable } from './table.ts';

/** Bytes, or a size as people write it: `10MiB`. */
export type Amount = number | string;

export type TableKind = 'mbr' | 'gpt';

/** One partition of a table, as it would be written. */
export interface TableEntry {
  readonly number: number;
  readonly kind: 'primary' | 'extended' | 'logical' | 'gpt';
  /** The id byte, in a GPT the type's GUID. */
  readonly type: number | string;
  readonly typeName: string;
  readonly active: boolean;
  /** Only in a GPT. */
  readonly name?: string;
  /** Only in a GPT: the partition's own GUID. */
  readonly uuid?: string;
  readonly startSector: number;
  readonly sectorCount: number;
  /** Bytes from the start of the disk. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  /** The partition as a device. EIO when it does not lie on the disk. */
  device(): BlockDevice;
}

/** What of an entry is plain to see and change. */
export interface EntryAttributes {
  /** The id byte, in a GPT a GUID. Default: Linux. */
  readonly type?: number | string;
  /** In a GPT the attribute that BIOS boot loaders go by. */
  readonly active?: boolean;
  /** Only in a GPT: at most 36 units of UTF-16. */
  readonly name?: string;
  /** Only in a GPT. */
  readonly uuid?: string;
}

export interface AddOptions extends EntryAttributes {
  /** Of an MBR. Default: primary. The one extended partition holds the logical ones. */
  readonly kind?: 'primary' | 'extended' | 'logical';
  /** Default: the lowest that is free. Logical partitions are numbered by their chain. */
  readonly number?: number;
  /** Where it begins, as it is. Default: the first place that is large enough, aligned. */
  readonly start?: Amount;
  /** Default: the largest piece that is free. */
  readonly size?: Amount;
  /** Default: 1 MiB, and nothing on disks of 4 MiB or less. */
  readonly align?: Alignment;
}

export interface ResizeOptions {
  /** Default: as far as there is room. */
  readonly size?: Amount;
  /** `cylinder`: it ends on one. */
  readonly align?: Alignment;
}

export interface CreateTableOptions {
  /** For identifiers that are not given. */
  readonly random?: RandomSource;
  /** Of an MBR 32 bits, of a GPT a GUID. */
  readonly diskIdentifier?: number | string;
  /** Bytes. Default: the device's. */
  readonly sectorSize?: number;
  /** What C/H/S are computed with. Default: 255 heads, 63 sectors a track. */
  readonly heads?: number;
  readonly sectorsPerTrack?: number;
  /** Boot code in sector 0 stays. Default false. */
  readonly keepBootCode?: boolean;
  /** Of a GPT. Default: 128. */
  readonly entryCount?: number;
}

/** Faults with which nobody can say which sectors are the table's and which are not. */
const UNCERTAIN: ReadonlySet<TableFault> = new Set([
  'headers-differ',
  'usable-range',
  'several-extended',
  'chain-link',
  'chain-signature',
  'outside-extended',
  'covers-table',
  'zero-length',
]);

/** What MbrLabel and GptLabel do alike for the table above them. */
export interface Label {
  readonly kind: TableKind;
  readonly diskIdentifier: number | string;
  entries(): Omit<TableEntry, 'offset' | 'size' | 'device'>[];
  /** Free sectors for a partition of this kind, and whether a boot record goes before it. */
  room(kind: AddOptions['kind']): { readonly gaps: readonly Gap[]; readonly records: 0 | 1 };
  /** Returns the number. */
  add(place: Place, options: AddOptions): number;
  remove(number: number): void;
  /** The last sector that the partition could have. */
  limit(number: number): number;
  /** The last sector that it has to have. */
  least(number: number): number;
  resize(number: number, lastSector: number): void;
  change(number: number, attributes: EntryAttributes): void;
  write(device: BlockDevice): void;
}

/**
 * A partition table that can be changed. Nothing reaches the device before `write`.
 *
 * ```ts
 * import { MemoryDevice, PartitionTable } from 'userloop/core';
 *
 * const disk = new MemoryDevice(64 << 20);
 * const table = PartitionTable.create(disk, 'mbr', { diskIdentifier: 0x8bafd0cb });
 * table.add({ size: '16MiB', type: 0x0c, active: true });
 * table.add({ align: 'cylinder' });
 * table.write();
 * console.log(table.partitions.map(({ startSector }) => startSector).join(' ')); // 2048 48195
 * ```
 */
export class PartitionTable {
  /** Bytes a sector, which the table counts in. */
  readonly sectorSize: number;
  /** What was wrong when the table was opened. */
  readonly findings: readonly TableFinding[];
  readonly #device: BlockDevice;
  readonly #label: Label;
  readonly #tracks: { readonly heads: number; readonly sectorsPerTrack: number };
  /** The table takes the place of another, of which nothing may be left. */
  readonly #isNew: boolean;

  private constructor(
    device: BlockDevice,
    label: Label,
    options: {
      readonly sectorSize: number;
      readonly heads: number;
      readonly sectorsPerTrack: number;
      readonly isNew: boolean;
      readonly findings?: readonly TableFinding[];
    },
  ) {
    this.#device = device;
    this.#label = label;
    this.#tracks = options;
    this.#isNew = options.isNew;
    this.sectorSize = options.sectorSize;
    this.findings = options.findings ?? [];
  }

  /**
   * The table of the device; undefined where there is none. What a damaged header lacks is taken from the other one, and written with the
   * next `write`. CorruptImageError where it has to be mended first (`planMends`): what would be written over is not certain.
   */
  static open(
    device: BlockDevice,
    options: { readonly random?: RandomSource } = {},
  ): PartitionTable | undefined {
    const table = readTable(device);
    if (table === undefined || (table.kind === 'mbr' && table.protective)) return undefined;
    const { sectorSize } = table;
    const tracks = table.kind === 'mbr' ? geometryOfTable(table) : usualTracks();
    const layout = layoutOf(device, sectorSize, tracks);
    const editor = table.kind === 'mbr' ? MbrEditor.open(device, layout) : GptEditor.open(device, layout);
    if (editor === undefined) return undefined;
    const label = editor instanceof MbrEditor ? new MbrLabel(editor) : new GptLabel(editor, options.random);
    const findings = checkTable(device, table);
    const fault = findings.find((each) => UNCERTAIN.has(each.fault));
    if (fault !== undefined) throw new CorruptImageError(fault);
    refuseOther(label, table);
    return new PartitionTable(device, label, { sectorSize, ...tracks, isNew: false, findings });
  }

  /** An empty table. TypeError without an identifier and without randomness to make one; ENOSPC on a device that is too small. */
  static create(device: BlockDevice, kind: TableKind, options: CreateTableOptions = {}): PartitionTable {
    const sectorSize = options.sectorSize ?? device.sectorSize;
    const usual = usualTracks();
    const heads = options.heads ?? usual.heads;
    const sectorsPerTrack = options.sectorsPerTrack ?? usual.sectorsPerTrack;
    const layout = layoutOf(device, sectorSize, { heads, sectorsPerTrack });
    const { keepBootCode = false, entryCount } = options;
    if (device.size < sectorSize) {
      throw new FsError('ENOSPC', { detail: `${device.size} bytes are less than a sector of ${sectorSize}` });
    }
    const label =
      kind === 'mbr'
        ? new MbrLabel(
            MbrEditor.create(device, layout, { diskIdentifier: mbrIdentifier(options), keepBootCode }),
          )
        : new GptLabel(
            GptEditor.create(device, layout, {
              diskGuid: gptIdentifier(options),
              keepBootCode,
              ...(entryCount === undefined ? {} : { entryCount }),
            }),
            options.random,
          );
    return new PartitionTable(device, label, { sectorSize, heads, sectorsPerTrack, isNew: true });
  }

  get kind(): TableKind {
    return this.#label.kind;
  }

  /** Of an MBR 32 bits, of a GPT a GUID. */
  get diskIdentifier(): number | string {
    return this.#label.diskIdentifier;
  }

  /** As they would be written, in the order of their numbers. */
  get partitions(): readonly TableEntry[] {
    const { sectorSize } = this;
    return this.#label.entries().map((entry) => {
      const offset = entry.startSector * sectorSize;
      const size = entry.sectorCount * sectorSize;
      return {
        ...entry,
        offset,
        size,
        device: () => new SliceDevice(this.#device, offset, size, { sectorSize }),
      };
    });
  }

  /** ENXIO where there is none of that number. */
  partition(number: number): TableEntry {
    const found = this.partitions.find((each) => each.number === number);
    if (found === undefined) throw new FsError('ENXIO', { detail: `there is no partition ${number}` });
    return found;
  }

  /** ENOSPC where there is no room for it, or no place in the table; EINVAL for what the table does not have. */
  add(options: AddOptions = {}): TableEntry {
    const { start, size, kind } = options;
    const { gaps, records } = this.#label.room(kind);
    const place = placeIn(gaps, {
      grid: this.#grid(options.align),
      records,
      ...(start === undefined ? {} : { start: this.#startSector(start) }),
      ...(size === undefined ? {} : { count: this.#sectors(size) }),
    });
    if (place === undefined) {
      const largest = Math.max(0, ...gaps.map(({ first, last }) => last - first + 1));
      throw new FsError('ENOSPC', {
        detail: `there is no room for a partition${size === undefined ? '' : ` of ${size}`}${start === undefined ? '' : ` at ${start}`}: the largest free piece has ${largest * this.sectorSize} bytes`,
      });
    }
    return this.partition(this.#label.add(place, options));
  }

  /** The extended partition goes with all logical ones; those behind a logical one that goes get the next lower numbers. */
  remove(number: number): void {
    this.partition(number);
    this.#label.remove(number);
  }

  /** Where it begins stays; what is in it is not touched. ENOSPC where something else is in the way. */
  resize(number: number, options: ResizeOptions = {}): TableEntry {
    const { startSector } = this.partition(number);
    const limit = this.#label.limit(number);
    const count = options.size === undefined ? undefined : this.#sectors(options.size);
    const last = lastOf(limit, startSector, this.#grid(options.align), count);
    const least = this.#label.least(number);
    if (last === undefined || last < least) {
      const bytes = (end: number): number => (end - startSector + 1) * this.sectorSize;
      throw new FsError('ENOSPC', {
        detail: `partition ${number} can have ${bytes(Math.max(least, startSector))} to ${bytes(limit)} bytes`,
      });
    }
    this.#label.resize(number, last);
    return this.partition(number);
  }

  /** EINVAL for what the table does not have: an MBR has no names. */
  change(number: number, attributes: EntryAttributes): TableEntry {
    this.partition(number);
    this.#label.change(number, attributes);
    return this.partition(number);
  }

  /** Writes the table, and nothing but the table. A new one also makes an end of a GPT that was there. */
  write(): void {
    if (this.#isNew && this.kind === 'mbr') wipeGpt(this.#device);
    this.#label.write(this.#device);
  }

  #grid(alignment: Alignment | undefined): Grid {
    const { sectorSize } = this;
    const sectorCount = Math.floor(this.#device.size / sectorSize);
    return gridOf(alignment, { sectorSize, sectorCount, ...this.#tracks });
  }

  #startSector(amount: Amount): number {
    const bytes = bytesOf(amount);
    if (bytes % this.sectorSize === 0) return bytes / this.sectorSize;
    throw new FsError('EINVAL', { detail: `${amount} is not a multiple of ${this.sectorSize} bytes` });
  }

  /** Rounded up. */
  #sectors(amount: Amount): number {
    return Math.max(1, Math.ceil(bytesOf(amount) / this.sectorSize));
  }
}

/** What is edited has to be what everybody else reads: the classic tools pass over some entries and count others. */
function refuseOther(label: Label, table: Table): void {
  const places = (entries: readonly { number: number; startSector: number; sectorCount: number }[]): string =>
    entries
      .map(({ number, startSector, sectorCount }) => `${number} at ${startSector}+${sectorCount}`)
      .join(', ');
  const [edited, read] = [places(label.entries()), places(table.partitions)];
  if (edited === read) return;
  throw new CorruptImageError({
    structure: 'partition table',
    field: 'entries',
    found: `${read === '' ? 'none' : read}, beside entries that say less`,
    expected: 'entries that are either whole or all zeros',
  });
}

function bytesOf(amount: Amount): number {
  const bytes = typeof amount === 'string' ? parseSize(amount) : amount;
  if (bytes === undefined || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw new FsError('EINVAL', { detail: `${amount} is no number of bytes` });
  }
  return bytes;
}

function usualTracks(): { readonly heads: number; readonly sectorsPerTrack: number } {
  return { heads: DEFAULT_HEADS, sectorsPerTrack: DEFAULT_SECTORS_PER_TRACK };
}

function layoutOf(
  device: BlockDevice,
  sectorSize: number,
  tracks: { readonly heads: number; readonly sectorsPerTrack: number },
): ReturnType<typeof diskLayout> {
  const cylinders = Math.floor(device.size / sectorSize / (tracks.heads * tracks.sectorsPerTrack));
  const geometry = { cylinders, heads: tracks.heads, sectorsPerTrack: tracks.sectorsPerTrack };
  return diskLayout({ size: device.size, sectorSize, geometry, dosCompatible: false });
}

function mbrIdentifier({ diskIdentifier, random }: CreateTableOptions): number {
  if (diskIdentifier !== undefined) {
    if (typeof diskIdentifier === 'number' && Number.isInteger(diskIdentifier)) return diskIdentifier >>> 0;
    throw new TypeError(`${diskIdentifier} is no identifier of an MBR, expected a number of 32 bits`);
  }
  const bytes = randomBytes(random, 4);
  return new DataView(bytes.buffer).getUint32(0, true);
}

function gptIdentifier({ diskIdentifier, random }: CreateTableOptions): string {
  if (typeof diskIdentifier === 'string') return diskIdentifier;
  if (diskIdentifier !== undefined) throw new TypeError(`${diskIdentifier} is no GUID`);
  if (random === undefined) randomBytes(random, 0);
  return formatGuid(randomUuid(random!));
}

function randomBytes(random: RandomSource | undefined, count: number): Uint8Array {
  if (random === undefined) {
    throw new TypeError('A table needs a diskIdentifier, or random to make one: systemRandom of userloop');
  }
  const bytes = new Uint8Array(count);
  random(bytes);
  return bytes;
}

/** Takes away what a GPT is known by, at both ends. */
function wipeGpt(device: BlockDevice): void {
  const signature = new Uint8Array(GptHeader.Signature.length);
  for (const size of SECTOR_SIZES) {
    const last = Math.floor(device.size / size) - 1;
    for (const lba of [last, PRIMARY_LBA]) {
      if (lba < 1 || lba > last) continue;
      device.read(lba * size, signature);
      if (String.fromCharCode(...signature) === 'EFI PART') device.write(lba * size, new Uint8Array(8));
    }
  }
}
