import type { Geometry } from '../../../bytes/chs.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { randomUuid } from '../../../bytes/uuid.ts';
import { type BlockDevice, readBytes } from '../../../device/block-device.ts';
import { FsError } from '../../../errors.ts';
import { systemRandom } from '../../../host/system.ts';
import { type DiskLayout, diskLayout } from '../../../partition/disk-layout.ts';
import { type CreateGptOptions, GptEditor } from '../../../partition/gpt-editor.ts';
import { formatGuid } from '../../../partition/guid.ts';
import { type EditorMessage, MbrEditor } from '../../../partition/mbr-editor.ts';
import { readEntry } from '../../../partition/mbr-entry.ts';
import {
  DEFAULT_HEADS,
  DEFAULT_SECTORS_PER_TRACK,
  geometryOfEntries,
} from '../../../partition/mbr-geometry.ts';
import { readTable } from '../../../partition/table.ts';
import type { Io } from '../../io.ts';
import { openDevice } from '../../open-device.ts';

export interface DiskOptions {
  readonly geometry: Partial<Geometry>;
  readonly dosCompatible: boolean;
  readonly cylinders: boolean;
  /** The listing of before util-linux 2.23. */
  readonly classic: boolean;
  /** Bytes; found out where it is not given. */
  readonly sectorSize?: number;
  /** `-B`: a new table leaves boot code alone. */
  readonly keepBootCode: boolean;
  /** The disk cannot be written. */
  readonly readOnly?: boolean;
  /** `-t`: the only kind of table to recognise. */
  readonly type?: Label['kind'];
}

/** The kind of table that is edited, and its editor. */
export type Label =
  { readonly kind: 'dos'; readonly editor: MbrEditor } | { readonly kind: 'gpt'; readonly editor: GptEditor };

/** The disk at work: what was read of it, and the table under edit. It is opened for writing only to write the table. */
export class Disk {
  readonly name: string;
  readonly options: DiskOptions;
  /** For reading. */
  readonly device: BlockDevice;
  readonly sectorSize: number;
  layout: DiskLayout;
  label: Label | undefined;
  /** The GPT whose MBR is edited, while that is so. */
  parent: GptEditor | undefined;
  /** Display and entry in cylinders. */
  cylinders: boolean;
  /** The geometry has mattered since DOS mode was on. */
  geometryMatters: boolean;
  /** Bytes: what a script has partitions aligned to, where it is not the usual. */
  grain: number | undefined;
  readonly #io: Io;
  /** What was typed since the table was read or made. */
  #typed: Partial<Geometry> = {};
  /** What the entries of the table were made with. */
  #ofTable: Pick<Geometry, 'heads' | 'sectorsPerTrack'> | undefined;

  private constructor(io: Io, name: string, device: BlockDevice, sectorSize: number, options: DiskOptions) {
    this.#io = io;
    this.name = name;
    this.device = device;
    this.sectorSize = sectorSize;
    this.options = options;
    this.cylinders = options.cylinders;
    this.geometryMatters = options.dosCompatible;
    this.#ofTable = this.#tableGeometry();
    this.layout = this.#layout(options.dosCompatible);
    this.label = this.#openLabel();
  }

  static open(io: Io, name: string, options: DiskOptions): Disk {
    const { sectorSize: asked } = options;
    const device = openDevice(io, name, {
      readOnly: true,
      ...(asked === undefined ? {} : { sectorSize: asked }),
    });
    const sectorSize = asked ?? readTable(device)?.sectorSize ?? device.sectorSize;
    if (device.size < sectorSize) {
      device.close();
      throw new FsError('EINVAL', { syscall: 'open', path: name });
    }
    return new Disk(io, name, device, sectorSize, options);
  }

  /** The MBR under edit: the table itself, or the one beside a GPT. */
  get editor(): MbrEditor | undefined {
    return this.label?.kind === 'dos' ? this.label.editor : undefined;
  }

  get gpt(): GptEditor | undefined {
    return this.label?.kind === 'gpt' ? this.label.editor : undefined;
  }

  /** What was odd in the table when it was read. */
  get messages(): readonly EditorMessage[] {
    if (this.label?.kind === 'dos') return this.label.editor.messages;
    return this.label?.editor.warnings.map((text) => ({ kind: 'warning' as const, text })) ?? [];
  }

  get warnings(): readonly string[] {
    return this.messages.map(({ text }) => text);
  }

  /** Starts over with an empty MBR. */
  createDos(diskIdentifier?: number): void {
    const random = new Uint8Array(4);
    systemRandom(random);
    this.#forgetGeometry();
    const editor = MbrEditor.create(this.device, this.layout, {
      diskIdentifier: diskIdentifier ?? viewOf(random).getUint32(0, true),
      keepBootCode: this.options.keepBootCode,
    });
    this.label = { kind: 'dos', editor };
    this.parent = undefined;
  }

  /** Starts over with an empty GPT. ENOSPC where the disk is too small. */
  createGpt(options: Partial<CreateGptOptions> = {}): void {
    this.#forgetGeometry();
    const editor = GptEditor.create(this.device, this.layout, {
      diskGuid: newGuid(),
      keepBootCode: this.options.keepBootCode,
      ...options,
    });
    this.label = { kind: 'gpt', editor };
    this.parent = undefined;
  }

  /** Turns to the MBR beside the GPT. */
  enterHybrid(): void {
    if (this.label?.kind !== 'gpt') return;
    this.parent = this.label.editor;
    const editor = MbrEditor.overBootSector(this.parent.bootSector, this.layout);
    this.label = { kind: 'dos', editor };
  }

  leaveHybrid(): void {
    if (this.parent !== undefined) this.label = { kind: 'gpt', editor: this.parent };
    this.parent = undefined;
  }

  /** What partitions of the next label are aligned to. */
  setGrain(grain: number): void {
    this.grain = grain;
    this.#relayout(this.layout.dosCompatible);
  }

  setDosCompatible(dosCompatible: boolean): void {
    this.geometryMatters ||= dosCompatible;
    this.#relayout(dosCompatible);
  }

  /** Another geometry; the number of cylinders follows unless it is what changes. */
  setGeometry(change: Partial<Geometry>): void {
    const { heads, sectorsPerTrack } = this.layout.geometry;
    this.#typed = { heads, sectorsPerTrack, ...change };
    this.#relayout(this.layout.dosCompatible);
  }

  /** A new table starts with the geometry of the command line. */
  #forgetGeometry(): void {
    this.#typed = {};
    this.#ofTable = undefined;
    this.#relayout(this.layout.dosCompatible);
  }

  /** Opens the disk for writing, has done what comes first, writes what changed of the table, and closes it. */
  write(before: (device: BlockDevice) => void = () => {}): void {
    const device = openDevice(this.#io, this.name, {
      sectorSize: this.sectorSize,
      // As on a real disk: of what is mounted only the table is another matter.
      whileMounted: true,
    });
    try {
      before(device);
      this.label?.editor.write(device);
    } finally {
      device.close();
    }
  }

  close(): void {
    this.device.close();
  }

  #openLabel(): Label | undefined {
    const { type, readOnly = false } = this.options;
    if (type !== 'dos') {
      const gpt = GptEditor.open(this.device, this.layout, { readOnly });
      if (gpt !== undefined) return { kind: 'gpt', editor: gpt };
    }
    const mbr = type === 'gpt' ? undefined : MbrEditor.open(this.device, this.layout);
    return mbr === undefined ? undefined : { kind: 'dos', editor: mbr };
  }

  #relayout(dosCompatible: boolean): void {
    this.layout = this.#layout(dosCompatible);
    if (this.editor !== undefined) this.editor.layout = this.layout;
  }

  #layout(dosCompatible: boolean): DiskLayout {
    const { size } = this.device;
    const { sectorSize } = this;
    return diskLayout({
      size,
      sectorSize,
      geometry: this.#geometry(),
      dosCompatible,
      ...(this.grain === undefined ? {} : { grain: this.grain }),
    });
  }

  /** What was typed, then what the command line says, then what the table was made with, then what everybody assumes. */
  #geometry(): Geometry {
    const { size } = this.device;
    const named = this.options.geometry;
    const known = { ...this.#ofTable, ...named, ...this.#typed };
    const { heads = DEFAULT_HEADS, sectorsPerTrack = DEFAULT_SECTORS_PER_TRACK } = known;
    // A number of cylinders that was given holds until another heads or sectors are typed.
    const given = this.#typed.heads === undefined ? named.cylinders : this.#typed.cylinders;
    // Where nothing is known of the geometry, the tool counts in sectors of 512 bytes whatever the sector size.
    const guessed = known.heads === undefined && known.sectorsPerTrack === undefined;
    const sectorCount = Math.floor(size / (guessed ? 512 : this.sectorSize));
    return {
      cylinders: given ?? Math.floor(sectorCount / (heads * sectorsPerTrack)),
      heads,
      sectorsPerTrack,
    };
  }

  #tableGeometry(): Pick<Geometry, 'heads' | 'sectorsPerTrack'> | undefined {
    const view = viewOf(readBytes(this.device, 0, 512));
    if (view.getUint16(510, true) !== 0xaa55) return undefined;
    return geometryOfEntries([0, 1, 2, 3].map((index) => readEntry(view, index)));
  }
}

/** A random UUID, whose bytes are taken for those of a GUID as they are. */
export function newGuid(): string {
  return formatGuid(randomUuid(systemRandom));
}
