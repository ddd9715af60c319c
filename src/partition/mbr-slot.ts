import { isZero } from '../bytes/is-zero.ts';
import { viewOf } from '../bytes/struct.ts';
import { PartitionEntry, entryOffset, readEntry } from './mbr-entry.ts';
import { isExtendedType } from './mbr-type.ts';

/** A place for a partition: an entry of the master boot record, or an EBR with its entry and its link to the next. */
export interface Slot {
  /** Sector of the boot record, from the start of the disk. */
  tableSector: number;
  /** The bytes of that sector; the four primary slots share one. */
  readonly record: Uint8Array;
  readonly entryIndex: number;
  readonly linkIndex: number;
  changed: boolean;
}

/** What fdisk says of a table while it reads it: information on standard output, warnings on standard error. */
export interface EditorMessage {
  readonly kind: 'information' | 'warning';
  readonly text: string;
}

/** Which of an EBR's four entries is the partition and which the link: by their types, by their place where those do not tell. */
export function openSlot(
  record: Uint8Array,
  tableSector: number,
  options: { readonly tableNumber: number; readonly messages: EditorMessage[] },
): Slot {
  const view = viewOf(record);
  let linkIndex = -1;
  let entryIndex = -1;
  const { tableNumber, messages } = options;
  for (let index = 0; index < 4; index++) {
    const { type, sectorCount } = readEntry(view, index);
    if (sectorCount === 0 || type === 0) continue;
    if (isExtendedType(type)) {
      if (linkIndex < 0) linkIndex = index;
      else
        messages.push({
          kind: 'warning',
          text: `Extra link pointer in partition table ${tableNumber}.`,
        });
    } else if (entryIndex < 0) entryIndex = index;
    else
      messages.push({
        kind: 'warning',
        text: `Ignoring extra data in partition table ${tableNumber}.`,
      });
  }
  if (entryIndex < 0) entryIndex = linkIndex === 0 ? 1 : 0;
  if (linkIndex < 0) linkIndex = entryIndex === 0 ? 1 : 0;
  return { tableSector, record, entryIndex, linkIndex, changed: false };
}

/** An empty boot record of one sector. */
export function newSlot(tableSector: number, sectorSize: number): Slot {
  return { tableSector, record: new Uint8Array(sectorSize), entryIndex: 0, linkIndex: 1, changed: false };
}

/** Is nothing at all in that entry of the boot record? */
export function isCleared(slot: Slot, entryIndex: number): boolean {
  const base = entryOffset(entryIndex);
  return isZero(slot.record.subarray(base, base + PartitionEntry.$size));
}
