import type { Geometry } from '../../../bytes/chs.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../../../device/block-device.ts';
import { FsError } from '../../../errors.ts';
import { systemRandom } from '../../../host/system.ts';
import { type DiskLayout, diskLayout } from '../../../partition/disk-layout.ts';
import { MbrEditor } from '../../../partition/mbr-editor.ts';
import { readEntry } from '../../../partition/mbr-entry.ts';
import {
  DEFAULT_HEADS,
  DEFAULT_SECTORS_PER_TRACK,
  geometryOfEntries,
} from '../../../partition/mbr-geometry.ts';
import { GPT_PROTECTIVE_TYPE } from '../../../partition/mbr-type.ts';
import type { Io } from '../../io.ts';
import { openDevice } from '../../open-device.ts';

export interface DiskOptions {
  readonly geometry: Partial<Geometry>;
  readonly dosCompatible: boolean;
  readonly cylinders: boolean;
  /** The listing of before util-linux 2.23. */
  readonly classic: boolean;
  /** Bytes. */
  readonly sectorSize: number;
  /** `-B`: a new table leaves boot code alone. */
  readonly keepBootCode: boolean;
  /** Whether file systems found on the disk are mentioned. */
  readonly mentionSignatures: boolean;
}

/** The disk at work: what was read of it, and the table under edit. It is opened for writing only to write the table. */
export class Disk {
  readonly name: string;
  readonly options: DiskOptions;
  /** For reading. */
  readonly device: BlockDevice;
  layout: DiskLayout;
  editor: MbrEditor | undefined;
  /** Display and entry in cylinders. */
  cylinders: boolean;
  /** The geometry has mattered since DOS mode was on. */
  geometryMatters: boolean;
  /** The kind of table that is there and that we cannot edit. */
  readonly foreign: 'gpt' | undefined;
  readonly #io: Io;

  private constructor(io: Io, name: string, device: BlockDevice, options: DiskOptions) {
    this.#io = io;
    this.name = name;
    this.device = device;
    this.options = options;
    this.cylinders = options.cylinders;
    this.geometryMatters = options.dosCompatible;
    this.layout = this.#layout(this.#tableGeometry(), options.dosCompatible);
    this.editor = MbrEditor.open(device, this.layout);
    this.foreign = this.editor?.partitions.some(({ entry }) => entry.type === GPT_PROTECTIVE_TYPE)
      ? 'gpt'
      : undefined;
  }

  static open(io: Io, name: string, options: DiskOptions): Disk {
    const device = openDevice(io, name, { readOnly: true, sectorSize: options.sectorSize });
    if (device.size < options.sectorSize) {
      device.close();
      throw new FsError('EINVAL', { syscall: 'open', path: name });
    }
    return new Disk(io, name, device, options);
  }

  /** Starts over with an empty table. */
  createTable(): void {
    const random = new Uint8Array(4);
    systemRandom(random);
    this.editor = MbrEditor.create(this.device, this.layout, {
      diskIdentifier: viewOf(random).getUint32(0, true),
      keepBootCode: this.options.keepBootCode,
    });
  }

  setDosCompatible(dosCompatible: boolean): void {
    this.geometryMatters ||= dosCompatible;
    this.layout = this.#layout(this.layout.geometry, dosCompatible);
    if (this.editor !== undefined) this.editor.layout = this.layout;
  }

  /** Opens the disk for writing, writes what changed of the table, and closes it. */
  write(): void {
    const device = openDevice(this.#io, this.name, {
      sectorSize: this.options.sectorSize,
      // As on a real disk: of what is mounted only the table is another matter.
      whileMounted: true,
    });
    try {
      this.editor?.write(device);
    } finally {
      device.close();
    }
  }

  close(): void {
    this.device.close();
  }

  #layout(geometry: Pick<Geometry, 'heads' | 'sectorsPerTrack'>, dosCompatible: boolean): DiskLayout {
    const { size } = this.device;
    const { sectorSize } = this.options;
    const { heads, sectorsPerTrack } = geometry;
    const cylinders =
      this.options.geometry.cylinders ??
      // Counted in sectors of 512 bytes whatever the sector size, as the tool does.
      Math.floor(Math.floor(size / 512) / (heads * sectorsPerTrack));
    return diskLayout({
      size,
      sectorSize,
      geometry: { cylinders, heads, sectorsPerTrack },
      dosCompatible,
    });
  }

  /** What the command line says, then what the table was made with, then what everybody assumes. */
  #tableGeometry(): Pick<Geometry, 'heads' | 'sectorsPerTrack'> {
    const view = viewOf(readBytes(this.device, 0, 512));
    const { heads, sectorsPerTrack } = this.options.geometry;
    const found =
      view.getUint16(510, true) === 0xaa55
        ? geometryOfEntries([0, 1, 2, 3].map((index) => readEntry(view, index)))
        : undefined;
    return {
      heads: heads ?? found?.heads ?? DEFAULT_HEADS,
      sectorsPerTrack: sectorsPerTrack ?? found?.sectorsPerTrack ?? DEFAULT_SECTORS_PER_TRACK,
    };
  }
}
