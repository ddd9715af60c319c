import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import { describeFinding, isOwnError } from '../errors.ts';
import { probeFileSystem } from '../filesystem/drivers.ts';
import { SUPERBLOCK_OFFSET, Superblock } from '../filesystem/ext/superblock.ts';
import { ExtendedBpb16, ExtendedBpb32 } from '../filesystem/fat/boot-sector.ts';
import type { FileSystem, FileSystemType } from '../filesystem/file-system.ts';
import { checkTable } from '../partition/table-check.ts';
import { planMends } from '../partition/table-mend.ts';
import type { Table } from '../partition/table.ts';
import type { TableFinding } from '../partition/table-finding.ts';
import { type BootCode, recognizeBootCode } from './boot-code.ts';
import type { DiskImage, Partition } from './disk-image.ts';

/** All that can be told of an image without a look at its files; plain data, for JSON as it is. */
export interface ImageReport {
  /** Bytes. */
  readonly size: number;
  readonly sectorSize: number;
  /** Code in the first sector. */
  readonly bootCode: BootCode;
  readonly table?: TableReport;
  /** What is wrong with the table, or with where one should be. */
  readonly findings: readonly FindingReport[];
  readonly fileSystems: readonly FileSystemReport[];
}

export interface TableReport {
  readonly kind: 'mbr' | 'gpt' | 'bsd';
  /** `0x8bafd0cb`, of a GPT its GUID; a BSD disklabel has none. */
  readonly diskIdentifier: string;
  /** Bytes a sector, which the table counts in. */
  readonly sectorSize: number;
  /** The table only guards a GPT, and that cannot be read. */
  readonly protective: boolean;
  /** A GPT beside which the MBR holds partitions of its own. */
  readonly hybrid: boolean;
  readonly partitions: readonly PartitionReport[];
}

/** What is wrong with the table. */
export interface FindingReport extends TableFinding {
  /** The whole as a sentence. */
  readonly text: string;
  /** What `inspect --repair` offers to do about it. */
  readonly mend?: string;
}

export interface PartitionReport {
  readonly number: number;
  readonly kind: Partition['kind'];
  /** `0x83`, in a GPT a GUID. */
  readonly type: string;
  readonly typeName: string;
  /** Only in a GPT. */
  readonly name?: string;
  readonly uuid?: string;
  readonly active: boolean;
  readonly startSector: number;
  readonly sectorCount: number;
  /** Bytes. */
  readonly offset: number;
  readonly size: number;
  /** Code in the first sector of the partition. */
  readonly bootCode?: BootCode;
}

export interface FileSystemReport {
  /** Absent for a file system that is the whole image. */
  readonly partition?: number;
  /** Bytes. */
  readonly offset: number;
  readonly size: number;
  /** Why the rest is absent. */
  readonly error?: string;
  readonly details?: FileSystemDetails;
}

export interface FileSystemDetails {
  readonly type: FileSystemType;
  readonly label: string;
  readonly uuid: string;
  readonly features: readonly string[];
  readonly state: 'clean' | 'not clean' | 'with errors';
  readonly blockSize: number;
  readonly totalBlocks: number;
  readonly freeBlocks: number;
  readonly availableBlocks: number;
  readonly totalNodes: number;
  readonly freeNodes: number;
  /** Why it can only be read. */
  readonly readOnlyReason?: string;
}

/** Looks at the table, at every boot sector, and into every file system. Damage is reported, not thrown. */
export function inspectImage(disk: DiskImage): ImageReport {
  const { device, table } = disk;
  const whole = probeFileSystem(device) === undefined ? [] : [fileSystemReport(disk, undefined)];
  // The one file system of a superfloppy with a table (mkfs.fat --mbr) is not named twice.
  const inPartitions = disk.partitions
    .filter(
      ({ kind, offset, device: part }) =>
        kind !== 'extended' &&
        !(offset === 0 && whole.length > 0) &&
        part !== undefined &&
        probeFileSystem(part) !== undefined,
    )
    .map((partition) => fileSystemReport(disk, partition));
  return {
    size: device.size,
    sectorSize: device.sectorSize,
    bootCode: bootCodeOf(device),
    ...(table === undefined
      ? disk.partitions.length === 0
        ? {}
        : {
            table: {
              kind: 'bsd',
              diskIdentifier: 'none',
              sectorSize: device.sectorSize,
              protective: false,
              hybrid: false,
              partitions: disk.partitions.map(partitionReport),
            },
          }
      : {
          table: {
            kind: table.kind,
            diskIdentifier:
              table.kind === 'gpt'
                ? table.diskIdentifier
                : `0x${table.diskIdentifier.toString(16).padStart(8, '0')}`,
            sectorSize: table.sectorSize,
            protective: table.kind === 'mbr' && table.protective,
            hybrid: table.kind === 'gpt' && table.hybrid,
            partitions: disk.partitions.map(partitionReport),
          },
        }),
    findings: findingReports(device, table),
    fileSystems: [...whole, ...inPartitions],
  };
}

function findingReports(device: BlockDevice, table: Table | undefined): FindingReport[] {
  const findings = checkTable(device, table);
  if (findings.length === 0) return [];
  // A plan is only told here, so its GUIDs need not be new ones.
  const { mends } = planMends(device, { random: (into) => void into.fill(0xa5) });
  return findings.map((finding) => {
    const text = describeFinding(finding);
    const mend = mends.find((each) => each.findings.some((gone) => describeFinding(gone) === text));
    return { ...finding, text, ...(mend === undefined ? {} : { mend: mend.title }) };
  });
}

function partitionReport(partition: Partition): PartitionReport {
  const { number, kind, type, typeName, active, startSector, sectorCount, offset, size, device } = partition;
  const { name, uuid } = partition;
  return {
    number,
    kind,
    type: typeof type === 'string' ? type : `0x${type.toString(16).padStart(2, '0')}`,
    typeName,
    ...(name === undefined ? {} : { name }),
    ...(uuid === undefined ? {} : { uuid }),
    active,
    startSector,
    sectorCount,
    offset,
    size,
    ...(device === undefined ? {} : { bootCode: bootCodeOf(device) }),
  };
}

function bootCodeOf(device: BlockDevice): BootCode {
  if (device.size < 512) return { id: 'none', name: 'none' };
  return recognizeBootCode(readBytes(device, 0, 512));
}

function fileSystemReport(disk: DiskImage, partition: Partition | undefined): FileSystemReport {
  const device = partition?.device ?? disk.device;
  const place = {
    ...(partition === undefined ? {} : { partition: partition.number }),
    offset: partition?.offset ?? 0,
    size: device.size,
  };
  try {
    return { ...place, details: detailsOf(disk.fileSystem(partition?.number), device) };
  } catch (error) {
    if (!isOwnError(error)) throw error;
    return { ...place, error: error.message };
  }
}

function detailsOf(fileSystem: FileSystem, device: BlockDevice): FileSystemDetails {
  const { readOnlyReason } = fileSystem;
  return {
    type: fileSystem.type,
    label: fileSystem.label,
    uuid: fileSystem.uuid,
    features: fileSystem.features,
    state: stateOf(fileSystem.type, device),
    ...fileSystem.usage(),
    ...(readOnlyReason === undefined ? {} : { readOnlyReason }),
  };
}

function stateOf(type: FileSystemType, device: BlockDevice): FileSystemDetails['state'] {
  if (type === 'ext2' || type === 'ext3' || type === 'ext4') {
    const state = Superblock.s_state.get(viewOf(readBytes(device, SUPERBLOCK_OFFSET, Superblock.$size)), 0);
    if ((state & 2) !== 0) return 'with errors';
    return (state & 1) === 0 ? 'not clean' : 'clean';
  }
  const sector = viewOf(readBytes(device, 0, 512));
  const extended = type === 'fat32' ? ExtendedBpb32 : ExtendedBpb16;
  // Without the extended block there is no flag, and the byte may be code.
  if ((extended.BS_BootSig.get(sector, 0) & 0xfe) !== 0x28) return 'clean';
  const flags = extended.BS_Reserved1.get(sector, 0);
  if ((flags & 2) !== 0) return 'with errors';
  return (flags & 1) !== 0 ? 'not clean' : 'clean';
}
