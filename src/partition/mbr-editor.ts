import { MAX_CYLINDER, chsOfSector } from '../bytes/chs.ts';
import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import type { DiskLayout } from './disk-layout.ts';
import { BOOT_RECORD_SIGNATURE, BootRecord, type Entry, readEntry, writeEntry } from './mbr-entry.ts';
import { isExtendedType } from './mbr-type.ts';

/** Four primary ones and 56 logical ones, as many as util-linux writes. */
export const MAX_PARTITIONS = 60;

export const EMPTY_ENTRY: Entry = {
  bootIndicator: 0,
  type: 0,
  firstChs: { cylinder: 0, head: 0, sector: 0 },
  lastChs: { cylinder: 0, head: 0, sector: 0 },
  startSector: 0,
  sectorCount: 0,
};

/** A place for a partition: an entry of the master boot record, or an EBR with its entry and its link to the next. */
interface Slot {
  /** Sector of the boot record, from the start of the disk. */
  tableSector: number;
  /** The bytes of that sector; the four primary slots share one. */
  readonly record: Uint8Array;
  readonly entryIndex: number;
  readonly linkIndex: number;
  changed: boolean;
}

/** A partition under edit. Sectors count from the start of the disk. */
export interface EditedPartition {
  /** 0 to 3; logical ones from 4. The partition's number is one more. */
  readonly index: number;
  readonly used: boolean;
  readonly extended: boolean;
  readonly entry: Entry;
  readonly startSector: number;
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
  readonly warnings: string[] = [];
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
    editor.#extendedIndex = [0, 1, 2, 3].find((index) => editor.partition(index).extended);
    if (editor.#extendedIndex !== undefined) editor.#readChain(device, editor.#extendedIndex);
    return editor;
  }

  /** The four entries in a boot sector that another editor holds: a hybrid MBR. Its chain is not followed. */
  static overBootSector(record: Uint8Array, layout: DiskLayout): MbrEditor {
    return new MbrEditor(layout, record);
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
      extended: index < 4 && isExtendedType(entry.type) && entry.sectorCount !== 0,
      entry,
      startSector,
      endSector: startSector + entry.sectorCount - 1,
      sectorCount: entry.sectorCount,
    };
  }

  /** Sector of the boot record that holds the partition's entry. */
  tableSector(index: number): number {
    return this.#slots[index]!.tableSector;
  }

  /** A place for one more logical partition; `setPartition` fills it, `removeSlot` takes it back. */
  addSlot(): number {
    if (this.#slots.length > 5 || (this.#slots.length === 5 && this.partition(4).used)) {
      this.#slots.push(newSlot(0, this.layout.sectorSize));
    }
    return this.#slots.length - 1;
  }

  /** Takes back what `addSlot` gave when nothing has come of it. */
  removeSlot(index: number): void {
    if (index > 4 && index === this.#slots.length - 1) this.#slots.pop();
  }

  /** Puts the boot record of a new logical partition at this sector. */
  placeTable(index: number, sector: number): void {
    this.#slots[index]!.tableSector = sector;
  }

  /** Fills a place. A logical partition is also linked from the one before it. */
  setPartition(index: number, type: number, startSector: number, endSector: number): void {
    const slot = this.#slots[index]!;
    this.#writeEntry(slot, slot.entryIndex, type, slot.tableSector, startSector, endSector);
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

  /** A primary partition may become the extended one, if there is none yet, and cease to be it. */
  setType(index: number, type: number): void {
    this.#patch(index, { type });
    if (index >= 4) return;
    if (isExtendedType(type) && this.#extendedIndex === undefined) {
      this.#startChain(index);
    } else if (!isExtendedType(type) && this.#extendedIndex === index) {
      this.#extendedIndex = undefined;
      this.#slots.length = 4;
    }
  }

  /** Returns whether the partition is active now. */
  toggleActive(index: number): boolean {
    const active = this.partition(index).entry.bootIndicator !== 0x80;
    this.#patch(index, { bootIndicator: active ? 0x80 : 0 });
    return active;
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
    if (next === undefined && index > 4) {
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
    } else if (next !== undefined) {
      // The first of several: the second one's boot record moves to the start of the extended partition.
      const second = this.partition(5);
      next.tableSector = this.#extendedStart();
      this.#put(next, next.entryIndex, {
        ...second.entry,
        startSector: second.startSector - next.tableSector,
      });
      this.#slots.splice(4, 1);
    } else {
      this.#put(slot, slot.entryIndex, EMPTY_ENTRY);
    }
  }

  /** Moves where the data of a partition begins; its end stays. */
  moveBeginning(index: number, startSector: number): void {
    const slot = this.#slots[index]!;
    const { entry, endSector } = this.partition(index);
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
   * Sorts the chain: first the boot records behind the first by their place, each with its own partition and link, then the partitions
   * among the boot records. Sizes in links stay as they are, as the tool leaves them.
   */
  #sortChain(): void {
    const logical = this.#slots.slice(4);
    const shift = (slot: Slot, entryIndex: number, by: number): void => {
      const entry = readEntry(viewOf(slot.record), entryIndex);
      this.#put(slot, entryIndex, { ...entry, startSector: entry.startSector + by });
    };
    const link = (slot: Slot, target: number): void => {
      const entry = readEntry(viewOf(slot.record), slot.linkIndex);
      this.#put(slot, slot.linkIndex, { ...entry, startSector: target - this.#extendedStart() });
    };
    for (let at = 1; at < logical.length - 1;) {
      const [before, a, b] = [logical[at - 1]!, logical[at]!, logical[at + 1]!];
      if (a.tableSector <= b.tableSector) {
        at++;
        continue;
      }
      const moved = a.tableSector - b.tableSector;
      shift(a, a.entryIndex, moved);
      shift(b, b.entryIndex, -moved);
      [a.tableSector, b.tableSector] = [b.tableSector, a.tableSector];
      link(before, a.tableSector);
      link(a, b.tableSector);
      at = 1;
    }
    for (let at = 0; at < logical.length - 1;) {
      const [a, b] = [logical[at]!, logical[at + 1]!];
      const [first, second] = [this.partition(4 + at), this.partition(5 + at)];
      if (first.startSector <= second.startSector) {
        at++;
        continue;
      }
      this.#put(a, a.entryIndex, { ...second.entry, startSector: second.startSector - a.tableSector });
      this.#put(b, b.entryIndex, { ...first.entry, startSector: first.startSector - b.tableSector });
      at = 0;
    }
    for (const slot of logical) slot.changed = true;
  }

  /** Writes the boot records that changed: the EBRs from the first to the last, then the master boot record. */
  write(device: BlockDevice): void {
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

  #extendedStart(): number {
    return this.#extendedIndex === undefined ? 0 : this.partition(this.#extendedIndex).startSector;
  }

  /** Makes the partition the extended one, with an empty first boot record. */
  #startChain(index: number): void {
    this.#extendedIndex = index;
    this.#slots.length = 4;
    const { startSector } = this.partition(index);
    this.#slots.push({ ...newSlot(startSector, this.layout.sectorSize), changed: true });
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

  #readChain(device: BlockDevice, extendedIndex: number): void {
    const { sectorSize } = this.layout;
    const extendedStart = this.partition(extendedIndex).startSector;
    const seen = new Set<number>();
    for (let sector: number | undefined = extendedStart; sector !== undefined;) {
      if (this.#slots.length >= MAX_PARTITIONS) {
        this.warnings.push(
          `Omitting partitions after #${this.#slots.length}. They will be deleted if you save this partition table.`,
        );
        break;
      }
      const offset: number = sector * sectorSize;
      if (seen.has(sector) || offset + sectorSize > device.size) {
        this.warnings.push(
          seen.has(sector)
            ? `The chain of logical partitions returns to sector ${sector}; what follows is ignored.`
            : `The chain of logical partitions leaves the disk at sector ${sector}; what follows is ignored.`,
        );
        break;
      }
      seen.add(sector);
      const slot: Slot = openSlot(readBytes(device, offset, sectorSize), sector);
      const view = viewOf(slot.record);
      this.#slots.push(slot);
      const signature = BootRecord.signature.get(view, 0);
      if (signature !== BOOT_RECORD_SIGNATURE) {
        this.warnings.push(
          `Invalid flag 0x${hex(slot.record[510]!)}${hex(slot.record[511]!)} of EBR (for partition ${this.#slots.length}) will be corrected by w(rite).`,
        );
        slot.changed = true;
      }
      const link = readEntry(view, slot.linkIndex);
      sector = isExtendedType(link.type) ? extendedStart + link.startSector : undefined;
    }
    for (let index = 4; index < this.#slots.length; index++) {
      if (this.partition(index).used || (this.#slots.length === 5 && !this.partition(4).used)) continue;
      this.warnings.push(`omitting empty partition (${index + 1})`);
      this.delete(index);
      index = 3;
    }
  }
}

function newSlot(tableSector: number, sectorSize: number): Slot {
  return { tableSector, record: new Uint8Array(sectorSize), entryIndex: 0, linkIndex: 1, changed: false };
}

/** Which of an EBR's four entries is the partition and which the link: by their types, by their place where those do not tell. */
function openSlot(record: Uint8Array, tableSector: number): Slot {
  const view = viewOf(record);
  const types = [0, 1, 2, 3].map((index) => readEntry(view, index).type);
  let linkIndex = types.findIndex((type) => isExtendedType(type));
  let entryIndex = types.findIndex((type) => type !== 0 && !isExtendedType(type));
  if (entryIndex < 0) entryIndex = linkIndex === 0 ? 1 : 0;
  if (linkIndex < 0) linkIndex = entryIndex === 0 ? 1 : 0;
  return { tableSector, record, entryIndex, linkIndex, changed: false };
}

function sameChs(a: Entry['firstChs'], b: Entry['firstChs']): boolean {
  return a.cylinder === b.cylinder && a.head === b.head && a.sector === b.sector;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
