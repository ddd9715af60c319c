import { isZero } from '../bytes/is-zero.ts';
import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { FsError } from '../errors.ts';
import type { DiskLayout } from './disk-layout.ts';
import { GptHeaderPair, usableRange } from './gpt-header-pair.ts';
import { GptEntry, GptHeader, type HeaderSector, PRIMARY_LBA, decodeName, encodeName } from './gpt-header.ts';
import { guidBytes } from './gpt-type.ts';
import { formatGuid } from './guid.ts';
import { coverDisk, isHybrid, protect, recordKind } from './protective-record.ts';

/** An entry of the table under edit. */
export interface EditedGptPartition {
  /** From 0. The partition's number is one more. */
  readonly index: number;
  readonly used: boolean;
  readonly type: string;
  readonly uuid: string;
  readonly name: string;
  readonly attributes: bigint;
  readonly startSector: number;
  /** Included. */
  readonly endSector: number;
  readonly sectorCount: number;
}

/** What of an entry changes; `type` and `uuid` are GUIDs in text. */
export type GptPartitionChange = Partial<
  Pick<EditedGptPartition, 'type' | 'uuid' | 'name' | 'attributes' | 'startSector' | 'endSector'>
>;

export const DEFAULT_ENTRY_COUNT = 128;

/** Bytes of boot code before the table in sector 0. */
const BOOT_CODE_SIZE = 440;

export interface CreateGptOptions {
  /** GUID in text. */
  readonly diskGuid: string;
  /** Boot code that is on the device stays. */
  readonly keepBootCode?: boolean;
  readonly entryCount?: number;
  /** The first and the last sector that partitions may take, where they are not the usual ones. */
  readonly firstUsable?: number;
  readonly lastUsable?: number;
}

/**
 * A GPT in memory, edited as util-linux' fdisk edits it, so that the same steps give the same bytes. Nothing reaches the device before
 * `write`, which writes both tables and both headers, and the protective MBR unless the MBR is a hybrid one.
 */
export class GptEditor {
  /** The device's layout; first sector and grain count for alignment. */
  layout: DiskLayout;
  /** What was odd when the table was read, in fdisk's words. */
  readonly warnings: string[] = [];
  /** What was mended when it was read waits to be written. */
  changed: boolean;
  /** Sector 0. */
  readonly #record: Uint8Array;
  readonly #headers: GptHeaderPair;
  #entries: Uint8Array;
  /** The entries in use, until one changes. */
  #used: readonly EditedGptPartition[] | undefined;

  private constructor(
    layout: DiskLayout,
    record: Uint8Array,
    headers: GptHeaderPair,
    entries: Uint8Array,
    changed: boolean,
  ) {
    this.#record = record;
    this.#headers = headers;
    this.#entries = entries;
    this.changed = changed;
    this.layout = layout;
    this.#adoptRange();
  }

  /** An empty table. ENOSPC when the device has no room for one; RangeError when the usable sectors that are asked for do not fit. */
  static create(device: BlockDevice, layout: DiskLayout, options: CreateGptOptions): GptEditor {
    const { sectorSize, sectorCount } = layout;
    const entryCount = options.entryCount ?? usualEntryCount(layout);
    const range = usableRange(layout, entryCount);
    if (range === undefined) {
      throw new FsError('ENOSPC', {
        detail: `a GPT of ${entryCount} entries does not fit on ${sectorCount} sectors of ${sectorSize} bytes`,
      });
    }
    const { first, last } = range;
    const alignedFirst = first < layout.firstSector && layout.firstSector < last ? layout.firstSector : first;
    const firstUsable = options.firstUsable ?? alignedFirst;
    const lastUsable = options.lastUsable ?? last;
    if (firstUsable < first || firstUsable > last) {
      throw new RangeError('First LBA specified by script is out of range.');
    }
    if (lastUsable < first || lastUsable > last) {
      throw new RangeError('Last LBA specified by script is out of range.');
    }
    const headers = GptHeaderPair.create(layout, {
      diskGuid: options.diskGuid,
      entryCount,
      usable: { first: firstUsable, last: lastUsable },
    });
    const record = readBytes(device, 0, sectorSize);
    record.fill(0, options.keepBootCode === true ? BOOT_CODE_SIZE : 0);
    protect(record, sectorCount);
    const entries = new Uint8Array(entryCount * GptEntry.$size);
    return new GptEditor(layout, record, headers, entries, true);
  }

  /** The table on the device; undefined where the MBR does not tell of one or no header is whole. */
  static open(
    device: BlockDevice,
    layout: DiskLayout,
    options: { readonly readOnly?: boolean } = {},
  ): GptEditor | undefined {
    const { sectorSize, sectorCount } = layout;
    if (device.size < 3 * sectorSize) return undefined;
    const record = readBytes(device, 0, sectorSize);
    const kind = recordKind(record);
    if (kind === undefined) return undefined;
    const opened = GptHeaderPair.open(device, layout, options);
    if (opened === undefined) return undefined;
    const mismatch = kind === 'protective' ? coverDisk(record, sectorCount) : undefined;
    const changed = opened.changed || mismatch !== undefined;
    const editor = new GptEditor(layout, record, opened.headers, opened.entries, changed);
    editor.warnings.push(...(mismatch === undefined ? [] : [mismatch]), ...opened.warnings);
    return editor;
  }

  get diskGuid(): string {
    return formatGuid(GptHeader.DiskGUID.get(this.#primary.view, 0));
  }

  set diskGuid(guid: string) {
    this.#headers.setDiskGuid(guid);
    this.changed = true;
  }

  get #primary(): HeaderSector {
    return this.#headers.primary;
  }

  get firstUsable(): number {
    return this.#primary.firstUsable;
  }

  get lastUsable(): number {
    return this.#primary.lastUsable;
  }

  get alternateLba(): number {
    return this.#primary.alternateLba;
  }

  /** First sector of the primary table. */
  get tableLba(): number {
    return this.#primary.tableLba;
  }

  get entryCount(): number {
    return this.#primary.entryCount;
  }

  /** Last sector of the primary table. */
  get tableEndLba(): number {
    return this.tableLba + this.#headers.tableSectors - 1;
  }

  /** `1.0`. */
  get revision(): string {
    const revision = GptHeader.Revision.get(this.#primary.view, 0);
    return `${revision >>> 16}.${revision & 0xffff}`;
  }

  get hybrid(): boolean {
    return isHybrid(this.#record);
  }

  /** Sector 0 as it will be, in place: a hybrid MBR is edited here. */
  get bootSector(): Uint8Array {
    return this.#record;
  }

  /** The headers and the table as they will be, with their CRCs. */
  image(): { readonly primary: Uint8Array; readonly backup: Uint8Array; readonly entries: Uint8Array } {
    const { primary, backup } = this.#headers;
    this.#headers.seal(this.#entries);
    return { primary: primary.bytes, backup: backup.bytes, entries: this.#entries };
  }

  partition(index: number): EditedGptPartition {
    const view = viewOf(this.#entries);
    const base = index * this.#primary.entrySize;
    const startSector = GptEntry.StartingLBA.get(view, base);
    const endSector = GptEntry.EndingLBA.get(view, base);
    return {
      index,
      used: !isZero(GptEntry.PartitionTypeGUID.get(view, base)),
      type: formatGuid(GptEntry.PartitionTypeGUID.get(view, base)),
      uuid: formatGuid(GptEntry.UniquePartitionGUID.get(view, base)),
      name: decodeName(GptEntry.PartitionName.get(view, base)),
      attributes: GptEntry.Attributes.get(view, base),
      startSector,
      endSector,
      sectorCount: endSector - startSector + 1,
    };
  }

  /** The entries in use, in the order of their numbers. */
  get partitions(): readonly EditedGptPartition[] {
    if (this.#used !== undefined) return this.#used;
    const view = viewOf(this.#entries);
    const found: EditedGptPartition[] = [];
    for (let index = 0; index < this.entryCount; index++) {
      const base = index * this.#primary.entrySize;
      if (!isZero(GptEntry.PartitionTypeGUID.get(view, base))) found.push(this.partition(index));
    }
    this.#used = found;
    return found;
  }

  /** Fills or changes an entry. */
  setPartition(index: number, change: GptPartitionChange): void {
    const view = viewOf(this.#entries);
    const base = index * this.#primary.entrySize;
    if (change.type !== undefined) GptEntry.PartitionTypeGUID.set(view, base, guidBytes(change.type));
    if (change.uuid !== undefined) GptEntry.UniquePartitionGUID.set(view, base, guidBytes(change.uuid));
    if (change.startSector !== undefined) GptEntry.StartingLBA.set(view, base, change.startSector);
    if (change.endSector !== undefined) GptEntry.EndingLBA.set(view, base, change.endSector);
    if (change.attributes !== undefined) GptEntry.Attributes.set(view, base, change.attributes);
    if (change.name !== undefined) GptEntry.PartitionName.set(view, base, encodeName(change.name));
    this.#touch();
  }

  delete(index: number): void {
    const { entrySize } = this.#primary;
    this.#entries.fill(0, index * entrySize, (index + 1) * entrySize);
    this.#touch();
  }

  /** Sorts the entries by where they start, without gaps between them; false when they are like that already. */
  sort(): boolean {
    const sorted = [...this.partitions].sort((a, b) => a.startSector - b.startSector);
    if (sorted.every(({ index }, i) => index === i)) return false;
    const { entrySize } = this.#primary;
    const entries = new Uint8Array(this.#entries.length);
    for (const [place, { index }] of sorted.entries()) {
      entries.set(this.#entries.subarray(index * entrySize, (index + 1) * entrySize), place * entrySize);
    }
    this.#entries = entries;
    this.#touch();
    return true;
  }

  /** Another number of entries. Returns in fdisk's words why not, where that is so. */
  resizeTable(entryCount: number): string[] {
    const { entrySize } = this.#primary;
    const most = Math.floor(0xffff_ffff / entrySize);
    if (entryCount > most || entryCount === 0) {
      return [`The number of the partition has to be smaller than ${most}.`];
    }
    const range = usableRange(this.layout, entryCount, entrySize);
    if (range === undefined) return ['Not enough space for new partition table!'];
    if (entryCount > this.entryCount) {
      const problems: string[] = [];
      for (const { index, startSector, endSector } of this.partitions) {
        const name = `Partition #${index + 1} out of range`;
        if (startSector < range.first) {
          problems.push(`${name} (minimal start is ${range.first} sectors)`);
        }
        if (endSector > range.last) problems.push(`${name} (maximal end is ${range.last} sectors)`);
      }
      if (problems.length > 0) return problems;
    }
    const entries = new Uint8Array(entryCount * entrySize);
    entries.set(this.#entries.subarray(0, entries.length));
    this.#entries = entries;
    this.#headers.setEntryCount(entryCount, range);
    this.#adoptRange();
    this.#touch();
    return [];
  }

  /** Moves the second header and table to the end of the device, or behind the last partition and one free sector. */
  placeBackup(where: 'end' | 'behind partitions'): void {
    const { tableSectors } = this.#headers;
    const lastUsed = Math.max(this.firstUsable, ...this.partitions.map(({ endSector }) => endSector));
    const atEnd = this.layout.sectorCount - 1;
    this.#headers.placeBackup(where === 'end' ? atEnd : Math.min(atEnd, lastUsed + tableSectors + 2));
    this.#touch();
  }

  /** A pair of partitions that overlap, by their indices. */
  overlap(): readonly [number, number] | undefined {
    const sorted = [...this.partitions].sort((a, b) => a.startSector - b.startSector);
    for (const [i, { index, startSector }] of sorted.entries()) {
      const before = sorted[i - 1];
      if (before !== undefined && startSector <= before.endSector) return [before.index, index];
    }
    return undefined;
  }

  /**
   * Writes the table to the device, in the order that UEFI asks for: backup table, backup header, primary table, primary header,
   * protective MBR. A power cut in between leaves one header and its table whole. EINVAL, before anything is written, where a header or a table
   * would lie over something else.
   */
  write(device: BlockDevice): void {
    const { sectorSize, sectorCount } = this.layout;
    const { primary, backup, entries } = this.image();
    const { tableLba, lba } = this.#headers.backup;
    const taken = this.partitions.map(({ startSector, endSector }) => ({
      first: startSector,
      last: endSector,
    }));
    this.#headers.requireRoom(this.layout, taken);
    device.write(tableLba * sectorSize, entries);
    device.write(lba * sectorSize, backup);
    device.flush();
    device.write(this.tableLba * sectorSize, entries);
    device.write(PRIMARY_LBA * sectorSize, primary);
    // A hybrid one is a table of its own, which is written when that is.
    if (!this.hybrid) {
      protect(this.#record, sectorCount);
      device.write(0, this.#record);
    }
    device.flush();
    this.changed = false;
  }

  #touch(): void {
    this.#used = undefined;
    this.changed = true;
  }

  /** Partitions are aligned from the first usable sector on. */
  #adoptRange(): void {
    this.layout = { ...this.layout, firstSector: this.firstUsable };
  }
}

/** 128, and on the tiniest disks as many as whole sectors of them fit. */
function usualEntryCount(layout: DiskLayout): number {
  const perSector = layout.sectorSize / GptEntry.$size;
  const mostSectors = Math.floor((layout.sectorCount - 4) / 2);
  return Math.max(perSector, Math.min(DEFAULT_ENTRY_COUNT, mostSectors * perSector));
}
