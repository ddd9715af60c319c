import { viewOf } from '../../../bytes/struct.ts';
import { type BlockDevice, zeroRange } from '../../../device/block-device.ts';
import { ESCAPED_E5, SLOT_SIZE, ShortEntry } from '../directory-entry.ts';
import { FAT_ENTRY_CODECS } from '../fat-entry-codec.ts';
import type { DosTime } from '../times.ts';
import { type FatLayout, dataStartSector, metadataEnd, rootDirectorySectors } from './layout.ts';

const VOLUME_LABEL_ATTRIBUTE = 0x08;
const NO_SECTOR = 0xffff;

export interface TableContent {
  readonly bootSector: Uint8Array;
  /** FAT32 only. */
  readonly fsInfo?: Uint8Array | undefined;
  /** Eleven bytes; absent for no label. */
  readonly label?: Uint8Array | undefined;
  readonly created: DosTime;
  /** To be marked bad, counted as the FAT counts: the first is 2. */
  readonly badClusters?: Iterable<number>;
}

/**
 * Writes an empty file system: zeros over all metadata (holes stay holes), FATs, label, FSInfo and the backup sectors,
 * and last the boot sector, so that an interrupted format is no file system rather than a broken one.
 */
export function writeTables(device: BlockDevice, layout: FatLayout, content: TableContent): void {
  const { sectorSize, backupBootSector } = layout;
  zeroRange(device, 0, metadataEnd(layout));
  const head = fatHead(layout);
  for (let i = 0; i < layout.fatCount; i++) device.write(fatOffset(layout, i), head);
  for (const cluster of content.badClusters ?? []) markBad(device, layout, cluster);
  if (content.label !== undefined) {
    const rootSector = dataStartSector(layout) - rootDirectorySectors(layout);
    device.write(rootSector * sectorSize, labelEntry(content.label, content.created));
  }
  if (content.fsInfo !== undefined) {
    device.write(layout.fsInfoSector * sectorSize, content.fsInfo);
    if (layout.backupFsInfo) {
      device.write((backupBootSector + layout.fsInfoSector) * sectorSize, content.fsInfo);
    }
  }
  if (backupBootSector !== 0 && backupBootSector !== NO_SECTOR) {
    device.write(backupBootSector * sectorSize, content.bootSector);
  }
  device.write(0, content.bootSector);
}

function fatOffset(layout: FatLayout, index: number): number {
  return (layout.reservedSectors + index * layout.fatSectors) * layout.sectorSize;
}

/** Entry 0 repeats the media byte, entry 1 is an end mark, and on FAT32 cluster 2 is the root directory's only one. */
function fatHead(layout: FatLayout): Uint8Array {
  const { media } = layout;
  const rootEnd = layout.rootEndMark & 0xff;
  switch (layout.fatBits) {
    case 12:
      return Uint8Array.of(media, 0xff, 0xff);
    case 16:
      return Uint8Array.of(media, 0xff, 0xff, 0xff);
    case 32:
      return Uint8Array.of(media, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0x0f, rootEnd, 0xff, 0xff, 0x0f);
  }
}

/** In every FAT. Bad clusters are few: each is read, changed and written by itself. */
function markBad(device: BlockDevice, layout: FatLayout, cluster: number): void {
  const codec = FAT_ENTRY_CODECS[`fat${layout.fatBits}`];
  // Two entries of FAT12 share three bytes, so the step there is the pair.
  const within = codec.bits === 12 ? cluster & 1 : 0;
  const offset = ((cluster - within) * codec.bits) / 8;
  const entry = new Uint8Array(codec.bits === 12 ? 3 : codec.bits / 8);
  for (let i = 0; i < layout.fatCount; i++) {
    device.read(fatOffset(layout, i) + offset, entry);
    codec.set(viewOf(entry), within, codec.bad);
    device.write(fatOffset(layout, i) + offset, entry);
  }
}

function labelEntry(label: Uint8Array, created: DosTime): Uint8Array {
  const slot = new Uint8Array(SLOT_SIZE);
  const view = viewOf(slot);
  ShortEntry.DIR_Name.set(view, 0, label);
  if (label[0] === 0xe5) slot[0] = ESCAPED_E5;
  ShortEntry.DIR_Attr.set(view, 0, VOLUME_LABEL_ATTRIBUTE);
  ShortEntry.DIR_CrtTime.set(view, 0, created.time);
  ShortEntry.DIR_CrtDate.set(view, 0, created.date);
  ShortEntry.DIR_LstAccDate.set(view, 0, created.date);
  ShortEntry.DIR_WrtTime.set(view, 0, created.time);
  ShortEntry.DIR_WrtDate.set(view, 0, created.date);
  return slot;
}
