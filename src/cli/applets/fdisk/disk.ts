import fs from 'node:fs';
import path from 'node:path';
import type { Geometry } from '../../../bytes/chs.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { randomUuid } from '../../../bytes/uuid.ts';
import { type BlockDevice, readBytes } from '../../../device/block-device.ts';
import { FsError } from '../../../errors.ts';
import { sysfsSectorSize } from '../../../host/block-queue.ts';
import { systemRandom } from '../../../host/system.ts';
import { type DiskLayout, diskLayout } from '../../../partition/disk-layout.ts';
import { BsdDisklabelEditor, type SectorRange } from '../../../partition/bsd-disklabel-editor.ts';
import { type CreateGptOptions, GptEditor } from '../../../partition/gpt-editor.ts';
import { formatGuid } from '../../../partition/guid.ts';
import { MbrEditor } from '../../../partition/mbr-editor.ts';
import { readEntry } from '../../../partition/mbr-entry.ts';
import {
  DEFAULT_HEADS,
  DEFAULT_SECTORS_PER_TRACK,
  geometryOfEntries,
} from '../../../partition/mbr-geometry.ts';
import type { EditorMessage } from '../../../partition/mbr-slot.ts';
import { readTable } from '../../../partition/table.ts';
import type { DeviceLock } from '../../device-lock.ts';
import type { Io } from '../../io.ts';
import { isKernelDevice } from '../../kernel-partitions.ts';
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
  /** The disk is only looked at. */
  readonly readOnly?: boolean;
  /** Given back when the disk is closed. */
  readonly lock?: DeviceLock;
  /** `-t`: the only kind of table to recognise. */
  readonly type?: Label['kind'];
}

/** The kind of table that is edited, and its editor. */
export type Label =
  | { readonly kind: 'dos'; readonly editor: MbrEditor }
  | { readonly kind: 'gpt'; readonly editor: GptEditor }
  | { readonly kind: 'bsd'; readonly editor: BsdDisklabelEditor };

/** What an outer table says of where partitions may be. */
interface Alignment {
  readonly firstSector: number;
  readonly grain: number;
  readonly lastSector: number;
}

/**
 * The disk at work: what was read of it, and the table under edit. It is opened for writing only to write the table. A table within another one
 * (the MBR beside a GPT, a BSD disklabel in a partition) is a disk of its own whose `parent` is the outer one.
 */
export class Disk {
  readonly name: string;
  readonly parent: Disk | undefined;
  readonly options: DiskOptions;
  /** For reading. */
  readonly device: BlockDevice;
  readonly sectorSize: number;
  layout: DiskLayout;
  label: Label | undefined;
  /** An MBR is edited in DOS mode. */
  dosMode: boolean;
  /** Display and entry in cylinders. */
  cylinders: boolean;
  /** The geometry has mattered since DOS mode was on. */
  geometryMatters: boolean;
  /** Bytes: what a script has partitions aligned to, where it is not the usual. */
  grain: number | undefined;
  readonly #io: Io;
  /** Where partitions may begin and end, from the outer table until something is changed of it here. */
  #inherited: Alignment | undefined;
  /** Bytes: what the kernel says of the device. */
  readonly #ownSectorSize: number;
  /** What was typed since the table was read or made. */
  #typed: Partial<Geometry> = {};
  /** What the entries of the table were made with. */
  #ofTable: Pick<Geometry, 'heads' | 'sectorsPerTrack'> | undefined;

  private constructor(
    io: Io,
    name: string,
    device: BlockDevice,
    sectorSize: number,
    options: DiskOptions,
    parent?: Disk,
  ) {
    this.#io = io;
    this.name = name;
    this.device = device;
    this.sectorSize = sectorSize;
    this.options = options;
    this.parent = parent;
    this.#ownSectorSize = parent === undefined ? kernelSectorSize(io, name) : parent.#ownSectorSize;
    this.cylinders = parent?.cylinders ?? options.cylinders;
    // Each level of tables has a DOS mode of its own.
    this.dosMode = parent === undefined && options.dosCompatible;
    this.geometryMatters = this.dosMode;
    if (parent !== undefined) {
      this.#typed = parent.layout.geometry;
      this.#inherited = parent.#alignment;
    }
    this.layout = this.#layout(undefined);
    if (parent === undefined) this.#openLabel();
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

  get bsd(): BsdDisklabelEditor | undefined {
    return this.label?.kind === 'bsd' ? this.label.editor : undefined;
  }

  get #alignment(): Alignment {
    const { firstSector, grain } = this.gpt?.layout ?? this.layout;
    return { firstSector, grain, lastSector: this.lastSector };
  }

  /** The last sector that free space reaches to. */
  get lastSector(): number {
    return this.gpt?.lastUsable ?? this.#inherited?.lastSector ?? this.layout.sectorCount - 1;
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
    this.layout = this.#layout('dos');
    const editor = MbrEditor.create(this.device, this.layout, {
      diskIdentifier: diskIdentifier ?? viewOf(random).getUint32(0, true),
      keepBootCode: this.options.keepBootCode,
    });
    this.label = { kind: 'dos', editor };
  }

  /** Starts over with an empty GPT. ENOSPC where the disk is too small. */
  createGpt(options: Partial<CreateGptOptions> = {}): void {
    this.#forgetGeometry();
    this.layout = this.#layout('gpt');
    const editor = GptEditor.create(this.device, this.layout, {
      diskGuid: newGuid(),
      keepBootCode: this.options.keepBootCode,
      ...options,
    });
    this.label = { kind: 'gpt', editor };
  }

  /** Starts over with a new BSD disklabel, in this partition of the outer MBR or on the whole disk. */
  createBsd(slice: SectorRange | undefined): void {
    const editor = BsdDisklabelEditor.create(this.layout, {
      ...(slice === undefined ? {} : { slice }),
      scsi: this.name.startsWith('/dev/sd'),
    });
    this.label = { kind: 'bsd', editor };
  }

  /** The MBR beside this GPT. */
  nestHybrid(): Disk {
    const nested = new Disk(this.#io, this.name, this.device, this.sectorSize, this.options, this);
    nested.layout = nested.#layout('dos');
    const editor = MbrEditor.overBootSector(this.device, this.gpt!.bootSector, nested.layout);
    nested.label = { kind: 'dos', editor };
    return nested;
  }

  /** The BSD disklabel in this partition of this MBR, with a label where there is one. `index`: undefined where no partition is for it. */
  nestBsd(index: number | undefined): Disk {
    const name = index === undefined ? '(null)' : partitionPath(this.name, index + 1);
    const nested = new Disk(this.#io, name, this.device, this.sectorSize, this.options, this);
    if (index === undefined) return nested;
    const { startSector, sectorCount } = this.editor!.partition(index);
    nested.#openBsd({ startSector, sectorCount });
    return nested;
  }

  /** What partitions of the next label are aligned to. */
  setGrain(grain: number): void {
    this.grain = grain;
    this.#relayout();
  }

  setDosCompatible(dosCompatible: boolean): void {
    this.geometryMatters ||= dosCompatible;
    this.dosMode = dosCompatible;
    this.#inherited = undefined;
    this.#relayout();
  }

  /** Another geometry; the number of cylinders follows unless it is what changes. */
  setGeometry(change: Partial<Geometry>): void {
    const { heads, sectorsPerTrack } = this.layout.geometry;
    this.#typed = { heads, sectorsPerTrack, ...change };
    this.#inherited = undefined;
    this.#relayout();
  }

  /** A new table starts with the geometry of the command line. */
  #forgetGeometry(): void {
    this.#typed = {};
    this.#ofTable = undefined;
    this.#relayout();
  }

  /** Opens the disk for writing, has done what comes first, writes what changed of the table, and closes it. */
  write(before: (device: BlockDevice) => void = () => {}): void {
    this.writeNow((device) => {
      before(device);
      this.label?.editor.write(device);
    });
  }

  /** Opens the disk for writing, has something written, and closes it. */
  writeNow(write: (device: BlockDevice) => void): void {
    const device = openDevice(this.#io, this.#outermostName, {
      sectorSize: this.sectorSize,
      // As on a real disk: of what is mounted only the table is another matter.
      whileMounted: true,
    });
    try {
      write(device);
    } finally {
      device.close();
    }
  }

  /** Reads the table on the disk again. */
  reload(): void {
    this.label = undefined;
    this.grain = undefined;
    this.#forgetGeometry();
    this.#openLabel();
  }

  close(): void {
    this.device.close();
    this.options.lock?.close();
  }

  get #outermostName(): string {
    return this.parent === undefined ? this.name : this.parent.#outermostName;
  }

  #openLabel(): void {
    const { type, readOnly = false } = this.options;
    if (type === undefined || type === 'gpt') {
      const gpt = GptEditor.open(this.device, this.#layout('gpt'), { readOnly });
      if (gpt !== undefined) {
        this.label = { kind: 'gpt', editor: gpt };
        return;
      }
    }
    if (type === undefined || type === 'dos') {
      this.#ofTable = this.#tableGeometry();
      const layout = this.#layout('dos');
      const mbr = MbrEditor.open(this.device, layout);
      if (mbr !== undefined) {
        this.label = { kind: 'dos', editor: mbr };
        this.layout = layout;
        return;
      }
      this.#ofTable = undefined;
    }
    if (type === undefined || type === 'bsd') this.#openBsd();
  }

  /** Its own geometry is the one that counts from then on. */
  #openBsd(slice?: SectorRange): void {
    const editor = BsdDisklabelEditor.open(this.device, this.layout, slice);
    if (editor === undefined) return;
    this.label = { kind: 'bsd', editor };
    this.#typed = {
      cylinders: editor.drive('d_ncylinders'),
      heads: editor.drive('d_ntracks'),
      sectorsPerTrack: editor.drive('d_nsectors'),
    };
    this.#relayout();
  }

  #relayout(): void {
    this.layout = this.#layout(this.label?.kind);
    if (this.label?.kind === 'dos' || this.label?.kind === 'bsd') this.label.editor.layout = this.layout;
  }

  /** For a label of this kind. */
  #layout(kind: Label['kind'] | undefined): DiskLayout {
    const { size } = this.device;
    const { sectorSize } = this;
    const layout = diskLayout({
      size,
      sectorSize,
      geometry: this.#geometry(),
      dosCompatible: this.dosMode && kind === 'dos',
      ...(this.grain === undefined ? {} : { grain: this.grain }),
    });
    if (this.#inherited === undefined) return layout;
    const { firstSector, grain } = this.#inherited;
    return { ...layout, firstSector, grain };
  }

  /** What was typed, then what the command line says, then what the table was made with, then what everybody assumes. */
  #geometry(): Geometry {
    const { size } = this.device;
    const named = this.options.geometry;
    const known = { ...this.#ofTable, ...named, ...this.#typed };
    const { heads = DEFAULT_HEADS, sectorsPerTrack = DEFAULT_SECTORS_PER_TRACK } = known;
    // A number of cylinders that was given holds until another heads or sectors are typed.
    const given = this.#typed.heads === undefined ? named.cylinders : this.#typed.cylinders;
    // Where nothing is known of the geometry, the tool counts in sectors of the device (512 bytes for a file), whatever the table's are.
    const guessed = known.heads === undefined && known.sectorsPerTrack === undefined;
    const sectorCount = Math.floor(size / (guessed ? this.#ownSectorSize : this.sectorSize));
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

/** Logical sector, bytes, of a device of the kernel; 512 for anything else. */
function kernelSectorSize(io: Io, name: string): number {
  if (!isKernelDevice(io, name)) return 512;
  return sysfsSectorSize(fs.statSync(path.resolve(io.cwd, name)).rdev) ?? 512;
}

/** `a.img1`, `/dev/loop0p1`: a `p` in between where the name ends in a digit. */
export function partitionPath(diskName: string, number: number): string {
  return `${diskName}${/\d$/.test(diskName) ? 'p' : ''}${number}`;
}

/** A random UUID, whose bytes are taken for those of a GUID as they are. */
export function newGuid(): string {
  return formatGuid(randomUuid(systemRandom));
}
