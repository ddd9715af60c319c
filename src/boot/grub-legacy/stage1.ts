import { bytes, struct, u16le, u32le, u8, viewOf } from '../../bytes/struct.ts';
import { isHardDisk } from './device-name.ts';
import { GrubError } from './grub-error.ts';

/**
 * GRUB's first sector: `stage1`, 512 bytes, 0.97 (interface version 3.2). GRUB manual 0.97, "The memory map of various
 * components" and the published interface of stage1; docs/formats/grub-legacy.md.
 */
export const Stage1 = struct('stage1', 512, {
  jump: bytes(0x000, 3),
  bpb: bytes(0x003, 59), // the volume's own: kept from the sector that was there
  versionMajor: u8(0x03e), // 3
  versionMinor: u8(0x03f), // 2
  bootDrive: u8(0x040), // drive to load from, 0xff: the one that booted
  forceLba: u8(0x041), // 1: do not ask the BIOS whether it knows LBA
  stage2Address: u16le(0x042), // 0x8000 for stage 2, 0x2000 for stage 1.5
  stage2Sector: u32le(0x044), // from the start of the drive
  stage2Segment: u16le(0x048), // address / 16
  bootDriveCheck: bytes(0x04b, 2), // `jmp +7`; two NOPs on a hard disk, where some BIOSes pass a wrong drive number
  partitionTable: bytes(0x1b8, 70), // disk signature and table; on a floppy, code that probes the drive
  signature: u16le(0x1fe), // 0xaa55
});

export const STAGE1_SIZE = 512;
export const INTERFACE_MAJOR = 3;
export const INTERFACE_MINOR = 2;
/** For `bootDrive`: load from the drive that the BIOS booted. */
export const BOOTED_DRIVE = 0xff;

const SKIP_CHECK = Uint8Array.of(0x90, 0x90);

/** Error 6 unless this is a stage1 whose interface we know. */
export function checkStage1(stage1: Uint8Array): void {
  const view = viewOf(stage1);
  if (
    stage1.length !== STAGE1_SIZE ||
    Stage1.versionMajor.get(view, 0) !== INTERFACE_MAJOR ||
    Stage1.versionMinor.get(view, 0) !== INTERFACE_MINOR ||
    Stage1.signature.get(view, 0) !== 0xaa55
  ) {
    throw new GrubError(6);
  }
}

export interface Stage1Settings {
  /** Where the sector goes. */
  readonly destinationDrive: number;
  /** Drive to load stage 2 from, or BOOTED_DRIVE. */
  readonly bootDrive: number;
  readonly forceLba: boolean;
  readonly address: number;
  readonly sector: number;
}

/** The boot sector: stage1 with what must stay of the sector that was there, and with where stage 2 lies. */
export function composeStage1(
  stage1: Uint8Array,
  previous: Uint8Array,
  settings: Stage1Settings,
): Uint8Array {
  const result = stage1.slice();
  const view = viewOf(result);
  const old = viewOf(previous);
  Stage1.bpb.set(view, 0, Stage1.bpb.get(old, 0));
  if (isHardDisk(settings.destinationDrive)) {
    Stage1.partitionTable.set(view, 0, Stage1.partitionTable.get(old, 0));
    Stage1.bootDriveCheck.set(view, 0, SKIP_CHECK);
  }
  Stage1.bootDrive.set(view, 0, settings.bootDrive);
  if (settings.forceLba) Stage1.forceLba.set(view, 0, 1);
  Stage1.stage2Address.set(view, 0, settings.address & 0xffff);
  Stage1.stage2Sector.set(view, 0, settings.sector);
  Stage1.stage2Segment.set(view, 0, (settings.address >>> 4) & 0xffff);
  return result;
}
