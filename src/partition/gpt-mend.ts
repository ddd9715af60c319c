import { crc32 } from '../bytes/crc32.ts';
import { isZero } from '../bytes/is-zero.ts';
import { viewOf } from '../bytes/struct.ts';
import { type RandomSource, randomUuid } from '../bytes/uuid.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { findGpt } from './gpt-findings.ts';
import {
  GptEntry,
  GptHeader,
  type HeaderAndEntries,
  HeaderSector,
  MAX_TABLE_SIZE,
  PRIMARY_LBA,
  isFault,
  readHeader,
} from './gpt-header.ts';
import type { GptTable } from './gpt.ts';
import { PartitionEntry } from './mbr-entry.ts';
import { protect } from './protective-record.ts';
import type { TableFinding } from './table-finding.ts';
import type { MendIdea, MendStep } from './table-mend.ts';
import type { Table } from './table.ts';

/** What mends this fault of a GPT or of the boot record that guards it; undefined where it is none, or no rule tells. */
export function gptMend(
  device: BlockDevice,
  table: Table | undefined,
  finding: TableFinding,
  random: RandomSource,
): MendIdea | undefined {
  if (finding.fault === 'protective-missing') {
    return finding.advice === undefined ? protectiveMend(device) : undefined;
  }
  if (table?.kind !== 'gpt') return finding.fault === 'header' ? shrunkMend(device, finding) : undefined;
  const disk = diskOf(device, table);
  if (disk === undefined) return undefined;
  if (finding.fault === 'protective-size') return protectiveSizeMend(disk, finding);
  // A table that is written lies where no partition may be.
  if (!fits(disk)) return undefined;
  switch (finding.fault) {
    case 'header':
    case 'headers-differ':
    case 'backup-place':
      return headerMend(disk, table, finding);
    case 'usable-range':
    case 'outside-usable':
      return usableMend(disk);
    case 'duplicate-guid':
      return guidMend(disk, finding.partition!, random);
    case 'zero-length':
      return emptyEntryMend(disk, finding.partition!);
    default:
      return undefined;
  }
}

/** A GPT whose one good header and table stand for both. */
interface GptDisk {
  readonly device: BlockDevice;
  readonly sectorSize: number;
  readonly lastSector: number;
  readonly header: HeaderSector;
  readonly entries: Uint8Array;
  readonly tableSectors: number;
  /** Where the first table belongs. */
  readonly primaryTableLba: number;
}

function diskOf(device: BlockDevice, { sectorSize, source }: GptTable): GptDisk | undefined {
  const lastSector = Math.floor(device.size / sectorSize) - 1;
  const read = readHeader(device, source === 'primary' ? PRIMARY_LBA : lastSector, sectorSize);
  return isFault(read) ? undefined : diskFrom(device, sectorSize, read);
}

function diskFrom(device: BlockDevice, sectorSize: number, { header, entries }: HeaderAndEntries): GptDisk {
  return {
    device,
    sectorSize,
    lastSector: Math.floor(device.size / sectorSize) - 1,
    header,
    entries,
    tableSectors: Math.ceil(header.tableSize / sectorSize),
    primaryTableLba: primaryTableLba(device, sectorSize),
  };
}

/** The first and the last sector that partitions can have beside both tables. */
function roomOf({ primaryTableLba: tableLba, lastSector, tableSectors }: GptDisk): {
  readonly first: number;
  readonly last: number;
} {
  return { first: tableLba + tableSectors, last: lastSector - tableSectors - 1 };
}

/** Where the first header says that its table is, as long as it can be believed; usually right behind it. */
function primaryTableLba(device: BlockDevice, sectorSize: number): number {
  const header = new HeaderSector(readBytes(device, PRIMARY_LBA * sectorSize, sectorSize));
  const crc = header.computeCrc();
  const isWhole = header.lba === PRIMARY_LBA && crc !== undefined && crc === header.headerCrc;
  return isWhole && header.tableLba > PRIMARY_LBA ? header.tableLba : PRIMARY_LBA + 1;
}

/** The lowest and the highest sector of all partitions; undefined where there are none. */
function extentOf(
  entries: Uint8Array,
  entrySize: number,
): { readonly first: number; readonly last: number } | undefined {
  const view = viewOf(entries);
  let [first, last] = [Infinity, -1];
  for (let base = 0; base < entries.length; base += entrySize) {
    if (isZero(GptEntry.PartitionTypeGUID.get(view, base))) continue;
    first = Math.min(first, GptEntry.StartingLBA.get(view, base));
    last = Math.max(last, GptEntry.EndingLBA.get(view, base));
  }
  return last < 0 ? undefined : { first, last };
}

/** Do all partitions lie between the tables, where these belong? */
function fits(disk: GptDisk): boolean {
  const room = roomOf(disk);
  const used = extentOf(disk.entries, disk.header.entrySize);
  return (
    room.first <= room.last && (used === undefined || (used.first >= room.first && used.last <= room.last))
  );
}

/** Both tables and headers as they belong there, the backup first: a power cut in between leaves one of them whole. */
function tableSteps(
  disk: GptDisk,
  change: {
    readonly range?: { readonly first: number; readonly last: number };
    readonly entries?: Uint8Array;
  } = {},
): MendStep[] {
  const { header, lastSector, sectorSize, tableSectors } = disk;
  const entries = change.entries ?? disk.entries;
  const sealed = (which: 'primary' | 'backup'): MendStep[] => {
    const own = new HeaderSector(header.bytes.slice());
    const { view } = own;
    const primary = which === 'primary';
    GptHeader.MyLBA.set(view, 0, primary ? PRIMARY_LBA : lastSector);
    GptHeader.AlternateLBA.set(view, 0, primary ? lastSector : PRIMARY_LBA);
    GptHeader.PartitionEntryLBA.set(view, 0, primary ? disk.primaryTableLba : lastSector - tableSectors);
    if (change.range !== undefined) {
      GptHeader.FirstUsableLBA.set(view, 0, change.range.first);
      GptHeader.LastUsableLBA.set(view, 0, change.range.last);
    }
    own.seal(entries);
    return [
      {
        structure: `${which} GPT entries`,
        layout: 'GPT entries',
        offset: own.tableLba * sectorSize,
        after: entries,
        entrySize: header.entrySize,
      },
      {
        structure: `${which} GPT header`,
        layout: 'GPT header',
        offset: own.lba * sectorSize,
        after: own.bytes,
      },
    ];
  };
  return [...sealed('backup'), ...sealed('primary')];
}

function headerMend(disk: GptDisk, table: GptTable, finding: TableFinding): MendIdea | undefined {
  const { header, lastSector } = disk;
  const room = roomOf(disk);
  if (table.source === 'backup') {
    if (header.firstUsable < room.first) return undefined;
    return { title: 'write the primary header and its table anew from the backup', steps: tableSteps(disk) };
  }
  const grown = header.alternateLba !== lastSector;
  // A header that leaves more than there is to partitions is mended first.
  if (!grown && header.lastUsable > room.last) return undefined;
  return {
    title: grown
      ? `put the backup of the table at the end of the device, sector ${lastSector}`
      : finding.fault === 'headers-differ'
        ? 'write the backup anew from the primary header and table, which are the ones that count'
        : 'write the backup header and its table anew from the primary ones',
    steps: tableSteps(disk, grown ? { range: { first: header.firstUsable, last: room.last } } : {}),
  };
}

/** Both bounds as wide as the tables allow, where that is what the partitions need. */
function usableMend(disk: GptDisk): MendIdea | undefined {
  const { header, entries } = disk;
  const room = roomOf(disk);
  const used = extentOf(entries, header.entrySize);
  const first = Math.max(room.first, Math.min(header.firstUsable, used?.first ?? Infinity));
  const last =
    header.lastUsable > room.last || (used?.last ?? 0) > header.lastUsable ? room.last : header.lastUsable;
  return {
    title: `let partitions have sectors ${first} to ${last}, which the tables leave free`,
    steps: tableSteps(disk, { range: { first, last } }),
  };
}

function guidMend(disk: GptDisk, number: number, random: RandomSource): MendIdea {
  const entries = disk.entries.slice();
  const base = (number - 1) * disk.header.entrySize;
  GptEntry.UniquePartitionGUID.set(viewOf(entries), base, randomUuid(random));
  return { title: `give partition ${number} a GUID of its own`, steps: tableSteps(disk, { entries }) };
}

/** Only where the entry says that it has no sectors; one that ends long before it starts has lost something. */
function emptyEntryMend(disk: GptDisk, number: number): MendIdea | undefined {
  const entries = disk.entries.slice();
  const { entrySize } = disk.header;
  const base = (number - 1) * entrySize;
  const view = viewOf(entries);
  if (GptEntry.EndingLBA.get(view, base) !== GptEntry.StartingLBA.get(view, base) - 1) return undefined;
  entries.fill(0, base, base + entrySize);
  return { title: `clear entry ${number}, which has no sectors`, steps: tableSteps(disk, { entries }) };
}

function protectiveSizeMend({ device, lastSector }: GptDisk, finding: TableFinding): MendIdea {
  const record = readBytes(device, 0, 512);
  const base = finding.offset! - PartitionEntry.numberOfSectors.offset;
  const sectorCount = Math.min(lastSector, 0xffff_ffff);
  PartitionEntry.numberOfSectors.set(viewOf(record), base, sectorCount);
  return {
    title: `let the protective entry cover the disk, ${sectorCount} sectors`,
    steps: [{ structure: 'protective master boot record', layout: 'boot record', offset: 0, after: record }],
  };
}

/** The one entry of a protective MBR as UEFI 2.10, section 5.2.3, has it. Boot code stays. */
function protectiveMend(device: BlockDevice): MendIdea | undefined {
  const gpt = findGpt(device);
  if (gpt === undefined) return undefined;
  const record = readBytes(device, 0, 512);
  protect(record, Math.floor(device.size / gpt.sectorSize));
  return {
    title: 'write the protective master boot record',
    steps: [{ structure: 'master boot record', layout: 'boot record', offset: 0, after: record }],
  };
}

/** The image was cut behind its last partition: the first header is sound but for the sectors that are no more. */
function shrunkMend(device: BlockDevice, finding: TableFinding): MendIdea | undefined {
  if (finding.field !== 'LastUsableLBA') return undefined;
  const gpt = findGpt(device);
  if (gpt === undefined || finding.structure !== 'primary GPT header') return undefined;
  const { sectorSize } = gpt;
  const header = new HeaderSector(readBytes(device, PRIMARY_LBA * sectorSize, sectorSize));
  const { tableLba, tableSize } = header;
  const end = tableLba * sectorSize + tableSize;
  if (header.computeCrc() !== header.headerCrc || header.lba !== PRIMARY_LBA) return undefined;
  if (
    tableSize === 0 ||
    tableSize > MAX_TABLE_SIZE ||
    header.entrySize < GptEntry.$size ||
    end > device.size
  ) {
    return undefined;
  }
  const entries = readBytes(device, tableLba * sectorSize, tableSize);
  if (crc32(entries) !== header.tableCrc) return undefined;
  const disk = diskFrom(device, sectorSize, { header, entries });
  const last = roomOf(disk).last;
  if (!fits(disk) || header.firstUsable > last) return undefined;
  return {
    title: `put the backup of the table at the end of the device, sector ${disk.lastSector}, behind which the image was cut`,
    steps: tableSteps(disk, { range: { first: header.firstUsable, last } }),
  };
}
