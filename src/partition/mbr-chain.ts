import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { BOOT_RECORD_SIGNATURE, BootRecord, EMPTY_ENTRY, readEntry } from './mbr-entry.ts';
import { type EditorMessage, isCleared, openSlot } from './mbr-slot.ts';
import type { MbrSlots } from './mbr-slots.ts';
import { isExtendedType } from './mbr-type.ts';

/** Four primary ones and 56 logical ones, as many as util-linux writes. */
export const MAX_PARTITIONS = 60;

/** Reads the logical partitions of the device into the places behind the four. */
export function readChains(slots: MbrSlots, device: BlockDevice, messages: EditorMessage[]): void {
  for (const index of [0, 1, 2, 3]) {
    if (!isExtendedType(slots.partition(index).entry.type)) continue;
    if (slots.list.length > 4) {
      messages.push({ kind: 'warning', text: `Ignoring extra extended partition ${index + 1}` });
      continue;
    }
    slots.startChain(index);
    readChain(slots, device, { extendedIndex: index, messages });
  }
}

/** As util-linux reads it: a chain that runs in circles ends where the places for partitions do. */
function readChain(
  slots: MbrSlots,
  device: BlockDevice,
  { extendedIndex, messages }: { readonly extendedIndex: number; readonly messages: EditorMessage[] },
): void {
  const { sectorSize } = slots.layout;
  const extendedStart = slots.partition(extendedIndex).startSector;
  if (extendedStart === 0) {
    messages.push({ kind: 'warning', text: 'Bad offset in primary extended partition.' });
    return;
  }
  for (let sector: number | undefined = extendedStart; sector !== undefined;) {
    if (slots.list.length >= MAX_PARTITIONS) {
      const text = `Omitting partitions after #${slots.list.length}. They will be deleted if you save this partition table.`;
      messages.push({ kind: 'warning', text });
      const last = slots.list.at(-1)!;
      slots.put(last, last.linkIndex, EMPTY_ENTRY);
      break;
    }
    const offset: number = sector * sectorSize;
    if (offset + sectorSize > device.size) {
      const text = `Failed to read extended partition table (offset=${sector}): Success`;
      messages.push({ kind: 'warning', text });
      break;
    }
    const slot = openSlot(readBytes(device, offset, sectorSize), sector, {
      tableNumber: slots.list.length + 1,
      messages,
    });
    slots.list.push(slot);
    const link = readEntry(viewOf(slot.record), slot.linkIndex);
    sector = isExtendedType(link.type) ? extendedStart + link.startSector : undefined;
  }
  dropEmpty(slots, messages);
  checkSignatures(slots, extendedIndex, messages);
}

/** Boot records without a partition: an empty one at the end of the chain, and those that only lead on. */
function dropEmpty(slots: MbrSlots, messages: EditorMessage[]): void {
  const last = slots.list.at(-1)!;
  if (slots.list.length > 4 && isCleared(last, last.entryIndex) && isCleared(last, last.linkIndex)) {
    slots.list.pop();
  }
  for (let index = 4; index < slots.list.length; index++) {
    if (slots.partition(index).used) continue;
    if (slots.list.length === 5 && slots.partition(4).entry.type === 0) continue;
    messages.push({ kind: 'information', text: `omitting empty partition (${index + 1})` });
    deletePartition(slots, index);
    index = 3;
  }
}

function checkSignatures(slots: MbrSlots, extendedIndex: number, messages: EditorMessage[]): void {
  for (const [index, slot] of slots.list.entries()) {
    if (index < 4 || BootRecord.signature.get(viewOf(slot.record), 0) === BOOT_RECORD_SIGNATURE) continue;
    const flag = `0x${hex(slot.record[510]!)}${hex(slot.record[511]!)}`;
    const text = `Invalid flag ${flag} of EBR (for partition ${index + 1}) will be corrected by w(rite).`;
    messages.push({ kind: 'information', text });
    slot.changed = true;
    slots.list[extendedIndex]!.changed = true;
  }
}

/** Takes a partition away; what follows a logical one in the chain moves up. */
export function deletePartition(slots: MbrSlots, index: number): void {
  const slot = slots.list[index]!;
  slot.changed = true;
  if (index < 4) {
    if (index === slots.extendedIndex) {
      slots.list.length = 4;
      slots.extendedIndex = undefined;
    }
    slots.put(slot, slot.entryIndex, EMPTY_ENTRY);
    return;
  }
  const next = slots.list[index + 1];
  const isLinked = readEntry(viewOf(slot.record), slot.linkIndex).type !== 0;
  if (!isLinked && index > 4) {
    // The last of the chain: the one before it links to nothing.
    const previous = slots.list[index - 1]!;
    slots.put(previous, previous.linkIndex, EMPTY_ENTRY);
    slots.list.pop();
  } else if (index > 4) {
    // In the middle: the one before it takes over its link. The C/H/S come out as if the link counted from the boot
    // record that goes, which is how util-linux writes them.
    const previous = slots.list[index - 1]!;
    const link = readEntry(viewOf(slot.record), slot.linkIndex);
    const first = slot.tableSector + link.startSector;
    slots.put(previous, previous.linkIndex, {
      ...link,
      firstChs: slots.chs(first),
      lastChs: slots.chs(first + link.sectorCount - 1),
    });
    slots.list.splice(index, 1);
  } else if (index === 4 && next !== undefined) {
    // The first of several: the second one's boot record moves to the start of the extended partition.
    const second = slots.partition(5);
    next.tableSector = slots.extendedStart;
    slots.put(next, next.entryIndex, {
      ...second.entry,
      startSector: second.startSector - next.tableSector,
    });
    slots.list.splice(4, 1);
  } else {
    // The only one: an empty boot record takes its place.
    slots.list.pop();
    slots.list[slots.extendedIndex!]!.changed = true;
  }
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
