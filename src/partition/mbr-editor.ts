import { MAX_CYLINDER, chsOfSector } from '../bytes/chs.ts';
import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { FsError } from '../errors.ts';
import type { DiskLayout } from './disk-layout.ts';
import {
  BOOT_RECORD_SIGNATURE,
  BootRecord,
  EMPTY_ENTRY,
  type Entry,
  readEntry,
  writeEntry,
} from './mbr-entry.ts';
import { type EditorMessage, type Slot, isCleared, newSlot, openSlot } from './mbr-slot.ts';
import { isExtendedType } from './mbr-type.ts';

/** Four primary ones and 56 logical ones, as many as util-linux writes. */
export const MAX_PARTITIONS = 60;

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

/**
 * An MBR in memory, edited as util-linux' fdisk edits it, so that the same steps give the same bytes: which boot record
 * a logical partition gets, what becomes of the chain when one is deleted, which C/H/S are written. Nothing reaches the
 * device before `write`, and then only the boot records that changed.
 */
export class MbrEditor {
  layout: DiskLayout;
  /** What was odd in the chain when it was read, in fdisk's words. */
  readonly messages: EditorMessage[] = [];
  readonly #slots: Slot[];
  #extendedIndex: number | undefined;

  private constructor(layout: DiskLayout, record: Uint8Array) {
    this.layout = layout;
    this.#slots = [0, 1, 2, 3].map((entryIndex) => ({
      tableSector: 0,
      record,
      entryIndex,
      linkIndex: -1,
      changed: false,
    }));
  }

  /** An empty table with this identifier. Boot code that is on the device stays only when `keepBootCode` is set. */
  static create(
    device: BlockDevice,
    layout: DiskLayout,
    options: { readonly diskIdentifier: number; readonly keepBootCode?: boolean },
  ): MbrEditor {
    const editor = new MbrEditor(layout, readBytes(device, 0, layout.sectorSize));
    const record = editor.#slots[0]!.record;
    const view = viewOf(record);
    if (options.keepBootCode !== true) BootRecord.bootCode.set(view, 0, new Uint8Array(440));
    BootRecord.reserved.set(view, 0, 0);
    BootRecord.partitionTable.set(view, 0, new Uint8Array(64));
    BootRecord.diskSignature.set(view, 0, options.diskIdentifier);
    BootRecord.signature.set(view, 0, BOOT_RECORD_SIGNATURE);
    editor.#slots[0]!.changed = true;
    return editor;
  }

  /** The table on the device; undefined where sector 0 does not end in 0x55 0xaa. */
  static open(device: BlockDevice, layout: DiskLayout): MbrEditor | undefined {
    if (device.size < layout.sectorSize) return undefined;
    const record = readBytes(device, 0, layout.sectorSize);
    if (BootRecord.signature.get(viewOf(record), 0) !== BOOT_RECORD_SIGNATURE) return undefined;
    const editor = new MbrEditor(layout, record);
    editor.#readChains(device);
    return editor;
  }

  /** The table in a boot sector that another editor holds: a hybrid MBR. */
  static overBootSector(device: BlockDevice, record: Uint8Array, layout: DiskLayout): MbrEditor {
    const editor = new MbrEditor(layout, record);
    editor.#readChains(device);
    return editor;
  }

  /** The texts of all messages. */
  get warnings(): string[] {
    return this.messages.map(({ text }) => text);
  }

  get diskIdentifier(): number {
    return BootRecord.diskSignature.get(viewOf(this.#slots[0]!.record), 0);
  }

  set diskIdentifier(value: number) {
    BootRecord.diskSignature.set(viewOf(this.#slots[0]!.record), 0, value);
    this.#slots[0]!.changed = true;
  }

  /** Places there are now: four, and one for each logical partition. */
  get slotCount(): number {
    return this.#slots.length;
  }

  /** Something waits to be written. */
  get changed(): boolean {
    return this.#slots.some(({ changed }) => changed);
  }

  get extendedIndex(): number | undefined {
    return this.#extendedIndex;
  }

  /** Every place, used or not, in the order of the numbers. */
  get partitions(): EditedPartition[] {
    return this.#slots.map((_, index) => this.partition(index));
  }

  partition(index: number): EditedPartition {
    const slot = this.#slots[index]!;
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

  /** Sector of the boot record that holds the partition's entry. */
  tableSector(index: number): number {
    return this.#slots[index]!.tableSector;
  }

  /** A place for one more logical partition; `setPartition` fills it, `removeSlot` takes it back. */
  addSlot(): number {
    this.#slots.push(newSlot(0, this.layout.sectorSize));
    return this.#slots.length - 1;
  }

  /** Takes back what `addSlot` gave when nothing has come of it. */
  removeSlot(index: number): void {
    if (index >= 4 && index === this.#slots.length - 1) this.#slots.pop();
  }

  /** Puts the boot record of a new logical partition at this sector. */
  placeTable(index: number, sector: number): void {
    this.#slots[index]!.tableSector = sector;
  }

  /** Fills a place. A logical partition is also linked from the one before it. */
  setPartition(
    index: number,
    type: number,
    startSector: number,
    endSector: number,
    options: { readonly active?: boolean } = {},
  ): void {
    const slot = this.#slots[index]!;
    this.#writeEntry(slot, slot.entryIndex, type, slot.tableSector, startSector, endSector);
    if (options.active === true) this.#patch(index, { bootIndicator: 0x80 });
    if (index > 4) {
      const previous = this.#slots[index - 1]!;
      this.#writeEntry(
        previous,
        previous.linkIndex,
        0x05,
        this.#extendedStart(),
        slot.tableSector,
        endSector,
      );
    }
    if (index < 4 && isExtendedType(type)) this.#startChain(index);
  }

  /**
   * A primary partition may become the extended one, if there is none yet, and cease to be it. As in util-linux it ceases to be it also when one
   * extended type takes the place of another: the logical partitions are back when the table is read again.
   */
  setType(index: number, type: number): void {
    const before = this.partition(index).entry.type;
    this.#patch(index, { type });
    if (index >= 4) return;
    if (isExtendedType(type) && !isExtendedType(before)) {
      this.#startChain(index);
    } else if (isExtendedType(before)) {
      this.#extendedIndex = undefined;
      this.#slots.length = 4;
    }
  }

  /** Returns whether the partition is active now. */
  toggleActive(index: number): boolean {
    const active = this.partition(index).entry.bootIndicator === 0;
    this.setActive(index, active);
    return active;
  }

  setActive(index: number, active: boolean): void {
    this.#patch(index, { bootIndicator: active ? 0x80 : 0 });
  }

  delete(index: number): void {
    const slot = this.#slots[index]!;
    slot.changed = true;
    if (index < 4) {
      if (index === this.#extendedIndex) {
        this.#slots.length = 4;
        this.#extendedIndex = undefined;
      }
      this.#put(slot, slot.entryIndex, EMPTY_ENTRY);
      return;
    }
    const next = this.#slots[index + 1];
    const isLinked = readEntry(viewOf(slot.record), slot.linkIndex).type !== 0;
    if (!isLinked && index > 4) {
      // The last of the chain: the one before it links to nothing.
      const previous = this.#slots[index - 1]!;
      this.#put(previous, previous.linkIndex, EMPTY_ENTRY);
      this.#slots.pop();
    } else if (index > 4) {
      // In the middle: the one before it takes over its link. The C/H/S come out as if the link counted from the boot
      // record that goes, which is how util-linux writes them.
      const previous = this.#slots[index - 1]!;
      const link = readEntry(viewOf(slot.record), slot.linkIndex);
      const first = slot.tableSector + link.startSector;
      this.#put(previous, previous.linkIndex, {
        ...link,
        firstChs: this.#chs(first),
        lastChs: this.#chs(first + link.sectorCount - 1),
      });
      this.#slots.splice(index, 1);
    } else if (index === 4 && next !== undefined) {
      // The first of several: the second one's boot record moves to the start of the extended partition.
      const second = this.partition(5);
      next.tableSector = this.#extendedStart();
      this.#put(next, next.entryIndex, {
        ...second.entry,
        startSector: second.startSector - next.tableSector,
      });
      this.#slots.splice(4, 1);
    } else {
      // The only one: an empty boot record takes its place.
      this.#slots.pop();
      this.#slots[this.#extendedIndex!]!.changed = true;
    }
  }

  /** Moves where the data of a partition begins; its end stays. */
  moveBeginning(index: number, startSector: number): void {
    const { endSector, sectorCount } = this.partition(index);
    // util-linux takes such a partition for one that has been moved already.
    if (startSector - this.tableSector(index) === sectorCount) return;
    this.setRange(index, startSector, endSector);
  }

  /** Another range for a partition; the boot records of the chain stay where they are. */
  setRange(index: number, startSector: number, endSector: number): void {
    const slot = this.#slots[index]!;
    const { entry } = this.partition(index);
    this.#put(slot, slot.entryIndex, {
      ...entry,
      firstChs: this.#chs(startSector),
      lastChs: this.#chs(endSector),
      startSector: startSector - slot.tableSector,
      sectorCount: endSector - startSector + 1,
    });
  }

  /** Gives all entries the C/H/S of their sectors; returns whether any had others. */
  fixChs(): boolean {
    let fixed = false;
    for (const { index, used, entry, startSector, endSector } of this.partitions) {
      if (!used) continue;
      const change = { firstChs: this.#chs(startSector), lastChs: this.#chs(endSector) };
      if (sameChs(entry.firstChs, change.firstChs) && sameChs(entry.lastChs, change.lastChs)) continue;
      this.#patch(index, change);
      fixed = true;
    }
    return fixed;
  }

  /** Puts the primary partitions and the logical ones into the order of the disk; returns whether they were not. */
  sort(): boolean {
    let wrong = this.#outOfOrder();
    if (wrong === undefined) return false;
    while (wrong !== undefined && wrong.index < 4) {
      const [a, b] = [this.#slots[wrong.index]!, this.#slots[wrong.previous]!];
      const entry = readEntry(viewOf(a.record), a.entryIndex);
      this.#put(a, a.entryIndex, readEntry(viewOf(b.record), b.entryIndex));
      this.#put(b, b.entryIndex, entry);
      this.#extendedIndex = [0, 1, 2, 3].find((index) => this.partition(index).extended);
      wrong = this.#outOfOrder();
    }
    if (wrong !== undefined) this.#sortChain();
    return true;
  }

  /** The first partition that starts before the one in front of it; primary and logical ones each among themselves. */
  #outOfOrder(): { readonly index: number; readonly previous: number } | undefined {
    let previous: EditedPartition | undefined;
    for (const partition of this.partitions) {
      if (partition.index === 4) previous = undefined;
      if (!partition.used) continue;
      if (previous !== undefined && previous.startSector > partition.startSector) {
        return { index: partition.index, previous: previous.index };
      }
      previous = partition;
    }
    return undefined;
  }

  /**
   * Sorts the chain: first the boot records by their place, each with its own partition, then the partitions among the boot records, then
   * every boot record links to the next one.
   */
  #sortChain(): void {
    const logical = this.#slots.slice(4).sort((a, b) => a.tableSector - b.tableSector);
    this.#slots.splice(4, logical.length, ...logical);
    for (let index = 4; index < this.#slots.length - 1;) {
      const [first, second] = [this.partition(index), this.partition(index + 1)];
      if (first.startSector <= second.startSector) {
        index++;
        continue;
      }
      this.#moveEntry(second, index);
      this.#moveEntry(first, index + 1);
      index = 4;
    }
    for (const [i, slot] of logical.entries()) {
      const next = logical[i + 1];
      if (next === undefined) {
        this.#put(slot, slot.linkIndex, EMPTY_ENTRY);
        continue;
      }
      const { startSector } = readEntry(viewOf(slot.record), slot.linkIndex);
      if (startSector === next.tableSector - this.#extendedStart()) continue;
      const { endSector } = this.partition(5 + i);
      this.#writeEntry(slot, slot.linkIndex, 0x05, this.#extendedStart(), next.tableSector, endSector);
    }
  }

  /** Puts a logical partition into the boot record of another; it stays where it is on the disk. */
  #moveEntry({ entry, startSector, endSector }: EditedPartition, index: number): void {
    const slot = this.#slots[index]!;
    this.#put(slot, slot.entryIndex, {
      ...entry,
      firstChs: this.#chs(startSector),
      lastChs: this.#chs(endSector),
      startSector: startSector - slot.tableSector,
    });
  }

  /** Writes the boot records that changed: the EBRs from the first to the last, then the master boot record. */
  write(device: BlockDevice): void {
    this.#requireRoom(device);
    this.#writeEmptyChain(device);
    for (const slot of this.#slots.slice(4)) {
      if (!slot.changed) continue;
      BootRecord.signature.set(viewOf(slot.record), 0, BOOT_RECORD_SIGNATURE);
      device.write(slot.tableSector * this.layout.sectorSize, slot.record);
      slot.changed = false;
    }
    const primary = this.#slots.slice(0, 4);
    if (primary.some((slot) => slot.changed)) {
      const { record } = primary[0]!;
      BootRecord.signature.set(viewOf(record), 0, BOOT_RECORD_SIGNATURE);
      device.write(0, record);
      for (const slot of primary) slot.changed = false;
    }
    device.flush();
  }

  /** ENOSPC, before anything is written, where a boot record would lie past the end of the device. */
  #requireRoom(device: BlockDevice): void {
    const { sectorSize } = this.layout;
    const sectors = this.#slots
      .slice(4)
      .filter(({ changed }) => changed)
      .map(({ tableSector }) => tableSector);
    if (this.#extendedIndex !== undefined) sectors.push(this.#extendedStart());
    const last = Math.max(0, ...sectors);
    if ((last + 1) * sectorSize <= device.size) return;
    throw new FsError('ENOSPC', {
      detail: `an extended boot record belongs into sector ${last}, the device ends with sector ${Math.floor(device.size / sectorSize) - 1}`,
    });
  }

  /** An extended partition that changed and holds nothing begins with a boot record that says so. */
  #writeEmptyChain(device: BlockDevice): void {
    if (this.#extendedIndex === undefined || this.#slots.length > 4) return;
    if (!this.#slots[this.#extendedIndex]!.changed || this.#extendedStart() === 0) return;
    const { sectorSize } = this.layout;
    const record = new Uint8Array(sectorSize);
    BootRecord.signature.set(viewOf(record), 0, BOOT_RECORD_SIGNATURE);
    device.write(this.#extendedStart() * sectorSize, record);
  }

  #extendedStart(): number {
    return this.#extendedIndex === undefined ? 0 : this.partition(this.#extendedIndex).startSector;
  }

  /** Makes the partition the extended one, unless it begins with the master boot record: then there is no place for a chain. */
  #startChain(index: number): void {
    this.#extendedIndex = this.partition(index).startSector === 0 ? undefined : index;
    this.#slots.length = 4;
  }

  #put(slot: Slot, entryIndex: number, entry: Entry): void {
    writeEntry(viewOf(slot.record), entryIndex, entry);
    slot.changed = true;
  }

  #patch(index: number, change: Partial<Entry>): void {
    const slot = this.#slots[index]!;
    this.#put(slot, slot.entryIndex, { ...readEntry(viewOf(slot.record), slot.entryIndex), ...change });
  }

  #writeEntry(
    slot: Slot,
    entryIndex: number,
    type: number,
    base: number,
    startSector: number,
    endSector: number,
  ): void {
    this.#put(slot, entryIndex, {
      bootIndicator: 0,
      type,
      firstChs: this.#chs(startSector),
      lastChs: this.#chs(endSector),
      startSector: startSector - base,
      sectorCount: endSector - startSector + 1,
    });
  }

  /** Addresses past cylinder 1023 become the last one that fits. */
  #chs(sector: number): Entry['firstChs'] {
    const { geometry } = this.layout;
    const address = chsOfSector(sector, geometry);
    if (address.cylinder <= MAX_CYLINDER) return address;
    return { cylinder: MAX_CYLINDER, head: geometry.heads - 1, sector: geometry.sectorsPerTrack };
  }

  #readChains(device: BlockDevice): void {
    for (const index of [0, 1, 2, 3]) {
      if (!isExtendedType(this.partition(index).entry.type)) continue;
      if (this.#slots.length > 4) {
        this.messages.push({ kind: 'warning', text: `Ignoring extra extended partition ${index + 1}` });
        continue;
      }
      this.#startChain(index);
      this.#readChain(device, index);
    }
  }

  /** As util-linux reads it: a chain that runs in circles ends where the places for partitions do. */
  #readChain(device: BlockDevice, extendedIndex: number): void {
    const { sectorSize } = this.layout;
    const extendedStart = this.partition(extendedIndex).startSector;
    if (extendedStart === 0) {
      this.messages.push({ kind: 'warning', text: 'Bad offset in primary extended partition.' });
      return;
    }
    for (let sector: number | undefined = extendedStart; sector !== undefined;) {
      if (this.#slots.length >= MAX_PARTITIONS) {
        const text = `Omitting partitions after #${this.#slots.length}. They will be deleted if you save this partition table.`;
        this.messages.push({ kind: 'warning', text });
        const last = this.#slots.at(-1)!;
        this.#put(last, last.linkIndex, EMPTY_ENTRY);
        break;
      }
      const offset: number = sector * sectorSize;
      if (offset + sectorSize > device.size) {
        const text = `Failed to read extended partition table (offset=${sector}): Success`;
        this.messages.push({ kind: 'warning', text });
        break;
      }
      const slot = openSlot(readBytes(device, offset, sectorSize), sector, {
        tableNumber: this.#slots.length + 1,
        messages: this.messages,
      });
      this.#slots.push(slot);
      const link = readEntry(viewOf(slot.record), slot.linkIndex);
      sector = isExtendedType(link.type) ? extendedStart + link.startSector : undefined;
    }
    this.#dropEmpty();
    this.#checkSignatures(extendedIndex);
  }

  /** Boot records without a partition: an empty one at the end of the chain, and those that only lead on. */
  #dropEmpty(): void {
    const last = this.#slots.at(-1)!;
    if (this.#slots.length > 4 && isCleared(last, last.entryIndex) && isCleared(last, last.linkIndex)) {
      this.#slots.pop();
    }
    for (let index = 4; index < this.#slots.length; index++) {
      if (this.partition(index).used) continue;
      if (this.#slots.length === 5 && this.partition(4).entry.type === 0) continue;
      this.messages.push({ kind: 'information', text: `omitting empty partition (${index + 1})` });
      this.delete(index);
      index = 3;
    }
  }

  #checkSignatures(extendedIndex: number): void {
    for (const [index, slot] of this.#slots.entries()) {
      if (index < 4 || BootRecord.signature.get(viewOf(slot.record), 0) === BOOT_RECORD_SIGNATURE) continue;
      const flag = `0x${hex(slot.record[510]!)}${hex(slot.record[511]!)}`;
      const text = `Invalid flag ${flag} of EBR (for partition ${index + 1}) will be corrected by w(rite).`;
      this.messages.push({ kind: 'information', text });
      slot.changed = true;
      this.#slots[extendedIndex]!.changed = true;
    }
  }
}

function sameChs(a: Entry['firstChs'], b: Entry['firstChs']): boolean {
  return a.cylinder === b.cylinder && a.head === b.head && a.sector === b.sector;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
