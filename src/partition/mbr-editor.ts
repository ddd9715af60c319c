import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { FsError } from '../errors.ts';
import type { DiskLayout } from './disk-layout.ts';
import { deletePartition, readChains } from './mbr-chain.ts';
import { BOOT_RECORD_SIGNATURE, BootRecord, type Entry } from './mbr-entry.ts';
import { sortPartitions } from './mbr-order.ts';
import { type EditorMessage, newSlot } from './mbr-slot.ts';
import { type EditedPartition, MbrSlots } from './mbr-slots.ts';
import { isExtendedType } from './mbr-type.ts';

/**
 * An MBR in memory, edited as util-linux' fdisk edits it, so that the same steps give the same bytes: which boot record
 * a logical partition gets, what becomes of the chain when one is deleted, which C/H/S are written. Nothing reaches the
 * device before `write`, and then only the boot records that changed.
 */
export class MbrEditor {
  /** What was odd in the chain when it was read, in fdisk's words. */
  readonly messages: EditorMessage[] = [];
  readonly #slots: MbrSlots;

  private constructor(layout: DiskLayout, record: Uint8Array) {
    this.#slots = new MbrSlots(layout, record);
  }

  /** An empty table with this identifier. Boot code that is on the device stays only when `keepBootCode` is set. */
  static create(
    device: BlockDevice,
    layout: DiskLayout,
    options: { readonly diskIdentifier: number; readonly keepBootCode?: boolean },
  ): MbrEditor {
    const editor = new MbrEditor(layout, readBytes(device, 0, layout.sectorSize));
    const record = editor.#slots.list[0]!.record;
    const view = viewOf(record);
    if (options.keepBootCode !== true) BootRecord.bootCode.set(view, 0, new Uint8Array(440));
    BootRecord.reserved.set(view, 0, 0);
    BootRecord.partitionTable.set(view, 0, new Uint8Array(64));
    BootRecord.diskSignature.set(view, 0, options.diskIdentifier);
    BootRecord.signature.set(view, 0, BOOT_RECORD_SIGNATURE);
    editor.#slots.list[0]!.changed = true;
    return editor;
  }

  /** The table on the device; undefined where sector 0 does not end in 0x55 0xaa. */
  static open(device: BlockDevice, layout: DiskLayout): MbrEditor | undefined {
    if (device.size < layout.sectorSize) return undefined;
    const record = readBytes(device, 0, layout.sectorSize);
    if (BootRecord.signature.get(viewOf(record), 0) !== BOOT_RECORD_SIGNATURE) return undefined;
    const editor = new MbrEditor(layout, record);
    readChains(editor.#slots, device, editor.messages);
    return editor;
  }

  /** The table in a boot sector that another editor holds: a hybrid MBR. */
  static overBootSector(device: BlockDevice, record: Uint8Array, layout: DiskLayout): MbrEditor {
    const editor = new MbrEditor(layout, record);
    readChains(editor.#slots, device, editor.messages);
    return editor;
  }

  /** The texts of all messages. */
  get warnings(): string[] {
    return this.messages.map(({ text }) => text);
  }

  get diskIdentifier(): number {
    return BootRecord.diskSignature.get(viewOf(this.#slots.list[0]!.record), 0);
  }

  set diskIdentifier(value: number) {
    BootRecord.diskSignature.set(viewOf(this.#slots.list[0]!.record), 0, value);
    this.#slots.list[0]!.changed = true;
  }

  /** Places there are now: four, and one for each logical partition. */
  get slotCount(): number {
    return this.#slots.list.length;
  }

  /** Something waits to be written. */
  get changed(): boolean {
    return this.#slots.list.some(({ changed }) => changed);
  }

  get extendedIndex(): number | undefined {
    return this.#slots.extendedIndex;
  }

  get layout(): DiskLayout {
    return this.#slots.layout;
  }

  set layout(layout: DiskLayout) {
    this.#slots.layout = layout;
  }

  /** Every place, used or not, in the order of the numbers. */
  get partitions(): EditedPartition[] {
    return this.#slots.partitions;
  }

  partition(index: number): EditedPartition {
    return this.#slots.partition(index);
  }

  /** Sector of the boot record that holds the partition's entry. */
  tableSector(index: number): number {
    return this.#slots.list[index]!.tableSector;
  }

  /** A place for one more logical partition; `setPartition` fills it, `removeSlot` takes it back. */
  addSlot(): number {
    this.#slots.list.push(newSlot(0, this.layout.sectorSize));
    return this.#slots.list.length - 1;
  }

  /** Takes back what `addSlot` gave when nothing has come of it. */
  removeSlot(index: number): void {
    if (index >= 4 && index === this.#slots.list.length - 1) this.#slots.list.pop();
  }

  /** Puts the boot record of a new logical partition at this sector. */
  placeTable(index: number, sector: number): void {
    this.#slots.list[index]!.tableSector = sector;
  }

  /** Fills a place. A logical partition is also linked from the one before it. */
  setPartition(
    index: number,
    type: number,
    startSector: number,
    endSector: number,
    options: { readonly active?: boolean } = {},
  ): void {
    const slot = this.#slots.list[index]!;
    this.#slots.writeEntry(slot, slot.entryIndex, type, slot.tableSector, startSector, endSector);
    if (options.active === true) this.#slots.patch(index, { bootIndicator: 0x80 });
    if (index > 4) {
      const previous = this.#slots.list[index - 1]!;
      this.#slots.writeEntry(
        previous,
        previous.linkIndex,
        0x05,
        this.#slots.extendedStart,
        slot.tableSector,
        endSector,
      );
    }
    if (index < 4 && isExtendedType(type)) this.#slots.startChain(index);
  }

  /**
   * A primary partition may become the extended one, if there is none yet, and cease to be it. As in util-linux it ceases to be it also when one
   * extended type takes the place of another: the logical partitions are back when the table is read again.
   */
  setType(index: number, type: number): void {
    const before = this.partition(index).entry.type;
    this.#slots.patch(index, { type });
    if (index >= 4) return;
    if (isExtendedType(type) && !isExtendedType(before)) {
      this.#slots.startChain(index);
    } else if (isExtendedType(before)) {
      this.#slots.extendedIndex = undefined;
      this.#slots.list.length = 4;
    }
  }

  /** Returns whether the partition is active now. */
  toggleActive(index: number): boolean {
    const active = this.partition(index).entry.bootIndicator === 0;
    this.setActive(index, active);
    return active;
  }

  setActive(index: number, active: boolean): void {
    this.#slots.patch(index, { bootIndicator: active ? 0x80 : 0 });
  }

  delete(index: number): void {
    deletePartition(this.#slots, index);
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
    const slot = this.#slots.list[index]!;
    const { entry } = this.partition(index);
    this.#slots.put(slot, slot.entryIndex, {
      ...entry,
      firstChs: this.#slots.chs(startSector),
      lastChs: this.#slots.chs(endSector),
      startSector: startSector - slot.tableSector,
      sectorCount: endSector - startSector + 1,
    });
  }

  /** Gives all entries the C/H/S of their sectors; returns whether any had others. */
  fixChs(): boolean {
    let fixed = false;
    for (const { index, used, entry, startSector, endSector } of this.partitions) {
      if (!used) continue;
      const change = { firstChs: this.#slots.chs(startSector), lastChs: this.#slots.chs(endSector) };
      if (sameChs(entry.firstChs, change.firstChs) && sameChs(entry.lastChs, change.lastChs)) continue;
      this.#slots.patch(index, change);
      fixed = true;
    }
    return fixed;
  }

  /** Puts the primary partitions and the logical ones into the order of the disk; returns whether they were not. */
  sort(): boolean {
    return sortPartitions(this.#slots);
  }

  /** Writes the boot records that changed: the EBRs from the first to the last, then the master boot record. */
  write(device: BlockDevice): void {
    this.#requireRoom(device);
    this.#writeEmptyChain(device);
    for (const slot of this.#slots.list.slice(4)) {
      if (!slot.changed) continue;
      BootRecord.signature.set(viewOf(slot.record), 0, BOOT_RECORD_SIGNATURE);
      device.write(slot.tableSector * this.layout.sectorSize, slot.record);
      slot.changed = false;
    }
    const primary = this.#slots.list.slice(0, 4);
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
    const sectors = this.#slots.list
      .slice(4)
      .filter(({ changed }) => changed)
      .map(({ tableSector }) => tableSector);
    if (this.#slots.extendedIndex !== undefined) sectors.push(this.#slots.extendedStart);
    const last = Math.max(0, ...sectors);
    if ((last + 1) * sectorSize <= device.size) return;
    throw new FsError('ENOSPC', {
      detail: `an extended boot record belongs into sector ${last}, the device ends with sector ${Math.floor(device.size / sectorSize) - 1}`,
    });
  }

  /** An extended partition that changed and holds nothing begins with a boot record that says so. */
  #writeEmptyChain(device: BlockDevice): void {
    if (this.#slots.extendedIndex === undefined || this.#slots.list.length > 4) return;
    if (!this.#slots.list[this.#slots.extendedIndex]!.changed || this.#slots.extendedStart === 0) return;
    const { sectorSize } = this.layout;
    const record = new Uint8Array(sectorSize);
    BootRecord.signature.set(viewOf(record), 0, BOOT_RECORD_SIGNATURE);
    device.write(this.#slots.extendedStart * sectorSize, record);
  }
}

function sameChs(a: Entry['firstChs'], b: Entry['firstChs']): boolean {
  return a.cylinder === b.cylinder && a.head === b.head && a.sector === b.sector;
}
