import { MAX_CYLINDER, type Chs, chsOfSector } from '../bytes/chs.ts';
import { isZero } from '../bytes/is-zero.ts';
import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { geometryOfTable } from './chs-findings.ts';
import { VolumePlace, placeInVolume } from './hidden-sectors.ts';
import { BOOT_RECORD_SIGNATURE, BootRecord, PartitionEntry, entryOffset, readEntry } from './mbr-entry.ts';
import { isExtendedType } from './mbr-type.ts';
import type { MbrPartition, MbrTable } from './mbr.ts';
import type { TableFinding } from './table-finding.ts';
import type { MendIdea, MendStep } from './table-mend.ts';

/** What mends this fault of an MBR or of the boot sector in a partition; undefined where no rule tells. */
export function mbrMend(device: BlockDevice, table: MbrTable, finding: TableFinding): MendIdea | undefined {
  const partition = table.partitions.find(({ number }) => number === finding.partition);
  switch (finding.fault) {
    case 'chain-link':
      return linkMend(device, table, finding);
    case 'chain-signature':
      return signatureMend(device, table, finding);
    case 'outside-extended':
      return extendedMend(device, table);
    case 'zero-length':
      return emptyEntryMend(device, finding);
    case 'several-active':
      return activeMend(device, table);
    case 'chs':
      return partition === undefined ? undefined : chsMend(device, table, partition);
    case 'hidden-sectors':
      return partition === undefined ? undefined : hiddenMend(device, table, partition);
    default:
      return undefined;
  }
}

/** The boot record at this byte with a change; its name is by its place. */
function recordStep(device: BlockDevice, offset: number, change: (record: DataView) => void): MendStep {
  const after = readBytes(device, offset, 512);
  change(viewOf(after));
  const structure = offset === 0 ? 'master boot record' : 'extended boot record';
  return { structure, layout: 'boot record', offset, after };
}

/** Where the 16-byte entry that holds this byte begins, and its boot record. */
function placeOfEntry(table: MbrTable, offset: number): { readonly record: number; readonly base: number } {
  const record = Math.floor(offset / table.sectorSize) * table.sectorSize;
  const base = entryOffset(Math.floor((offset - record - entryOffset(0)) / 16));
  return { record, base };
}

/** Ends the chain before a link that returns, or that leads out of the extended partition; the partitions before it stay. */
function linkMend(device: BlockDevice, table: MbrTable, finding: TableFinding): MendIdea | undefined {
  const extended = table.partitions.find(({ kind }) => kind === 'extended');
  const { record, base } = placeOfEntry(table, finding.offset!);
  if (extended === undefined || record === 0) return undefined;
  const link = PartitionEntry.startingSector.get(viewOf(readBytes(device, record, 512)), base);
  const returns = finding.found.includes('has been before');
  // Within the partition and past the device: the image was cut, and grows back.
  if (!returns && link < extended.sectorCount) return undefined;
  return {
    title: 'end the chain of logical partitions before the link that leads nowhere',
    steps: [recordStep(device, record, (view) => clearEntry(view, base))],
  };
}

/**
 * Gives an extended boot record back its signature where the rest of it makes sense or is empty; else ends the chain before it.
 */
function signatureMend(device: BlockDevice, table: MbrTable, finding: TableFinding): MendIdea | undefined {
  const extended = table.partitions.find(({ kind }) => kind === 'extended');
  if (extended === undefined) return undefined;
  const offset = finding.offset! - BootRecord.signature.offset;
  const record = readBytes(device, offset, 512);
  const first = offset === extended.startSector * table.sectorSize;
  const isPlausible =
    first && isZero(record) ? true : hasPlausibleEntries(record, extended, offset / table.sectorSize);
  if (isPlausible) {
    return {
      title: `give the extended boot record at byte ${offset} its signature back`,
      steps: [recordStep(device, offset, (view) => BootRecord.signature.set(view, 0, BOOT_RECORD_SIGNATURE))],
    };
  }
  const target = offset / table.sectorSize - extended.startSector;
  const link = first ? undefined : linkTo(device, table, extended, target);
  if (link === undefined) return undefined;
  return {
    title: `end the chain of logical partitions before byte ${offset}, where there is no boot record`,
    steps: [recordStep(device, link.record, (view) => clearEntry(view, link.base))],
  };
}

function hasPlausibleEntries(record: Uint8Array, extended: MbrPartition, sector: number): boolean {
  const entries = [0, 1, 2, 3].map((index) => readEntry(viewOf(record), index));
  const end = extended.startSector + extended.sectorCount;
  const used = entries.filter(({ type, sectorCount }) => type !== 0 && sectorCount !== 0);
  return (
    used.length > 0 &&
    entries.every(({ bootIndicator }) => (bootIndicator & 0x7f) === 0) &&
    entries.slice(2).every(({ type }) => type === 0) &&
    used.every(({ type, startSector, sectorCount }) => {
      const start = (isExtendedType(type) ? extended.startSector : sector) + startSector;
      return startSector > 0 && start + sectorCount <= end;
    })
  );
}

/** The entry that links to this sector of the extended partition. */
function linkTo(
  device: BlockDevice,
  table: MbrTable,
  extended: MbrPartition,
  target: number,
): { readonly record: number; readonly base: number } | undefined {
  const sectors = new Set([extended.startSector * table.sectorSize]);
  for (const { kind, tableOffset } of table.partitions) if (kind === 'logical') sectors.add(tableOffset);
  for (const record of sectors) {
    const view = viewOf(readBytes(device, record, 512));
    for (let index = 0; index < 4; index++) {
      const { type, startSector } = readEntry(view, index);
      if (isExtendedType(type) && startSector === target) return { record, base: entryOffset(index) };
    }
  }
  return undefined;
}

/** Lets the extended partition reach to the end of its last logical one, where nothing else is in between. */
function extendedMend(device: BlockDevice, table: MbrTable): MendIdea | undefined {
  const { partitions, sectorSize } = table;
  const extended = partitions.find(({ kind }) => kind === 'extended');
  const logical = partitions.filter(({ kind }) => kind === 'logical');
  if (extended === undefined || logical.some(({ startSector }) => startSector <= extended.startSector)) {
    return undefined;
  }
  const end = Math.max(...logical.map(({ startSector, sectorCount }) => startSector + sectorCount));
  const isTaken = partitions.some(
    ({ kind, startSector, sectorCount }) =>
      kind === 'primary' && startSector < end && extended.startSector < startSector + sectorCount,
  );
  const sectorCount = end - extended.startSector;
  if (isTaken || end * sectorSize > device.size || sectorCount > 0xffff_ffff) return undefined;
  const lastChs = addressOf(table, end - 1);
  const base = extended.entryOffset - extended.tableOffset;
  return {
    title: `let the extended partition ${extended.number} hold all logical ones, up to sector ${end - 1}`,
    steps: [
      recordStep(device, extended.tableOffset, (view) => {
        PartitionEntry.numberOfSectors.set(view, base, sectorCount);
        PartitionEntry.endingChs.set(view, base, lastChs);
      }),
    ],
  };
}

function emptyEntryMend(device: BlockDevice, finding: TableFinding): MendIdea {
  const entry = finding.offset! - PartitionEntry.numberOfSectors.offset;
  // Boot records begin at multiples of 512 bytes, whatever the sectors are.
  const record = Math.floor(entry / 512) * 512;
  return {
    title: `clear the entry at byte ${entry}, which has no sectors`,
    steps: [recordStep(device, record, (view) => clearEntry(view, entry - record))],
  };
}

/** Keeps the one that can be booted, else the first. */
function activeMend(device: BlockDevice, table: MbrTable): MendIdea {
  const active = table.partitions.filter((each) => each.active && each.kind !== 'logical');
  const bootable = active.filter(({ startSector }) => {
    const offset = startSector * table.sectorSize;
    if (offset + 512 > device.size) return false;
    return BootRecord.signature.get(viewOf(readBytes(device, offset, 512)), 0) === BOOT_RECORD_SIGNATURE;
  });
  const kept = bootable.length === 1 ? bootable[0]! : active[0]!;
  return {
    title: `leave partition ${kept.number} active and no other`,
    steps: [
      recordStep(device, 0, (view) => {
        for (const { entryOffset: at } of active) {
          if (at !== kept.entryOffset) PartitionEntry.bootIndicator.set(view, at, 0);
        }
      }),
    ],
  };
}

function chsMend(device: BlockDevice, table: MbrTable, partition: MbrPartition): MendIdea {
  const { startSector, sectorCount, tableOffset, entryOffset: at } = partition;
  return {
    title: `give partition ${partition.number} the C/H/S of its sectors`,
    steps: [
      recordStep(device, tableOffset, (view) => {
        PartitionEntry.startingChs.set(view, at - tableOffset, addressOf(table, startSector));
        PartitionEntry.endingChs.set(view, at - tableOffset, addressOf(table, startSector + sectorCount - 1));
      }),
    ],
  };
}

/** Past cylinder 1023 the last address that fits, as fdisk writes it. */
function addressOf(table: MbrTable, sector: number): Chs {
  const geometry = geometryOfTable(table);
  const address = chsOfSector(sector, geometry);
  if (address.cylinder <= MAX_CYLINDER) return address;
  return { cylinder: MAX_CYLINDER, head: geometry.heads - 1, sector: geometry.sectorsPerTrack };
}

/** The boot sector and, on FAT32 and NTFS, its copy. */
function hiddenMend(device: BlockDevice, table: MbrTable, partition: MbrPartition): MendIdea | undefined {
  const place = placeInVolume(device, table.sectorSize, partition);
  if (place === undefined) return undefined;
  const hidden = place.accepted[0]!;
  const step = (offset: number, structure: string): MendStep => {
    const after = readBytes(device, offset, 512);
    VolumePlace.BPB_HiddSec.set(viewOf(after), 0, hidden);
    return { structure, layout: 'boot sector', offset, after };
  };
  const name = `boot sector of partition ${partition.number}`;
  return {
    title: `tell the boot sector of partition ${partition.number} that ${hidden} sectors are before it`,
    steps: [
      ...(place.copyOffset === undefined ? [] : [step(place.copyOffset, `copy of the ${name}`)]),
      step(place.offset, name),
    ],
  };
}

function clearEntry(record: DataView, base: number): void {
  for (let at = base; at < base + 16; at++) record.setUint8(at, 0);
}
