import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import {
  GPT_SIGNATURE,
  GptHeader,
  type HeaderAndEntries,
  HeaderSector,
  PRIMARY_LBA,
  isFault,
  readHeader,
} from './gpt-header.ts';
import { type GptTable, SECTOR_SIZES, headerFinding } from './gpt.ts';
import type { TableFinding } from './table-finding.ts';

/** What is odd in a GPT beyond what hinders reading it, which `table.findings` has. */
export function gptFindings(device: BlockDevice, table: GptTable): TableFinding[] {
  return [...usableRange(device, table), ...duplicateGuids(table)];
}

/** A header that leaves its own table's sectors to partitions. */
function usableRange(device: BlockDevice, table: GptTable): TableFinding[] {
  const { sectorSize, source } = table;
  const lastSector = Math.floor(device.size / sectorSize) - 1;
  const lba = source === 'primary' ? PRIMARY_LBA : lastSector;
  const read = readHeader(device, lba, sectorSize);
  if (isFault(read)) return [];
  const { header } = read;
  const tableSectors = Math.ceil(header.tableSize / sectorSize);
  const lowest = (source === 'primary' ? header.tableLba : PRIMARY_LBA + 1) + tableSectors;
  const highest = lastSector - tableSectors - 1;
  const finding = (field: 'FirstUsableLBA' | 'LastUsableLBA', expected: string): TableFinding => ({
    fault: 'usable-range',
    severity: 'note',
    structure: `${source} GPT header`,
    field,
    offset: lba * sectorSize + GptHeader[field].offset,
    found: `${GptHeader[field].get(header.view, 0)}`,
    expected,
  });
  return [
    ...(header.firstUsable < lowest
      ? [finding('FirstUsableLBA', `at least ${lowest}, behind the primary table`)]
      : []),
    ...(header.lastUsable > highest
      ? [finding('LastUsableLBA', `at most ${highest}, before the backup table`)]
      : []),
  ];
}

/** GUIDs name partitions in fstab and in boot loaders: two of one name are one too many. */
function duplicateGuids({ partitions }: GptTable): TableFinding[] {
  const seen = new Map<string, number>();
  return partitions.flatMap(({ number, uuid, entryOffset }) => {
    const first = seen.get(uuid);
    if (first === undefined) {
      seen.set(uuid, number);
      return [];
    }
    return {
      fault: 'duplicate-guid',
      partition: number,
      severity: 'note',
      structure: `partition ${number}`,
      field: 'UniquePartitionGUID',
      offset: entryOffset + 0x10,
      found: uuid,
      expected: `a GUID of its own, since partition ${first} has this one`,
    } as const;
  });
}

/** A GPT that `readGpt` does not take, and why. */
export interface HiddenGpt {
  readonly sectorSize: number;
  /** The header that is whole, with its table; undefined where neither is. */
  readonly whole: HeaderAndEntries | undefined;
  readonly source: 'primary' | 'backup';
  readonly findings: readonly TableFinding[];
}

/** Headers of a GPT on the device, whatever its master boot record says; undefined where no sector has their signature. */
export function findGpt(device: BlockDevice): HiddenGpt | undefined {
  const sizes = [device.sectorSize, ...SECTOR_SIZES.filter((size) => size !== device.sectorSize)];
  for (const sectorSize of sizes) {
    const lastSector = Math.floor(device.size / sectorSize) - 1;
    if (lastSector < 2) continue;
    const signed = [PRIMARY_LBA, lastSector].some((lba) => hasSignature(device, lba, sectorSize));
    if (!signed) continue;
    const primary = readHeader(device, PRIMARY_LBA, sectorSize);
    const backup = readHeader(device, lastSector, sectorSize);
    const findings: TableFinding[] = [];
    if (isFault(primary)) {
      findings.push({
        ...headerFinding(primary, 'primary', PRIMARY_LBA, sectorSize),
        ...shrunk(device, sectorSize),
      });
    }
    if (isFault(backup)) findings.push(headerFinding(backup, 'backup', lastSector, sectorSize));
    const source = isFault(primary) && !isFault(backup) ? 'backup' : 'primary';
    const whole = isFault(primary) ? (isFault(backup) ? undefined : backup) : primary;
    return { sectorSize, whole, source, findings };
  }
  return undefined;
}

function hasSignature(device: BlockDevice, lba: number, sectorSize: number): boolean {
  const sector = readBytes(device, lba * sectorSize, GptHeader.$size);
  return GptHeader.Signature.get(viewOf(sector), 0) === GPT_SIGNATURE;
}

/** What to do when the first header is sound and only the image is shorter than it says. */
function shrunk(device: BlockDevice, sectorSize: number): { readonly advice?: string } {
  const header = new HeaderSector(readBytes(device, PRIMARY_LBA * sectorSize, sectorSize));
  const needed = (header.alternateLba + 1) * sectorSize;
  if (header.computeCrc() !== header.headerCrc || needed <= device.size) return {};
  return {
    advice: `The image has ${device.size} bytes and was made with ${needed}; truncate -s ${needed} gives it its size back, not what was cut off`,
  };
}
