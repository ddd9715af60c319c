import { MAX_CYLINDER, chsOfSector } from '../bytes/chs.ts';
import { viewOf } from '../bytes/struct.ts';
import type { DiskLayout } from './disk-layout.ts';
import { type Entry, readEntry, writeEntry } from './mbr-entry.ts';
import { type Slot, isCleared } from './mbr-slot.ts';
import { isExtendedType } from './mbr-type.ts';

/** A partition under edit. Sectors count from the start of the disk. */
export interface EditedPartition {
  /** 0 to 3; logical ones from 4. The partition's number is one more. */
  readonly index: number;
  /** It has sectors. */
  readonly used: boolean;
  /** Something is in its entry: util-linux lists it and lets it be chosen, even without sectors. */
  readonly present: boolean;
  readonly extended: boolean;
  readonly entry: Entry;
  readonly startSector: number;
  /** Included; the start where there are no sectors. */
  readonly endSector: number;
  readonly sectorCount: number;
}

/** The entries of a table under edit: four in the master boot record, and one for each logical partition in a boot record of its own. */
export class MbrSlots {
  layout: DiskLayout;
  readonly list: Slot[];
  /** Which of the four holds the logical ones. */
  extendedIndex: number | undefined;

  /** Of a table without logical partitions, in this boot record. */
  constructor(layout: DiskLayout, record: Uint8Array) {
    this.layout = layout;
    this.list = [0, 1, 2, 3].map((entryIndex) => ({
      tableSector: 0,
      record,
      entryIndex,
      linkIndex: -1,
      changed: false,
    }));
  }

  /** Every place, used or not, in the order of the numbers. */
  get partitions(): EditedPartition[] {
    return this.list.map((_, index) => this.partition(index));
  }

  partition(index: number): EditedPartition {
    const slot = this.list[index]!;
    const entry = readEntry(viewOf(slot.record), slot.entryIndex);
    const startSector = slot.tableSector + entry.startSector;
    return {
      index,
      used: entry.sectorCount !== 0,
      present: !isCleared(slot, slot.entryIndex),
      extended: index < 4 && isExtendedType(entry.type) && entry.sectorCount !== 0,
      entry,
      startSector,
      endSector: startSector + Math.max(0, entry.sectorCount - 1),
      sectorCount: entry.sectorCount,
    };
  }

  /** Where the logical partitions' sectors count from. */
  get extendedStart(): number {
    return this.extendedIndex === undefined ? 0 : this.partition(this.extendedIndex).startSector;
  }

  /** Makes the partition the extended one, unless it begins with the master boot record: then there is no place for a chain. */
  startChain(index: number): void {
    this.extendedIndex = this.partition(index).startSector === 0 ? undefined : index;
    this.list.length = 4;
  }

  put(slot: Slot, entryIndex: number, entry: Entry): void {
    writeEntry(viewOf(slot.record), entryIndex, entry);
    slot.changed = true;
  }

  /** Changes some fields of a partition's entry. */
  patch(index: number, change: Partial<Entry>): void {
    const slot = this.list[index]!;
    this.put(slot, slot.entryIndex, { ...readEntry(viewOf(slot.record), slot.entryIndex), ...change });
  }

  /** An entry for these sectors of the disk, counted from `base`. */
  writeEntry(
    slot: Slot,
    entryIndex: number,
    type: number,
    base: number,
    startSector: number,
    endSector: number,
  ): void {
    this.put(slot, entryIndex, {
      bootIndicator: 0,
      type,
      firstChs: this.chs(startSector),
      lastChs: this.chs(endSector),
      startSector: startSector - base,
      sectorCount: endSector - startSector + 1,
    });
  }

  /** Addresses past cylinder 1023 become the last one that fits. */
  chs(sector: number): Entry['firstChs'] {
    const { geometry } = this.layout;
    const address = chsOfSector(sector, geometry);
    if (address.cylinder <= MAX_CYLINDER) return address;
    return { cylinder: MAX_CYLINDER, head: geometry.heads - 1, sector: geometry.sectorsPerTrack };
  }
}
