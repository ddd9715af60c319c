import type { BlockDevice } from '../device/block-device.ts';
import { FsError } from '../errors.ts';
import type { DiskLayout } from './disk-layout.ts';
import {
  GPT_REVISION,
  GPT_SIGNATURE,
  GptEntry,
  GptHeader,
  HeaderSector,
  PRIMARY_LBA,
  isFault,
  readHeader,
} from './gpt-header.ts';
import { guidBytes } from './gpt-type.ts';

/** Sectors, the last one included. */
export interface SectorSpan {
  readonly first: number;
  readonly last: number;
}

export interface NewHeaders {
  /** GUID in text. */
  readonly diskGuid: string;
  readonly entryCount: number;
  /** What partitions may take. */
  readonly usable: SectorSpan;
}

/** What was found on a device. */
export interface OpenedHeaders {
  readonly headers: GptHeaderPair;
  /** The table of the header that is believed. */
  readonly entries: Uint8Array;
  /** In fdisk's words. */
  readonly warnings: readonly string[];
  /** What was mended waits to be written. */
  readonly changed: boolean;
}

/** Both headers of a GPT under edit. They say the same, but for their own places and those of their tables. */
export class GptHeaderPair {
  readonly primary: HeaderSector;
  readonly backup: HeaderSector;

  private constructor(primary: HeaderSector, backup: HeaderSector) {
    this.primary = primary;
    this.backup = backup;
  }

  /** Those of a new table, at both ends of the device. */
  static create(
    { sectorSize, sectorCount }: DiskLayout,
    { diskGuid, entryCount, usable }: NewHeaders,
  ): GptHeaderPair {
    const primary = new HeaderSector(new Uint8Array(sectorSize));
    const { view } = primary;
    GptHeader.Signature.set(view, 0, GPT_SIGNATURE);
    GptHeader.Revision.set(view, 0, GPT_REVISION);
    GptHeader.HeaderSize.set(view, 0, GptHeader.$size);
    GptHeader.DiskGUID.set(view, 0, guidBytes(diskGuid));
    GptHeader.NumberOfPartitionEntries.set(view, 0, entryCount);
    GptHeader.SizeOfPartitionEntry.set(view, 0, GptEntry.$size);
    const pair = new GptHeaderPair(primary, new HeaderSector(primary.bytes.slice()));
    pair.setUsable(usable);
    pair.place(sectorCount - 1);
    return pair;
  }

  /** Those on the device, the one that is missing made from the other; undefined where neither is whole. */
  static open(
    device: BlockDevice,
    { sectorSize, sectorCount }: DiskLayout,
    options: { readonly readOnly?: boolean } = {},
  ): OpenedHeaders | undefined {
    const warnings: string[] = [];
    const lastSector = sectorCount - 1;
    const primary = readHeader(device, PRIMARY_LBA, sectorSize);
    const backupLba = isFault(primary) ? lastSector : primary.header.alternateLba;
    const backup = readHeader(device, backupLba, sectorSize);
    const good = isFault(primary) ? backup : primary;
    if (isFault(good)) return undefined;
    let changed = isFault(primary) || isFault(backup);
    if (changed) {
      const [bad, whole] = isFault(primary) ? ['primary', 'backup'] : ['backup', 'primary'];
      warnings.push(`The ${bad} GPT table is corrupt, but the ${whole} appears OK, so that will be used.`);
    }
    // util-linux would write as much of the first table as the second header has room for, or what lies behind it in memory.
    const isAnother = !isFault(primary) && !isFault(backup) && !sameShape(primary.header, backup.header);
    if (isAnother) {
      warnings.push(
        'The backup GPT table has another number or size of entries than the primary one. It will be written anew.',
      );
      changed = true;
    }
    const pair = new GptHeaderPair(
      isFault(primary) ? otherHeader(good.header, PRIMARY_LBA, sectorSize) : primary.header,
      isFault(backup) || isAnother
        ? otherHeader(good.header, good.header.alternateLba, sectorSize)
        : backup.header,
    );
    if (pair.primary.alternateLba !== lastSector) {
      if (options.readOnly === true) {
        warnings.push('The backup GPT table is not on the end of the device.');
      } else {
        warnings.push(
          'The backup GPT table is not on the end of the device. This problem will be corrected by write.',
        );
        if (pair.#moveToEnd(lastSector)) changed = true;
        else warnings.push('Failed to recalculate backup GPT table location');
      }
    }
    return { headers: pair, entries: good.entries, warnings, changed };
  }

  /** Sectors of one table. */
  get tableSectors(): number {
    return Math.ceil(this.primary.tableSize / this.primary.bytes.length);
  }

  setDiskGuid(guid: string): void {
    for (const { view } of [this.primary, this.backup]) GptHeader.DiskGUID.set(view, 0, guidBytes(guid));
  }

  setUsable({ first, last }: SectorSpan): void {
    for (const { view } of [this.primary, this.backup]) {
      GptHeader.FirstUsableLBA.set(view, 0, first);
      GptHeader.LastUsableLBA.set(view, 0, last);
    }
  }

  /** Another number of entries; both tables lie next to their headers then. */
  setEntryCount(entryCount: number, usable: SectorSpan): void {
    for (const { view } of [this.primary, this.backup]) {
      GptHeader.NumberOfPartitionEntries.set(view, 0, entryCount);
    }
    this.setUsable(usable);
    this.place(this.primary.alternateLba);
  }

  /** Puts the second header into this sector, and both tables next to their headers. */
  place(backupLba: number): void {
    const { length: sectorSize } = this.primary.bytes;
    placeHeader(this.primary, PRIMARY_LBA, backupLba, sectorSize);
    placeHeader(this.backup, backupLba, PRIMARY_LBA, sectorSize);
  }

  /** Puts the second header into this sector, and lets partitions have what is before its table. */
  placeBackup(backupLba: number): void {
    const last = backupLba - this.tableSectors - 1;
    for (const { view } of [this.primary, this.backup]) GptHeader.LastUsableLBA.set(view, 0, last);
    this.place(backupLba);
  }

  /** Sets the CRCs of both. */
  seal(entries: Uint8Array): void {
    this.primary.seal(entries);
    this.backup.seal(entries);
  }

  /**
   * EINVAL, before anything is written, where a header or a table would lie outside of the device, over one another, over the boot record, over
   * one of these partitions or where partitions may be: headers that are whole may still say anything.
   */
  requireRoom({ sectorCount }: DiskLayout, partitions: readonly SectorSpan[]): void {
    const { primary, backup, tableSectors } = this;
    const tableAt = ({ tableLba }: HeaderSector): SectorSpan => ({
      first: tableLba,
      last: tableLba + tableSectors - 1,
    });
    const written: readonly (readonly [string, SectorSpan])[] = [
      ['the boot record', { first: 0, last: 0 }],
      ['the primary header', { first: PRIMARY_LBA, last: PRIMARY_LBA }],
      ['the primary table', tableAt(primary)],
      ['the backup table', tableAt(backup)],
      ['the backup header', { first: backup.lba, last: backup.lba }],
    ];
    for (const [what, { lba, firstUsable, lastUsable }] of [
      ['the primary header', primary],
      ['the backup header', backup],
    ] as const) {
      if (lastUsable < firstUsable)
        refuse(`${what} would leave partitions sectors ${firstUsable} to ${lastUsable}`);
      if (lba <= firstUsable || lba >= lastUsable) continue;
      refuse(
        `${what} would lie in sector ${lba}, among those for partitions, ${firstUsable} to ${lastUsable}`,
      );
    }
    for (const [i, [what, span]] of written.entries()) {
      if (span.last >= sectorCount) {
        refuse(`${what} ${placeOf(span)}, the device ends with sector ${sectorCount - 1}`);
      }
      const other = written.slice(0, i).find(([, each]) => overlap(each, span));
      if (other !== undefined) refuse(`${what} ${placeOf(span)}, over ${other[0]}`);
      const partition = partitions.find((each) => overlap(each, span));
      if (partition !== undefined) {
        const { first, last } = partition;
        refuse(`${what} ${placeOf(span)}, over a partition of sectors ${first} to ${last}`);
      }
    }
  }

  /** The image has grown or shrunk: the backup goes to its end. False when there is no room for partitions left. */
  #moveToEnd(lastSector: number): boolean {
    if (lastSector - this.tableSectors - 1 <= this.primary.firstUsable) return false;
    this.placeBackup(lastSector);
    return true;
  }
}

/** The sectors that are left beside two headers, two tables and the MBR; undefined where none are. */
export function usableRange(
  { sectorSize, sectorCount }: DiskLayout,
  entryCount: number,
  entrySize: number = GptEntry.$size,
): SectorSpan | undefined {
  const tableSectors = Math.ceil((entryCount * entrySize) / sectorSize);
  const first = tableSectors + 2;
  const last = sectorCount - 2 - tableSectors;
  return last < first ? undefined : { first, last };
}

function sameShape(a: HeaderSector, b: HeaderSector): boolean {
  return a.entryCount === b.entryCount && a.entrySize === b.entrySize;
}

/** Puts the header into this sector and its table next to it: the first behind the header, the second before it. */
function placeHeader(header: HeaderSector, lba: number, alternate: number, sectorSize: number): void {
  const tableSectors = Math.ceil(header.tableSize / sectorSize);
  // A header in a place that makes no sense has its table in sector 0, which is never written.
  const tableLba = lba === PRIMARY_LBA ? lba + 1 : Math.max(0, lba - tableSectors);
  GptHeader.MyLBA.set(header.view, 0, lba);
  GptHeader.AlternateLBA.set(header.view, 0, alternate);
  GptHeader.PartitionEntryLBA.set(header.view, 0, tableLba);
}

/** The header that belongs at the other end, in this sector. */
function otherHeader(header: HeaderSector, lba: number, sectorSize: number): HeaderSector {
  const other = new HeaderSector(header.bytes.slice());
  placeHeader(other, lba, header.lba, sectorSize);
  return other;
}

function overlap(a: SectorSpan, b: SectorSpan): boolean {
  return a.first <= b.last && b.first <= a.last;
}

function placeOf({ first, last }: SectorSpan): string {
  return first === last ? `would lie in sector ${first}` : `would lie in sectors ${first} to ${last}`;
}

function refuse(detail: string): never {
  throw new FsError('EINVAL', { syscall: 'write', detail });
}
