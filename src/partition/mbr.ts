import type { Chs } from '../bytes/chs.ts';
import { isZero } from '../bytes/is-zero.ts';
import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { SliceDevice } from '../device/slice-device.ts';
import { CorruptImageError } from '../errors.ts';
import { BOOT_RECORD_SIGNATURE, BootRecord, type Entry, entryOffset, readEntry } from './mbr-entry.ts';
import { GPT_PROTECTIVE_TYPE, isExtendedType } from './mbr-type.ts';
import { isVolumeBootSector } from './superfloppy.ts';
import { OVERLAP_ADVICE, type TableFault, type TableFinding } from './table-finding.ts';

export { partitionTypeName } from './mbr-type.ts';

/** One partition of an MBR disk. */
export interface MbrPartition {
  /** 1 to 4 by its place in the table; logical partitions from 5, in the order of the chain. */
  readonly number: number;
  readonly kind: 'primary' | 'extended' | 'logical';
  /** The id byte: 0x83 for Linux. */
  readonly type: number;
  readonly active: boolean;
  /** From the start of the disk. */
  readonly startSector: number;
  readonly sectorCount: number;
  readonly firstChs: Chs;
  readonly lastChs: Chs;
  /** Byte offset of the boot record that holds the entry: 0, or that of the EBR. */
  readonly tableOffset: number;
  /** Byte offset of the 16-byte entry. */
  readonly entryOffset: number;
}

/** What the partition table of a disk says. */
export interface MbrTable {
  readonly kind: 'mbr';
  /** Bytes a sector, which the table counts in. */
  readonly sectorSize: number;
  /** Windows NT's disk signature, 32 bits. */
  readonly diskIdentifier: number;
  /** Primary and extended ones in the order of the table, then the logical ones. */
  readonly partitions: readonly MbrPartition[];
  /** Notes only: what is odd, and where a broken chain ends. */
  readonly findings: readonly TableFinding[];
  /** A GPT disk's protective table: the partitions are in the GPT. */
  readonly protective: boolean;
}

/** As many EBRs are followed at most; Linux numbers partitions up to 255. */
const MAX_CHAIN_LENGTH = 251;

/**
 * The partition table of the disk; undefined where there is none. A sector counts as a master boot record, as for
 * util-linux' libblkid, when it ends in 0x55 0xaa, all four boot indicators are 0x00 or 0x80, and it is not the boot
 * sector of a FAT, exFAT or NTFS volume. An empty table without a disk identifier is none either: any boot sector may
 * look like that.
 */
export function readMbr(
  device: BlockDevice,
  options: { readonly sectorSize?: number } = {},
): MbrTable | undefined {
  if (device.size < 512) return undefined;
  const sectorSize = options.sectorSize ?? device.sectorSize;
  const sector = readBytes(device, 0, 512);
  const view = viewOf(sector);
  if (BootRecord.signature.get(view, 0) !== BOOT_RECORD_SIGNATURE) return undefined;
  const entries = [0, 1, 2, 3].map((index) => readEntry(view, index));
  if (entries.some((entry) => (entry.bootIndicator & 0x7f) !== 0)) return undefined;
  if (isVolumeBootSector(sector)) return undefined;
  const diskIdentifier = BootRecord.diskSignature.get(view, 0);
  if (diskIdentifier === 0 && isZero(BootRecord.partitionTable.get(view, 0))) return undefined;

  const findings: TableFinding[] = [];
  const partitions: MbrPartition[] = [];
  for (const [index, entry] of entries.entries()) {
    if (!isUsed(entry)) continue;
    partitions.push(partitionOf(entry, index + 1, 0, 0, index));
  }
  const protective = entries.some((entry) => entry.type === GPT_PROTECTIVE_TYPE);
  if (protective) {
    findings.push({
      fault: 'unreadable-gpt',
      severity: 'note',
      structure: 'master boot record',
      field: 'systemId',
      offset: 0x1be + 4,
      found: '0xee (GPT protective)',
      expected: 'an MBR of its own; the partitions are in a GPT',
    });
  }
  const extended = partitions.filter((partition) => partition.kind === 'extended');
  for (const surplus of extended.slice(1)) {
    findings.push({
      fault: 'several-extended',
      partition: surplus.number,
      severity: 'note',
      structure: 'master boot record',
      field: 'systemId',
      offset: surplus.entryOffset + 4,
      found: 'another extended partition',
      expected: `one at most; only the chain of partition ${extended[0]!.number} is followed`,
    });
  }
  if (extended[0] !== undefined) readChain(device, sectorSize, extended[0], partitions, findings);
  findings.push(...checkPartitions(device, sectorSize, partitions));
  return { kind: 'mbr', sectorSize, diskIdentifier, partitions, findings, protective };
}

/** An entry without sectors or without a type holds nothing, whatever else is in it. */
function isUsed(entry: Entry): boolean {
  return entry.type !== 0 && entry.sectorCount !== 0;
}

function partitionOf(
  entry: Entry,
  number: number,
  base: number,
  tableOffset: number,
  index: number,
): MbrPartition {
  return {
    number,
    kind: number > 4 ? 'logical' : isExtendedType(entry.type) ? 'extended' : 'primary',
    type: entry.type,
    active: (entry.bootIndicator & 0x80) !== 0,
    startSector: base + entry.startSector,
    sectorCount: entry.sectorCount,
    firstChs: entry.firstChs,
    lastChs: entry.lastChs,
    tableOffset,
    entryOffset: tableOffset + entryOffset(index),
  };
}

/**
 * Follows the chain: each EBR holds a partition, counted from that EBR, and a link to the next EBR, counted from the start of the
 * extended partition. Every EBR is visited once and lies on the device; where that does not hold, the chain ends with a finding.
 */
function readChain(
  device: BlockDevice,
  sectorSize: number,
  extended: MbrPartition,
  partitions: MbrPartition[],
  findings: TableFinding[],
): void {
  const seen = new Set<number>();
  const sector = new Uint8Array(512);
  const view = viewOf(sector);
  let number = 5;
  let linkOffset = extended.entryOffset + 8;
  for (let ebrSector: number | undefined = extended.startSector; ebrSector !== undefined;) {
    const tableOffset: number = ebrSector * sectorSize;
    const problem = seen.has(ebrSector)
      ? { found: `sector ${ebrSector}, where the chain has been before`, expected: 'a chain without loops' }
      : tableOffset + 512 > device.size
        ? {
            found: `sector ${ebrSector}`,
            expected: `a sector before the end of the device at byte ${device.size}`,
          }
        : seen.size >= MAX_CHAIN_LENGTH
          ? { found: 'one more link', expected: `${MAX_CHAIN_LENGTH} extended boot records at most` }
          : undefined;
    if (problem !== undefined) {
      findings.push({
        fault: 'chain-link',
        severity: 'note',
        structure: 'extended boot record',
        field: 'startingSector',
        offset: linkOffset,
        ...problem,
      });
      return;
    }
    seen.add(ebrSector);
    device.read(tableOffset, sector);
    const signature = BootRecord.signature.get(view, 0);
    if (signature !== BOOT_RECORD_SIGNATURE) {
      findings.push({
        fault: 'chain-signature',
        severity: 'note',
        structure: 'extended boot record',
        field: 'signature',
        offset: tableOffset + 0x1fe,
        found: `0x${signature.toString(16).padStart(4, '0')}`,
        expected: '0xaa55',
      });
      return;
    }
    const entries = [0, 1, 2, 3].map((index) => readEntry(view, index));
    for (const [index, entry] of entries.entries()) {
      if (!isUsed(entry) || isExtendedType(entry.type)) continue;
      partitions.push(partitionOf(entry, number++, ebrSector, tableOffset, index));
    }
    const linkIndex = entries.findIndex((entry) => isUsed(entry) && isExtendedType(entry.type));
    linkOffset = tableOffset + entryOffset(linkIndex) + 8;
    ebrSector = linkIndex < 0 ? undefined : extended.startSector + entries[linkIndex]!.startSector;
  }
}

/** Notes on partitions that leave the disk, their container, or their place to themselves. */
function checkPartitions(
  device: BlockDevice,
  sectorSize: number,
  partitions: readonly MbrPartition[],
): TableFinding[] {
  const findings: TableFinding[] = [];
  const note = (
    fault: TableFault,
    partition: MbrPartition,
    field: string,
    found: string,
    expected: string,
    advice?: string,
  ): void => {
    findings.push({
      fault,
      partition: partition.number,
      severity: 'note',
      structure: `partition ${partition.number}`,
      field,
      offset: partition.entryOffset + 8,
      found,
      expected,
      ...(advice === undefined ? {} : { advice }),
    });
  };
  const sectorCount = Math.floor(device.size / sectorSize);
  const extended = partitions.find(({ kind }) => kind === 'extended');
  for (const partition of partitions) {
    const end = endSector(partition);
    if (end > sectorCount && partition.type !== GPT_PROTECTIVE_TYPE) {
      const needed = end * sectorSize;
      const advice = `The image would need ${needed} bytes and has ${device.size}: where it was cut, truncate -s ${needed} gives it its size back`;
      note('past-end', partition, 'end', `sector ${end - 1}`, `at most ${sectorCount - 1}`, advice);
    }
    if (partition.kind !== 'logical' || extended === undefined) continue;
    if (partition.startSector <= extended.startSector || end > endSector(extended)) {
      note(
        'outside-extended',
        partition,
        'range',
        `sectors ${partition.startSector} to ${end - 1}`,
        `a range within the extended partition, ${extended.startSector + 1} to ${endSector(extended) - 1}`,
      );
    }
  }
  // Partitions sorted by their start overlap one that came before when they start before the furthest end so far.
  const data = partitions.filter(({ kind }) => kind !== 'extended');
  data.sort((a, b) => a.startSector - b.startSector);
  let furthest: MbrPartition | undefined;
  for (const partition of data) {
    if (furthest !== undefined && partition.startSector < endSector(furthest)) {
      note(
        'overlap',
        partition,
        'start',
        `sector ${partition.startSector}`,
        `at least ${endSector(furthest)}, the end of partition ${furthest.number}`,
        OVERLAP_ADVICE,
      );
    }
    if (furthest === undefined || endSector(partition) > endSector(furthest)) furthest = partition;
  }
  return findings;
}

function endSector(partition: MbrPartition): number {
  return partition.startSector + partition.sectorCount;
}

/** The partition as a device of its own; CorruptImageError when it does not lie on the disk. */
export function partitionDevice(device: BlockDevice, partition: MbrPartition): SliceDevice {
  const end = endSector(partition) * device.sectorSize;
  if (end > device.size) {
    throw new CorruptImageError({
      structure: `partition ${partition.number}`,
      field: 'end',
      offset: partition.entryOffset + 8,
      found: `byte ${end}`,
      expected: `at most ${device.size}, the size of the device`,
    });
  }
  return new SliceDevice(
    device,
    partition.startSector * device.sectorSize,
    partition.sectorCount * device.sectorSize,
  );
}
