import { isZero } from '../bytes/is-zero.ts';
import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import {
  GptEntry,
  type HeaderAndEntries,
  type HeaderFault,
  GptHeader,
  PRIMARY_LBA,
  decodeName,
  isFault,
  readHeader,
} from './gpt-header.ts';
import { gptTypeName } from './gpt-type.ts';
import { formatGuid } from './guid.ts';
import { BOOT_RECORD_SIGNATURE, BootRecord, readEntry } from './mbr-entry.ts';
import { GPT_PROTECTIVE_TYPE } from './mbr-type.ts';
import { OVERLAP_ADVICE, type TableFault, type TableFinding } from './table-finding.ts';

/** One partition of a GPT disk. */
export interface GptPartition {
  /** 1 and up, by its place in the table. */
  readonly number: number;
  readonly kind: 'gpt';
  /** The type's GUID, upper case. */
  readonly type: string;
  readonly typeName: string;
  /** The partition's own GUID. */
  readonly uuid: string;
  readonly name: string;
  /** 64 bits: 0 required, 1 no block I/O protocol, 2 legacy BIOS bootable, 48 to 63 the type's own. */
  readonly attributes: bigint;
  readonly startSector: number;
  readonly sectorCount: number;
  /** Byte offset of the entry in the table that was read. */
  readonly entryOffset: number;
}

export interface GptTable {
  readonly kind: 'gpt';
  /** Bytes a sector, which the table counts in: found by where its header lies. */
  readonly sectorSize: number;
  readonly diskIdentifier: string;
  readonly firstUsable: number;
  readonly lastUsable: number;
  readonly entryCount: number;
  /** Which of the two headers was believed. */
  readonly source: 'primary' | 'backup';
  /** The MBR holds other partitions beside the protective one. */
  readonly hybrid: boolean;
  readonly partitions: readonly GptPartition[];
  readonly findings: readonly TableFinding[];
}

/** What sectors disks have: the size that the device claims is tried first. */
export const SECTOR_SIZES = [512, 4096, 2048, 1024];

/**
 * The GPT of the disk; undefined where there is none. There is one where the master boot record says so (an entry of type 0xee that
 * starts in sector 1) and at least one header is whole. Where the header lies tells the size of the sectors, so that an image
 * of a disk with sectors of 4096 bytes needs no hint.
 */
export function readGpt(
  device: BlockDevice,
  options: { readonly sectorSize?: number } = {},
): GptTable | undefined {
  const protective = readProtective(device);
  if (protective === undefined) return undefined;
  const sizes =
    options.sectorSize === undefined
      ? [device.sectorSize, ...SECTOR_SIZES.filter((size) => size !== device.sectorSize)]
      : [options.sectorSize];
  for (const sectorSize of sizes) {
    if (device.size < 3 * sectorSize) continue;
    const primary = readHeader(device, PRIMARY_LBA, sectorSize);
    if (!isFault(primary)) return tableOf(device, sectorSize, primary, 'primary', protective);
  }
  for (const sectorSize of sizes) {
    const last = Math.floor(device.size / sectorSize) - 1;
    if (last < 2) continue;
    const backup = readHeader(device, last, sectorSize);
    if (!isFault(backup)) return tableOf(device, sectorSize, backup, 'backup', protective);
  }
  return undefined;
}

/** What the master boot record of a GPT disk says of it. */
interface Protective {
  readonly hybrid: boolean;
  /** Sectors that the protective entry covers. */
  readonly sectorCount: number;
  readonly entryOffset: number;
}

function readProtective(device: BlockDevice): Protective | undefined {
  if (device.size < 512) return undefined;
  const view = viewOf(readBytes(device, 0, 512));
  if (BootRecord.signature.get(view, 0) !== BOOT_RECORD_SIGNATURE) return undefined;
  const entries = [0, 1, 2, 3].map((index) => readEntry(view, index));
  const index = entries.findIndex(
    ({ type, startSector }) => type === GPT_PROTECTIVE_TYPE && startSector === 1,
  );
  if (index < 0) return undefined;
  return {
    hybrid: entries.some(({ type }) => type !== 0 && type !== GPT_PROTECTIVE_TYPE),
    sectorCount: entries[index]!.sectorCount,
    entryOffset: 0x1be + 16 * index,
  };
}

function tableOf(
  device: BlockDevice,
  sectorSize: number,
  { header, entries }: HeaderAndEntries,
  source: 'primary' | 'backup',
  protective: Protective,
): GptTable {
  const view = viewOf(entries);
  const partitions: GptPartition[] = [];
  for (let index = 0; index < header.entryCount; index++) {
    const base = index * header.entrySize;
    const typeGuid = GptEntry.PartitionTypeGUID.get(view, base);
    if (isZero(typeGuid)) continue;
    const type = formatGuid(typeGuid);
    const startSector = GptEntry.StartingLBA.get(view, base);
    partitions.push({
      number: index + 1,
      kind: 'gpt',
      type,
      typeName: gptTypeName(type),
      uuid: formatGuid(GptEntry.UniquePartitionGUID.get(view, base)),
      name: decodeName(GptEntry.PartitionName.get(view, base)),
      attributes: GptEntry.Attributes.get(view, base),
      startSector,
      sectorCount: Math.max(0, GptEntry.EndingLBA.get(view, base) - startSector + 1),
      entryOffset: header.tableLba * sectorSize + base,
    });
  }
  const table = {
    kind: 'gpt',
    sectorSize,
    diskIdentifier: formatGuid(GptHeader.DiskGUID.get(header.view, 0)),
    firstUsable: header.firstUsable,
    lastUsable: header.lastUsable,
    entryCount: header.entryCount,
    source,
    hybrid: protective.hybrid,
    partitions,
  } as const;
  return {
    ...table,
    findings: [
      ...headerFindings(device, sectorSize, { header, entries }, source, protective),
      ...partitionFindings(table),
    ],
  };
}

function headerFindings(
  device: BlockDevice,
  sectorSize: number,
  { header, entries }: HeaderAndEntries,
  source: 'primary' | 'backup',
  protective: Protective,
): TableFinding[] {
  const findings: TableFinding[] = [];
  const lastSector = Math.floor(device.size / sectorSize) - 1;
  if (sectorSize !== device.sectorSize) {
    findings.push({
      fault: 'sector-size',
      severity: 'note',
      structure: 'GPT',
      field: 'sector size',
      found: `${sectorSize} bytes, by the place of its header`,
      expected: `${device.sectorSize} bytes, which the image is taken for; it is read with sectors of ${sectorSize}`,
    });
  }
  const otherLba = source === 'primary' ? header.alternateLba : PRIMARY_LBA;
  const other = readHeader(device, otherLba, sectorSize);
  if (isFault(other)) {
    findings.push(headerFinding(other, source === 'primary' ? 'backup' : 'primary', otherLba, sectorSize));
  } else if (!sameContent({ header, entries }, other)) {
    findings.push({
      fault: 'headers-differ',
      severity: 'note',
      structure: 'backup GPT header',
      field: 'content',
      offset: otherLba * sectorSize,
      found: 'another table than the primary one',
      expected: 'the same table twice',
    });
  }
  if (source === 'primary' && header.alternateLba !== lastSector) {
    findings.push({
      fault: 'backup-place',
      severity: 'note',
      structure: 'primary GPT header',
      field: 'AlternateLBA',
      offset: PRIMARY_LBA * sectorSize + GptHeader.AlternateLBA.offset,
      found: `${header.alternateLba}`,
      expected: `${lastSector}, the last sector of the device`,
    });
  }
  const covered = Math.min(lastSector, 0xffff_ffff);
  if (!protective.hybrid && protective.sectorCount !== covered && protective.sectorCount !== 0xffff_ffff) {
    findings.push({
      fault: 'protective-size',
      severity: 'note',
      structure: 'protective master boot record',
      field: 'numberOfSectors',
      offset: protective.entryOffset + 12,
      found: `${protective.sectorCount}`,
      expected: `${covered}, all sectors but the first`,
    });
  }
  return findings;
}

export function headerFinding(
  fault: HeaderFault,
  which: 'primary' | 'backup',
  lba: number,
  sectorSize: number,
): TableFinding {
  return {
    fault: 'header',
    severity: 'note',
    structure: `${which} GPT header`,
    field: fault.field,
    // A header that is said to lie past any device has no place.
    ...(Number.isSafeInteger(lba * sectorSize)
      ? { offset: lba * sectorSize + GptHeader.$fields[fault.field].offset }
      : {}),
    found: fault.found,
    expected: fault.expected,
  };
}

function sameContent(a: HeaderAndEntries, b: HeaderAndEntries): boolean {
  const same = (field: 'firstUsable' | 'lastUsable' | 'entryCount' | 'entrySize' | 'tableCrc'): boolean =>
    a.header[field] === b.header[field];
  return (
    same('firstUsable') &&
    same('lastUsable') &&
    same('entryCount') &&
    same('entrySize') &&
    same('tableCrc') &&
    formatGuid(GptHeader.DiskGUID.get(a.header.view, 0)) ===
      formatGuid(GptHeader.DiskGUID.get(b.header.view, 0))
  );
}

function partitionFindings(table: Omit<GptTable, 'findings'>): TableFinding[] {
  const findings: TableFinding[] = [];
  const note = (
    fault: TableFault,
    partition: GptPartition,
    field: string,
    at: number,
    found: string,
    expected: string,
    advice?: string,
  ): void => {
    const { number, entryOffset } = partition;
    findings.push({
      fault,
      partition: number,
      severity: 'note',
      structure: `partition ${number}`,
      field,
      offset: entryOffset + at,
      found,
      expected,
      ...(advice === undefined ? {} : { advice }),
    });
  };
  const endOf = ({ startSector, sectorCount }: GptPartition): number => startSector + sectorCount - 1;
  for (const partition of table.partitions) {
    const { startSector, sectorCount } = partition;
    if (sectorCount === 0) {
      note(
        'zero-length',
        partition,
        'EndingLBA',
        0x28,
        'before its start',
        `at least StartingLBA, ${startSector}`,
      );
    } else if (startSector < table.firstUsable || endOf(partition) > table.lastUsable) {
      const found = `sectors ${startSector} to ${endOf(partition)}`;
      note(
        'outside-usable',
        partition,
        'range',
        0x20,
        found,
        `within the usable ones, ${table.firstUsable} to ${table.lastUsable}`,
      );
    }
  }
  const sorted = table.partitions
    .filter(({ sectorCount }) => sectorCount > 0)
    .sort((a, b) => a.startSector - b.startSector);
  let furthest: GptPartition | undefined;
  for (const partition of sorted) {
    if (furthest !== undefined && partition.startSector <= endOf(furthest)) {
      const expected = `at least ${endOf(furthest) + 1}, behind partition ${furthest.number}`;
      note('overlap', partition, 'StartingLBA', 0x20, `${partition.startSector}`, expected, OVERLAP_ADVICE);
    }
    if (furthest === undefined || endOf(partition) > endOf(furthest)) furthest = partition;
  }
  return findings;
}
