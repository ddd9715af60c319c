import type { BlockDevice } from '../../device/block-device.ts';
import type { AllocationTable } from './allocation-table.ts';
import { ExtendedBpb16, ExtendedBpb32 } from './boot-sector.ts';
import { readFsInfo, writeFsInfo } from './fs-info.ts';
import type { FatGeometry } from './geometry.ts';

/** FATs up to this size are counted instead of believing FSInfo: it takes milliseconds. */
const MAX_COUNTED_FAT = 8 << 20;
const DIRTY = 0x01;

/**
 * What the volume tells of itself as a whole: the dirty mark of the boot sector (BS_Reserved1, bit 0, as Linux and
 * Windows NT keep it) and FSInfo. The bits in FAT[1] that Windows 9x kept are left as they are, as Linux leaves them.
 */
export class VolumeState {
  readonly #device: BlockDevice;
  readonly #geometry: FatGeometry;
  readonly #table: AllocationTable;
  readonly #hasFsInfo: boolean;
  /** Where FSInfo tells to begin to look for free clusters. */
  readonly startCluster: number;
  /** Free clusters after FSInfo and what has happened since; undefined: to be counted. */
  #freeCount: number | undefined;
  /** Byte offset of BS_Reserved1; undefined where the boot sector has none. */
  readonly #flagsOffset: number | undefined;
  readonly #flags: number;
  #isMarked = false;

  constructor(device: BlockDevice, geometry: FatGeometry, table: AllocationTable, bootSector: DataView) {
    this.#device = device;
    this.#geometry = geometry;
    this.#table = table;
    const extended = geometry.type === 'fat32' ? ExtendedBpb32 : ExtendedBpb16;
    const signature = extended.BS_BootSig.get(bootSector, 0);
    // Without a signature the byte may be code.
    this.#flagsOffset = signature === 0x29 || signature === 0x28 ? extended.BS_Reserved1.offset : undefined;
    this.#flags = extended.BS_Reserved1.get(bootSector, 0);
    const { fsInfoOffset, clusterCount } = geometry;
    const hints = fsInfoOffset === undefined ? undefined : readFsInfo(device, fsInfoOffset, clusterCount);
    this.#hasFsInfo = hints !== undefined;
    this.startCluster = hints?.nextFree ?? 2;
    this.#freeCount = geometry.fatSize > MAX_COUNTED_FAT ? hints?.freeCount : undefined;
  }

  /** Before the first change of metadata. */
  markDirty(): void {
    if (this.#isMarked) return;
    this.#writeFlags(this.#flags | DIRTY);
    this.#isMarked = true;
  }

  /** After the last change: the mark goes, unless the volume came with it. */
  markClean(): void {
    if (!this.#isMarked) return;
    this.#writeFlags(this.#flags);
    this.#isMarked = false;
  }

  /** The table was changed by somebody else: the free clusters are to be counted. */
  forgetFreeCount(): void {
    this.#freeCount = undefined;
  }

  allocated(clusterCount: number): void {
    if (this.#freeCount !== undefined) this.#freeCount -= clusterCount;
  }

  freed(clusterCount: number): void {
    if (this.#freeCount !== undefined) this.#freeCount += clusterCount;
  }

  /** Clusters that the table calls free. */
  freeClusters(): number {
    // FSInfo was wrong where the sum leaves the possible.
    if (
      this.#freeCount !== undefined &&
      this.#freeCount >= 0 &&
      this.#freeCount <= this.#table.clusterCount
    ) {
      return this.#freeCount;
    }
    this.#freeCount = undefined;
    return this.#table.countFree();
  }

  writeHints(nextFree: number): void {
    if (!this.#hasFsInfo) return;
    writeFsInfo(this.#device, this.#geometry.fsInfoOffset!, {
      freeCount: this.freeClusters(),
      nextFree: nextFree > this.#table.lastCluster ? 2 : nextFree,
    });
  }

  #writeFlags(flags: number): void {
    if (this.#flagsOffset === undefined || (this.#flags & DIRTY) !== 0) return;
    this.#device.write(this.#flagsOffset, Uint8Array.of(flags));
  }
}
