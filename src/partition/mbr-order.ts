import { viewOf } from '../bytes/struct.ts';
import { EMPTY_ENTRY, readEntry } from './mbr-entry.ts';
import type { EditedPartition, MbrSlots } from './mbr-slots.ts';

/** Puts the primary partitions and the logical ones into the order of the disk; returns whether they were not. */
export function sortPartitions(slots: MbrSlots): boolean {
  let wrong = outOfOrder(slots);
  if (wrong === undefined) return false;
  while (wrong !== undefined && wrong.index < 4) {
    const [a, b] = [slots.list[wrong.index]!, slots.list[wrong.previous]!];
    const entry = readEntry(viewOf(a.record), a.entryIndex);
    slots.put(a, a.entryIndex, readEntry(viewOf(b.record), b.entryIndex));
    slots.put(b, b.entryIndex, entry);
    slots.extendedIndex = [0, 1, 2, 3].find((index) => slots.partition(index).extended);
    wrong = outOfOrder(slots);
  }
  if (wrong !== undefined) sortChain(slots);
  return true;
}

/** The first partition that starts before the one in front of it; primary and logical ones each among themselves. */
function outOfOrder(slots: MbrSlots): { readonly index: number; readonly previous: number } | undefined {
  let previous: EditedPartition | undefined;
  for (const partition of slots.partitions) {
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
function sortChain(slots: MbrSlots): void {
  const logical = slots.list.slice(4).sort((a, b) => a.tableSector - b.tableSector);
  slots.list.splice(4, logical.length, ...logical);
  for (let index = 4; index < slots.list.length - 1;) {
    const [first, second] = [slots.partition(index), slots.partition(index + 1)];
    if (first.startSector <= second.startSector) {
      index++;
      continue;
    }
    moveEntry(slots, second, index);
    moveEntry(slots, first, index + 1);
    index = 4;
  }
  for (const [i, slot] of logical.entries()) {
    const next = logical[i + 1];
    if (next === undefined) {
      slots.put(slot, slot.linkIndex, EMPTY_ENTRY);
      continue;
    }
    const { startSector } = readEntry(viewOf(slot.record), slot.linkIndex);
    if (startSector === next.tableSector - slots.extendedStart) continue;
    const { endSector } = slots.partition(5 + i);
    slots.writeEntry(slot, slot.linkIndex, 0x05, slots.extendedStart, next.tableSector, endSector);
  }
}

/** Puts a logical partition into the boot record of another; it stays where it is on the disk. */
function moveEntry(slots: MbrSlots, { entry, startSector, endSector }: EditedPartition, index: number): void {
  const slot = slots.list[index]!;
  slots.put(slot, slot.entryIndex, {
    ...entry,
    firstChs: slots.chs(startSector),
    lastChs: slots.chs(endSector),
    startSector: startSector - slot.tableSector,
  });
}
