import { viewOf } from '../bytes/struct.ts';
import { type BlockDevice, readBytes } from '../device/block-device.ts';
import {
  DISKLABEL_MAGIC,
  DISKLABEL_OFFSET,
  Disklabel,
  DisklabelPartition,
  MAX_BSD_PARTITIONS,
  disklabelSum,
  readDisklabelBytes,
} from './bsd-disklabel.ts';
import { BSD_UNUSED } from './bsd-type.ts';
import type { DiskLayout } from './disk-layout.ts';

/** A partition of a disklabel under edit. Sectors count from the start of the disk. */
export interface EditedBsdPartition {
  /** From 0 for `a`. */
  readonly index: number;
  /** It has sectors. */
  readonly used: boolean;
  readonly type: number;
  readonly startSector: number;
  /** Included. */
  readonly endSector: number;
  readonly sectorCount: number;
  /** Bytes a fragment of the file system. */
  readonly fragmentSize: number;
  /** Bytes a block of the file system. */
  readonly blockSize: number;
  readonly cylindersPerGroup: number;
}

/** The slice of an MBR that holds the label, in sectors. */
export interface SectorRange {
  readonly startSector: number;
  readonly sectorCount: number;
}

/** Numbers in a label that are not about its partitions. */
export type DriveField =
  | 'd_nsectors'
  | 'd_ntracks'
  | 'd_ncylinders'
  | 'd_secpercyl'
  | 'd_secperunit'
  | 'd_rpm'
  | 'd_interleave'
  | 'd_trackskew'
  | 'd_cylskew'
  | 'd_headswitch'
  | 'd_trkseek'
  | 'd_secsize'
  | 'd_bbsize'
  | 'd_flags'
  | 'd_type';

const BOOT_AREA_SIZE = 8192;
const SUPERBLOCK_SIZE = 8192;
const TYPE_SCSI = 4;
const TYPE_ST506 = 6;
/** The label lies in a partition of an MBR; util-linux sets it in any case. */
const FLAG_DOS_PARTITION = 0x20;
const RPM = 3600;

/** A BSD disklabel in memory, edited as util-linux' fdisk edits it. Nothing reaches the device before `write`. */
export class BsdDisklabelEditor {
  layout: DiskLayout;
  readonly warnings: string[] = [];
  /** Undefined for that of a whole disk. */
  readonly slice: SectorRange | undefined;
  readonly #label: Uint8Array;
  readonly #view: DataView;

  private constructor(layout: DiskLayout, slice: SectorRange | undefined, label: Uint8Array) {
    this.layout = layout;
    this.slice = slice;
    this.#label = label;
    this.#view = viewOf(label);
  }

  /** A label with c for the whole, in a slice d for the whole disk. `scsi`: the disk's name says that it is one. */
  static create(
    layout: DiskLayout,
    options: { readonly slice?: SectorRange; readonly scsi?: boolean },
  ): BsdDisklabelEditor {
    const { slice } = options;
    const label = new Uint8Array(Disklabel.$size);
    const view = viewOf(label);
    const { cylinders, heads, sectorsPerTrack } = layout.geometry;
    const cylinderSectors = Math.max(1, heads * sectorsPerTrack);
    const unitSectors = (cylinderSectors * cylinders) >>> 0;
    Disklabel.d_magic.set(view, 0, DISKLABEL_MAGIC);
    Disklabel.d_type.set(view, 0, options.scsi === true ? TYPE_SCSI : TYPE_ST506);
    // 512 also where the disk has other sectors, as the tool writes it.
    Disklabel.d_secsize.set(view, 0, 512);
    Disklabel.d_nsectors.set(view, 0, sectorsPerTrack);
    Disklabel.d_ntracks.set(view, 0, heads);
    Disklabel.d_ncylinders.set(view, 0, cylinders);
    Disklabel.d_secpercyl.set(view, 0, cylinderSectors);
    Disklabel.d_secperunit.set(view, 0, unitSectors);
    Disklabel.d_rpm.set(view, 0, RPM);
    Disklabel.d_interleave.set(view, 0, 1);
    Disklabel.d_flags.set(view, 0, FLAG_DOS_PARTITION);
    Disklabel.d_magic2.set(view, 0, DISKLABEL_MAGIC);
    Disklabel.d_npartitions.set(view, 0, slice === undefined ? 3 : 4);
    Disklabel.d_bbsize.set(view, 0, BOOT_AREA_SIZE);
    Disklabel.d_sbsize.set(view, 0, SUPERBLOCK_SIZE);
    const editor = new BsdDisklabelEditor(layout, slice, label);
    const whole = { startSector: 0, sectorCount: unitSectors };
    if (slice === undefined) editor.setPartition(2, { ...whole, type: BSD_UNUSED });
    else {
      editor.setPartition(2, { ...slice, type: BSD_UNUSED });
      editor.setPartition(3, { ...whole, type: BSD_UNUSED });
    }
    return editor;
  }

  /** The label of the disk, or of a slice of it; undefined where there is none. */
  static open(device: BlockDevice, layout: DiskLayout, slice?: SectorRange): BsdDisklabelEditor | undefined {
    const label = readDisklabelBytes(device, (slice?.startSector ?? 0) * layout.sectorSize);
    if (label === undefined) return undefined;
    const editor = new BsdDisklabelEditor(layout, slice, label);
    const count = Disklabel.d_npartitions.get(editor.#view, 0);
    if (count > MAX_BSD_PARTITIONS) {
      editor.warnings.push(`Too many partitions (${count}, maximum is ${MAX_BSD_PARTITIONS}).`);
    }
    for (let index = count; index < MAX_BSD_PARTITIONS; index++) editor.#clear(index);
    return editor;
  }

  get partitionCount(): number {
    return Math.min(Disklabel.d_npartitions.get(this.#view, 0), MAX_BSD_PARTITIONS);
  }

  /** Every place up to the last in use. */
  get partitions(): EditedBsdPartition[] {
    return Array.from({ length: this.partitionCount }, (_, index) => this.partition(index));
  }

  partition(index: number): EditedBsdPartition {
    const base = entryAt(index);
    const startSector = DisklabelPartition.p_offset.get(this.#view, base);
    const sectorCount = DisklabelPartition.p_size.get(this.#view, base);
    const fragmentSize = DisklabelPartition.p_fsize.get(this.#view, base);
    return {
      index,
      used: sectorCount !== 0,
      type: DisklabelPartition.p_fstype.get(this.#view, base),
      startSector,
      endSector: startSector + Math.max(0, sectorCount - 1),
      sectorCount,
      fragmentSize,
      blockSize: fragmentSize * DisklabelPartition.p_frag.get(this.#view, base),
      cylindersPerGroup: DisklabelPartition.p_cpg.get(this.#view, base),
    };
  }

  /** Fills a place; what the file system had noted there stays. */
  setPartition(
    index: number,
    change: Partial<Pick<EditedBsdPartition, 'type' | 'startSector' | 'sectorCount'>>,
  ): void {
    const base = entryAt(index);
    const { type, startSector, sectorCount } = change;
    if (sectorCount !== undefined) DisklabelPartition.p_size.set(this.#view, base, sectorCount);
    if (startSector !== undefined) DisklabelPartition.p_offset.set(this.#view, base, startSector);
    if (type !== undefined) DisklabelPartition.p_fstype.set(this.#view, base, type);
    if (index >= this.partitionCount) Disklabel.d_npartitions.set(this.#view, 0, index + 1);
  }

  delete(index: number): void {
    this.#clear(index);
    if (index !== this.partitionCount - 1) return;
    let count = index;
    while (count > 0 && !this.partition(count - 1).used) count--;
    Disklabel.d_npartitions.set(this.#view, 0, count);
  }

  drive(field: DriveField): number {
    return Disklabel[field].get(this.#view, 0);
  }

  setDrive(field: DriveField, value: number): void {
    Disklabel[field].set(this.#view, 0, value >>> 0);
  }

  get typeName(): string {
    return Disklabel.d_typename.get(this.#view, 0);
  }

  get packName(): string {
    return Disklabel.d_packname.get(this.#view, 0);
  }

  /** The label as it will be, with its checksum. */
  image(): Uint8Array {
    Disklabel.d_checksum.set(this.#view, 0, 0);
    Disklabel.d_checksum.set(this.#view, 0, disklabelSum(this.#label));
    return this.#label;
  }

  /** Writes the label; what lies around it in its sectors stays. */
  write(device: BlockDevice): void {
    const { sectorSize } = this.layout;
    const base = (this.slice?.startSector ?? 0) * sectorSize;
    const first = Math.floor(DISKLABEL_OFFSET / sectorSize) * sectorSize;
    const end = Math.ceil((DISKLABEL_OFFSET + Disklabel.$size) / sectorSize) * sectorSize;
    const sectors = readBytes(device, base + first, end - first);
    sectors.set(this.image(), DISKLABEL_OFFSET - first);
    device.write(base + first, sectors);
    device.flush();
  }

  #clear(index: number): void {
    const base = entryAt(index);
    DisklabelPartition.p_size.set(this.#view, base, 0);
    DisklabelPartition.p_offset.set(this.#view, base, 0);
    DisklabelPartition.p_fstype.set(this.#view, base, BSD_UNUSED);
  }
}

function entryAt(index: number): number {
  return Disklabel.d_partitions.offset + index * DisklabelPartition.$size;
}
