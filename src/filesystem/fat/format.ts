import { type Timestamp, EPOCH } from '../../bytes/time.ts';
import { type BlockDevice, checkWritable } from '../../device/block-device.ts';
import { CODE_PAGES } from './code-page.ts';
import { clustersOfBlocks } from './format/bad-blocks.ts';
import { fitMessage, writeBootCode } from './format/boot-message.ts';
import { buildBootRecord, buildFsInfo } from './format/boot-record.ts';
import { formatError, type NoteTaker } from './format/format-note.ts';
import { encodeLabel, type LabelEncoding } from './format/label.ts';
import { type FatLayout, metadataEnd } from './format/layout.ts';
import type { FatLayoutOptions } from './format/layout-options.ts';
import { chooseFatBits, planFormat } from './format/plan.ts';
import { writeTables } from './format/write-tables.ts';
import { encodeTime } from './times.ts';

/** What an empty FAT file system holds beyond its layout. */
export interface FatContentOptions {
  /** Up to eleven characters; absent, blank or "NO NAME": none. */
  readonly label?: string;
  /** Of the label. Default code page 850. */
  readonly codePage?: LabelEncoding;
  /** When the label was made. Default 1980-01-01, the first time that FAT knows. */
  readonly created?: Timestamp;
  readonly utcOffsetMinutes?: number;
  /** As in FatLayoutOptions. */
  readonly bootMessage?: Uint8Array;
  /** Disk signature of the partition table in the boot sector. Default: the volume ID. */
  readonly diskSignature?: number;
  /** Blocks of 1 KiB that must not be used. */
  readonly badBlocks?: Iterable<number>;
}

export interface FatFormatOptions extends FatLayoutOptions, FatContentOptions {
  /** Bytes to be formatted, from the start of the device. Default: all of it. */
  readonly size?: number;
  /** Is told each decision. */
  readonly onNote?: NoteTaker;
}

/**
 * Makes an empty FAT12, FAT16 or FAT32 file system, byte for byte what mkfs.fat of dosfstools 4.2 makes of the same
 * parameters. Only metadata is written, and no zeros where the device has a hole.
 *
 *     formatFat(new MemoryDevice(1440 * 1024), { volumeId: 0x1234abcd, label: 'BOOT' }).fatBits; // 12
 */
export function formatFat(device: BlockDevice, options: FatFormatOptions): FatLayout {
  const note = options.onNote ?? ignoreNote;
  const size = options.size ?? device.size;
  const layout = planFormat(size, options, chooseFatBits(options.mediumSize ?? size, options, note), note);
  writeFormat(device, layout, { diskSignature: options.volumeId, ...options });
  return layout;
}

/** Writes a layout that `planFormat` made. Everything is checked before the first byte is written. */
export function writeFormat(device: BlockDevice, layout: FatLayout, options: FatContentOptions): void {
  const codePage = options.codePage ?? CODE_PAGES[850];
  const label = encodeLabel(options.label ?? '', codePage);
  if (label.problem !== undefined) throw formatError(label.problem);
  if (label.missing !== undefined) {
    throw formatError(`Label has "${label.missing}", which is not in code page ${codePage.number}`);
  }
  const badClusters = clustersOfBlocks(layout, options.badBlocks ?? []);
  const bootSector = buildBootRecord(layout, {
    oemName: 'mkfs.fat',
    label: label.bytes,
    mbrSignature: layout.mbr ? (options.diskSignature ?? layout.volumeId) : undefined,
  });
  if (layout.variant !== 'atari') {
    const message = options.bootMessage && fitMessage(options.bootMessage, layout.fatBits, layout.mbr);
    writeBootCode(bootSector, layout.fatBits, message);
  }
  checkWritable(device, 'format');
  if (metadataEnd(layout) > device.size) {
    throw formatError(
      `Tables of ${metadataEnd(layout)} bytes do not fit on a device of ${device.size} bytes`,
    );
  }
  writeTables(device, layout, {
    bootSector,
    fsInfo: layout.fatBits === 32 ? buildFsInfo(layout) : undefined,
    label: label.bytes,
    created: encodeTime(options.created ?? EPOCH, options.utcOffsetMinutes ?? 0),
    badClusters,
  });
}

function ignoreNote(): void {}
