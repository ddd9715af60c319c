import { viewOf } from '../bytes/struct.ts';
import {
  BOOT_RECORD_SIGNATURE,
  BootRecord,
  EMPTY_ENTRY,
  type Entry,
  readEntry,
  writeEntry,
} from './mbr-entry.ts';
import { GPT_PROTECTIVE_TYPE } from './mbr-type.ts';

/** What sector 0 says of a GPT: that there is one, or that there is one beside partitions of its own; undefined where it says neither. */
export function recordKind(record: Uint8Array): 'protective' | 'hybrid' | undefined {
  const view = viewOf(record);
  if (BootRecord.signature.get(view, 0) !== BOOT_RECORD_SIGNATURE) return undefined;
  const entries = entriesOf(record);
  if (!entries.some(({ type, startSector }) => type === GPT_PROTECTIVE_TYPE && startSector === 1)) {
    return undefined;
  }
  return isHybrid(record) ? 'hybrid' : 'protective';
}

/** Are there others beside a protective entry? It may have been moved since the table was opened. */
export function isHybrid(record: Uint8Array): boolean {
  const types = entriesOf(record).map(({ type }) => type);
  return (
    types.includes(GPT_PROTECTIVE_TYPE) && types.some((type) => type !== 0 && type !== GPT_PROTECTIVE_TYPE)
  );
}

function entriesOf(record: Uint8Array): Entry[] {
  const view = viewOf(record);
  return [0, 1, 2, 3].map((index) => readEntry(view, index));
}

/** The protective MBR: one entry of type 0xee over the whole disk (UEFI 2.10, section 5.2.3). Boot code stays. */
export function protect(record: Uint8Array, sectorCount: number): void {
  const view = viewOf(record);
  for (let index = 0; index < 4; index++) writeEntry(view, index, EMPTY_ENTRY);
  writeEntry(view, 0, {
    bootIndicator: 0,
    type: GPT_PROTECTIVE_TYPE,
    firstChs: { cylinder: 0, head: 0, sector: 2 },
    lastChs: { cylinder: 1023, head: 255, sector: 63 },
    startSector: 1,
    sectorCount: Math.min(sectorCount - 1, MAX_COVERED),
  });
  BootRecord.signature.set(view, 0, BOOT_RECORD_SIGNATURE);
}

/** Lets the first entry cover the disk. Returns in fdisk's words what it covered instead, where it did not. */
export function coverDisk(record: Uint8Array, sectorCount: number): string | undefined {
  const entry = readEntry(viewOf(record), 0);
  if (entry.sectorCount === sectorCount - 1 || entry.sectorCount === MAX_COVERED) return undefined;
  writeEntry(viewOf(record), 0, { ...entry, sectorCount: Math.min(sectorCount - 1, MAX_COVERED) });
  return `GPT PMBR size mismatch (${entry.sectorCount} != ${sectorCount - 1}) will be corrected by write.`;
}

/** An entry cannot say more. */
const MAX_COVERED = 0xffff_ffff;
