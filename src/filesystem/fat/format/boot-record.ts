import { viewOf } from '../../../bytes/struct.ts';
import { type Chs, MAX_CYLINDER, chsOfSector } from '../../../bytes/chs.ts';
import { BOOT_RECORD_SIGNATURE, BootRecord, writeEntry } from '../../../partition/mbr-entry.ts';
import { BootSector, ExtendedBpb16, ExtendedBpb32, FsInfo } from '../boot-sector.ts';
import type { FatLayout } from './layout.ts';

/** The three bytes of BS_jmpBoot on a PC: a jump over the parameter block, and a NOP. */
const JUMP_16 = [0xeb, 0x3c, 0x90];
const JUMP_32 = [0xeb, 0x58, 0x90];
/** bra.s over the parameter block, for the 68000; the boot sector is not executable without GEMDOS's checksum. */
const ATARI_JUMP = [0x60, 0x1c];
const ATARI_OEM_NAME = 'mkdosf';
const EXTENDED_BOOT_SIGNATURE = 0x29;
const ROOT_CLUSTER = 2;
/** DOS could not count the 256th head, and dosfstools does not count the 255th either. */
const MAX_HEADS = 254;
const MAX_SECTORS_PER_TRACK = 63;
const NO_NAME = 'NO NAME    ';

export interface BootRecordOptions {
  /** Eight characters. */
  readonly oemName: string;
  /** Eleven bytes; absent for no label. */
  readonly label?: Uint8Array | undefined;
  /** A partition table in the boot sector itself, for systems that want one on every disk. The number is the disk signature. */
  readonly mbrSignature?: number | undefined;
}

/** The boot sector, without boot code. */
export function buildBootRecord(layout: FatLayout, options: BootRecordOptions): Uint8Array {
  const sector = new Uint8Array(BootSector.$size);
  const view = viewOf(sector);
  const { totalSectors, fatBits } = layout;
  BootSector.BPB_BytsPerSec.set(view, 0, layout.sectorSize);
  BootSector.BPB_SecPerClus.set(view, 0, layout.sectorsPerCluster);
  BootSector.BPB_RsvdSecCnt.set(view, 0, layout.reservedSectors);
  BootSector.BPB_NumFATs.set(view, 0, layout.fatCount);
  BootSector.BPB_RootEntCnt.set(view, 0, layout.rootEntryCount);
  const small = totalSectors < 0x10000;
  BootSector.BPB_TotSec16.set(view, 0, small ? totalSectors : 0);
  BootSector.BPB_TotSec32.set(view, 0, small ? 0 : totalSectors);
  BootSector.BPB_Media.set(view, 0, layout.media);
  BootSector.BPB_FATSz16.set(view, 0, fatBits === 32 ? 0 : layout.fatSectors);
  BootSector.BPB_SecPerTrk.set(view, 0, layout.sectorsPerTrack);
  BootSector.BPB_NumHeads.set(view, 0, layout.heads);
  BootSector.BPB_HiddSec.set(view, 0, layout.hiddenSectors);
  if (fatBits === 32) {
    ExtendedBpb32.BPB_FATSz32.set(view, 0, layout.fatSectors);
    ExtendedBpb32.BPB_RootClus.set(view, 0, ROOT_CLUSTER);
    ExtendedBpb32.BPB_FSInfo.set(view, 0, layout.fsInfoSector);
    ExtendedBpb32.BPB_BkBootSec.set(view, 0, layout.backupBootSector);
  }
  const extended = fatBits === 32 ? ExtendedBpb32 : ExtendedBpb16;
  extended.BS_DrvNum.set(view, 0, layout.driveNumber);
  if (layout.variant === 'atari') {
    sector.set(ATARI_JUMP);
    BootSector.BS_OEMName.set(view, 0, '');
    for (let i = 0; i < ATARI_OEM_NAME.length; i++) sector[2 + i] = ATARI_OEM_NAME.charCodeAt(i);
    for (let i = 0; i < 3; i++) sector[8 + i] = (layout.volumeId >>> (8 * i)) & 0xff;
  } else {
    sector.set(fatBits === 32 ? JUMP_32 : JUMP_16);
    BootSector.BS_OEMName.set(view, 0, options.oemName);
    extended.BS_BootSig.set(view, 0, EXTENDED_BOOT_SIGNATURE);
    extended.BS_VolID.set(view, 0, layout.volumeId);
    extended.BS_VolLab.set(view, 0, options.label === undefined ? NO_NAME : latin1(options.label));
    extended.BS_FilSysType.set(view, 0, `FAT${fatBits}`);
    BootSector.Signature_word.set(view, 0, BOOT_RECORD_SIGNATURE);
  }
  if (options.mbrSignature !== undefined) addPartitionTable(view, layout, options.mbrSignature);
  return sector;
}

/** One active partition over the whole disk, this very sector included. */
function addPartitionTable(view: DataView, layout: FatLayout, signature: number): void {
  const end = chsOfSector(layout.totalSectors, layout);
  const hasChs = layout.heads <= MAX_HEADS && layout.sectorsPerTrack <= MAX_SECTORS_PER_TRACK;
  const fitsChs = hasChs && end.cylinder <= MAX_CYLINDER;
  const lastChs: Chs = fitsChs ? end : { cylinder: MAX_CYLINDER, head: 254, sector: 63 };
  BootRecord.diskSignature.set(view, 0, signature);
  writeEntry(view, 0, {
    bootIndicator: 0x80,
    type: partitionType(layout, hasChs, fitsChs),
    firstChs: { cylinder: 0, head: 0, sector: 1 },
    lastChs,
    startSector: 0,
    sectorCount: layout.totalSectors,
  });
}

/** Small partitions keep their old types even where the end is out of reach for CHS. */
function partitionType(layout: FatLayout, hasChs: boolean, fitsChs: boolean): number {
  if (layout.fatBits === 32) return 0x0c;
  if (!hasChs) return 0x0e;
  if (layout.totalSectors >= 0x10000) return fitsChs ? 0x06 : 0x0e;
  return layout.fatBits === 12 ? 0x01 : 0x04;
}

/** The FSInfo sector of a file system in which only the root directory has a cluster. */
export function buildFsInfo(layout: FatLayout): Uint8Array {
  const sector = new Uint8Array(FsInfo.$size);
  const view = viewOf(sector);
  FsInfo.FSI_LeadSig.set(view, 0, 0x41615252);
  FsInfo.FSI_StrucSig.set(view, 0, 0x61417272);
  FsInfo.FSI_Free_Count.set(view, 0, layout.clusterCount - 1);
  FsInfo.FSI_Nxt_Free.set(view, 0, ROOT_CLUSTER);
  FsInfo.FSI_TrailSig.set(view, 0, 0xaa550000);
  return sector;
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
