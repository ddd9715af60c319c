import type { Clock } from '../bytes/time.ts';
import type { BlockDevice } from '../device/block-device.ts';
import { SliceDevice } from '../device/slice-device.ts';
import { FsError, UnsupportedError } from '../errors.ts';
import { openFileSystem, probeFileSystem } from '../filesystem/drivers.ts';
import type { FileSystem, OpenOptions } from '../filesystem/file-system.ts';
import { partitionTypeName } from '../partition/mbr.ts';
import { type NestedBsdPartition, bsdPartitions } from '../partition/nested-bsd.ts';
import { partitionSlice, readTable, type Table, type TablePartition } from '../partition/table.ts';

/** The attribute of a GPT partition that a BIOS boot loader goes by. */
const LEGACY_BOOTABLE = 4n;

export interface DiskImageOptions {
  /** Write nothing, whatever the device allows. Default: as the device. */
  readonly readOnly?: boolean;
  readonly clock?: Clock;
  /** Minutes east of UTC of the local time in which FAT keeps its times. */
  readonly utcOffsetMinutes?: number;
  /** See `OpenOptions`. */
  readonly waitForIdle?: NonNullable<OpenOptions['waitForIdle']>;
  /** See `OpenOptions`. */
  readonly holder?: NonNullable<OpenOptions['holder']>;
  /** Close the device with the image. Default true: the image takes the device over. */
  readonly closeDevice?: boolean;
}

/** One partition of an image and the device that is exactly it. */
export interface Partition {
  readonly number: number;
  readonly kind: TablePartition['kind'] | 'bsd';
  /** The type byte of its entry, in a GPT the type's GUID. */
  readonly type: number | string;
  readonly typeName: string;
  readonly active: boolean;
  /** In a GPT, and the letter in a BSD disklabel. */
  readonly name?: string;
  /** Only in a GPT: the partition's own GUID. */
  readonly uuid?: string;
  readonly startSector: number;
  readonly sectorCount: number;
  /** Bytes from the start of the image. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  /** Undefined when the entry points past the end of the image. */
  readonly device: BlockDevice | undefined;
}

/** A whole image: its partition table, its partitions, and the file systems in them, each opened once. */
export class DiskImage {
  readonly device: BlockDevice;
  readonly table: Table | undefined;
  readonly partitions: readonly Partition[];
  readonly #openOptions: OpenOptions;
  readonly #closeDevice: boolean;
  /** By byte offset: two names of one place give one file system. */
  readonly #fileSystems = new Map<number, FileSystem>();
  #closed = false;

  private constructor(device: BlockDevice, table: Table | undefined, options: DiskImageOptions) {
    this.device = device;
    this.table = table;
    this.partitions = [
      ...(table?.partitions ?? []).map((entry) => describePartition(device, table!, entry)),
      ...bsdPartitions(device, table).map((entry) => describeNested(device, entry)),
    ];
    this.#openOptions = {
      readOnly: options.readOnly === true || device.readOnly,
      ...(options.clock === undefined ? {} : { clock: options.clock }),
      ...(options.utcOffsetMinutes === undefined ? {} : { utcOffsetMinutes: options.utcOffsetMinutes }),
      ...(options.waitForIdle === undefined ? {} : { waitForIdle: options.waitForIdle }),
      ...(options.holder === undefined ? {} : { holder: options.holder }),
    };
    this.#closeDevice = options.closeDevice ?? true;
  }

  /** Reads the partition table; file systems are opened when they are asked for. */
  static open(device: BlockDevice, options: DiskImageOptions = {}): DiskImage {
    return new DiskImage(device, readTable(device), options);
  }

  /** The device of partition `number`, of the whole image without one. ENXIO when there is no such partition. */
  volume(number?: number): BlockDevice {
    if (number === undefined) return this.device;
    const partition = this.partition(number);
    if (partition.device === undefined) {
      throw new FsError('ENXIO', {
        detail: `partition ${number} ends at byte ${partition.offset + partition.size}, the image at byte ${this.device.size}`,
      });
    }
    return partition.device;
  }

  /** The device from `offset` (bytes) to the end of the image, or to the end of the partition that starts exactly there. */
  volumeAt(offset: number): BlockDevice {
    if (offset === 0) return this.device;
    if (!Number.isSafeInteger(offset) || offset < 0 || offset >= this.device.size) {
      throw new FsError('ENXIO', {
        detail: `byte ${offset} is not on the image, which has ${this.device.size} bytes`,
      });
    }
    const partition = this.partitions.find((candidate) => candidate.offset === offset);
    return partition?.device ?? new SliceDevice(this.device, offset);
  }

  partition(number: number): Partition {
    const found = this.partitions.find((candidate) => candidate.number === number);
    if (found !== undefined) return found;
    const there =
      this.partitions.length === 0
        ? 'the image has no partition table'
        : `the image has ${this.partitions.map((candidate) => candidate.number).join(', ')}`;
    throw new FsError('ENXIO', { detail: `there is no partition ${number}: ${there}` });
  }

  /** The file system of partition `number`; without one, the only file system of the image. */
  fileSystem(number?: number): FileSystem {
    const sole = number ?? this.soleVolume();
    if (sole === undefined) return this.#open(0, this.device);
    return this.#open(this.partition(sole).offset, this.volume(sole));
  }

  /**
   * Where the only file system of the image lies: the number of its partition, or undefined for the whole image. UnsupportedError when there is none, or
   * more than one.
   */
  soleVolume(): number | undefined {
    // A file system over the whole image wins over a table: boot sectors can look like tables, and mkfs --mbr writes both.
    if (probeFileSystem(this.device) !== undefined) return undefined;
    const holders = this.partitions.filter(
      ({ kind, device }) =>
        kind !== 'extended' && device !== undefined && probeFileSystem(device) !== undefined,
    );
    if (holders.length === 1) return holders[0]!.number;
    if (this.partitions.length === 0) {
      throw new UnsupportedError(
        'No file system that userloop knows (FAT12, FAT16, FAT32, ext2, ext3, ext4) and no partition table is here',
      );
    }
    const list = this.partitions
      .map(
        ({ number, typeName, device }) =>
          `${number} (${typeName}${device === undefined ? ', past the end of the image' : (fileSystemName(device) ?? ', no known file system')})`,
      )
      .join(', ');
    throw new UnsupportedError(
      holders.length === 0
        ? `No partition holds a file system that userloop knows; partitions: ${list}`
        : `Several partitions hold a file system, name one as IMAGE:N; partitions: ${list}`,
    );
  }

  fileSystemAt(offset: number): FileSystem {
    return this.#open(offset, this.volumeAt(offset));
  }

  /** Writes what is held in memory, marks the file systems clean, and closes the device unless it was to stay open. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      for (const fileSystem of this.#fileSystems.values()) fileSystem.close();
    } finally {
      if (this.#closeDevice) this.device.close();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(offset: number, device: BlockDevice): FileSystem {
    let fileSystem = this.#fileSystems.get(offset);
    if (fileSystem === undefined) {
      fileSystem = openFileSystem(device, this.#openOptions);
      this.#fileSystems.set(offset, fileSystem);
    }
    return fileSystem;
  }
}

function fileSystemName(device: BlockDevice): string | undefined {
  const driver = probeFileSystem(device);
  return driver === undefined ? undefined : `, ${driver.name}`;
}

function describeNested(image: BlockDevice, entry: NestedBsdPartition): Partition {
  const { number, type, typeName, startSector, sectorCount, offset, size, sectorSize } = entry;
  return {
    number,
    kind: 'bsd',
    type,
    typeName,
    active: false,
    name: entry.letter,
    startSector,
    sectorCount,
    offset,
    size,
    device: offset + size <= image.size ? new SliceDevice(image, offset, size, { sectorSize }) : undefined,
  };
}

function describePartition(image: BlockDevice, table: Table, entry: TablePartition): Partition {
  const offset = entry.startSector * table.sectorSize;
  const size = entry.sectorCount * table.sectorSize;
  const own =
    entry.kind === 'gpt'
      ? {
          typeName: entry.typeName,
          active: (entry.attributes & LEGACY_BOOTABLE) !== 0n,
          name: entry.name,
          uuid: entry.uuid,
        }
      : { typeName: partitionTypeName(entry.type), active: entry.active };
  return {
    number: entry.number,
    kind: entry.kind,
    type: entry.type,
    ...own,
    startSector: entry.startSector,
    sectorCount: entry.sectorCount,
    offset,
    size,
    device: offset + size <= image.size && size > 0 ? partitionSlice(image, table, entry) : undefined,
  };
}
