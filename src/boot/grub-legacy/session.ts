import type { BlockDevice } from '../../device/block-device.ts';
import { CorruptImageError, FsError, UnsupportedError } from '../../errors.ts';
import { openFileSystem } from '../../filesystem/drivers.ts';
import type { FileSystem } from '../../filesystem/file-system.ts';
import { SliceDevice } from '../../device/slice-device.ts';
import { type GrubDevice, isHardDisk, WHOLE_DRIVE } from './device-name.ts';
import { type Drive, guessGeometry, SECTOR_SIZE } from './drive.ts';
import { GrubError } from './grub-error.ts';
import { type GrubPartition, openPartition } from './grub-partition.ts';

/** What GRUB calls a file system, and the stage 1.5 that reads it. */
export interface MountedFileSystem {
  readonly grubName: 'ext2fs' | 'fat';
  readonly stage15: 'e2fs_stage1_5' | 'fat_stage1_5';
  readonly partition: GrubPartition;
  readonly fs: FileSystem;
}

const EXT_TYPES: readonly number[] = [0x83, 0xfd];
/** Each also with 0x10 set: the hidden ones. */
const FAT_TYPES: readonly number[] = [0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e];

/** What GRUB at boot would stumble over, though our driver does not. */
const UNREAD_FEATURES: readonly string[] = ['inline_data', 'bigalloc', 'encrypt'];

export interface SessionOptions {
  /** BIOS drive that GRUB believes it was booted from: the first root device. Default 0x00. */
  readonly bootDrive?: number;
  /** The partition of the first root device, see GrubDevice. Default 0x20000. */
  readonly installPartition?: number;
}

/**
 * A run of GRUB's shell: its drives, its root device, and what it remembers of the last partition it looked at, which
 * `root` without an argument prints.
 */
export class GrubSession {
  root: GrubDevice;
  readonly #drives = new Map<number, Drive>();
  #lastFileSystem: MountedFileSystem['grubName'] | undefined;
  #lastType = 0;

  constructor(options: SessionOptions = {}) {
    this.root = { drive: options.bootDrive ?? 0, partition: options.installPartition ?? 0x20000 };
  }

  /** The image stands for the drive from now on; an image that was there before is forgotten, not closed. */
  setDrive(number: number, name: string, device: BlockDevice): void {
    this.#drives.set(number, { number, name, device, geometry: guessGeometry(number, device.size) });
  }

  /** In the order of GRUB's own searches: floppies, then hard disks. */
  get drives(): Drive[] {
    return [...this.#drives.values()].sort((a, b) => a.number - b.number);
  }

  /** Error 21 when the drive has no image. */
  drive(number: number): Drive {
    const drive = this.#drives.get(number);
    if (drive === undefined || drive.device.size < SECTOR_SIZE) throw new GrubError(21);
    return drive;
  }

  openPartition(device: GrubDevice): GrubPartition {
    this.#lastType = 0;
    // Every partition that can be named ends in 0xff; the default root device does not, so that it must be set first.
    if ((device.partition & 0xff) !== 0xff) throw new GrubError(12);
    const partition = openPartition(this.drive(device.drive), device.partition);
    this.#lastType = partition.type;
    return partition;
  }

  /** The file system on the partition; undefined when there is none that GRUB would read there. */
  probe(device: GrubDevice): MountedFileSystem | undefined {
    const mounted = mount(this.openPartition(device));
    this.#lastFileSystem = mounted?.grubName;
    return mounted;
  }

  /** As `probe`, but Error 17 where there is no file system. */
  mount(device: GrubDevice): MountedFileSystem {
    const mounted = this.probe(device);
    if (mounted === undefined) throw new GrubError(17);
    return mounted;
  }

  /** Makes a device the root that need not be there; when it is, its type is remembered. */
  setRootUnseen(device: GrubDevice): void {
    this.root = device;
    try {
      this.openPartition(device);
    } catch (error) {
      if (!(error instanceof GrubError)) throw error;
    }
  }

  /** A block list was opened: GRUB counts that as a file system of its own. */
  forgetFileSystem(): void {
    this.#lastFileSystem = undefined;
  }

  /** GRUB remembers a partition that it has only written to, or whose table it has read, as a whole drive. */
  rememberType(type: number): void {
    this.#lastType = type;
  }

  /** ` Filesystem type is ext2fs, partition type 0x83`, of the partition that was looked at last. */
  describeLast(partition: number): string {
    const name = this.#lastFileSystem;
    const fileSystem = name === undefined ? 'unknown' : `is ${name}`;
    const where =
      partition === WHOLE_DRIVE ? 'using whole disk' : `partition type 0x${this.#lastType.toString(16)}`;
    return ` Filesystem type ${fileSystem}, ${where}`;
  }
}

/** GRUB reads a file system only on a floppy as a whole, and in a partition of a type that goes with it. */
function mount(partition: GrubPartition): MountedFileSystem | undefined {
  if (partition.startSector >= partition.drive.geometry.totalSectors) throw new GrubError(18);
  const whole = partition.partition === WHOLE_DRIVE && !isHardDisk(partition.drive.number);
  const mayBeExt = whole || EXT_TYPES.includes(partition.type);
  const mayBeFat = whole || FAT_TYPES.includes(partition.type & ~0x10);
  if (!mayBeExt && !mayBeFat) return undefined;
  const { device } = partition.drive;
  const offset = partition.startSector * SECTOR_SIZE;
  const size = Math.min(partition.sectorCount * SECTOR_SIZE, device.size - offset);
  if (size <= 0) throw new GrubError(18);
  const fs = openReadable(new SliceDevice(device, offset, size));
  if (fs === undefined) return undefined;
  const unread = fs.features.filter((feature) => UNREAD_FEATURES.includes(feature));
  if (unread.length > 0) {
    throw new UnsupportedError(`GRUB legacy does not read file systems with ${unread.join(', ')}`, unread);
  }
  const isFat = fs.type.startsWith('fat');
  if (isFat ? !mayBeFat : !mayBeExt) return undefined;
  return {
    grubName: isFat ? 'fat' : 'ext2fs',
    stage15: isFat ? 'fat_stage1_5' : 'e2fs_stage1_5',
    partition,
    fs,
  };
}

/** A file system that cannot be used is none, as for GRUB; errors of the disk itself pass. */
function openReadable(device: BlockDevice): FileSystem | undefined {
  try {
    return openFileSystem(device, { readOnly: true });
  } catch (error) {
    if (error instanceof UnsupportedError || error instanceof CorruptImageError) return undefined;
    if (error instanceof FsError) throw new GrubError(25, { cause: error });
    throw error;
  }
}
