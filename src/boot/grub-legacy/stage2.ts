import { struct, u16le, u32le, u8, viewOf } from '../../bytes/struct.ts';
import { encodeUtf8 } from '../../bytes/utf8.ts';
import { GrubError } from './grub-error.ts';
import { INTERFACE_MAJOR, INTERFACE_MINOR } from './stage1.ts';

/**
 * The first two sectors of stage 2, and of a stage 1.5, which has the same head. The first sector loads the rest by a
 * list of blocks that grows down from its end; the second holds what the installer sets. GRUB manual 0.97,
 * docs/formats/grub-legacy.md.
 */
export const BlockListEntry = struct('block list entry', 8, {
  startSector: u32le(0x0), // from the start of the drive
  sectorCount: u16le(0x4), // 0 ends the list
  segment: u16le(0x6), // where the run is loaded: address / 16
});

export const Stage2Head = struct('stage2 second sector', 512, {
  versionMajor: u8(0x006), // 3
  versionMinor: u8(0x007), // 2
  installPartition: u32le(0x008), // see GrubDevice
  savedEntry: u32le(0x00c),
  stageId: u8(0x010), // 0 stage 2, else a stage 1.5 for one file system
  forceLba: u8(0x011),
  // 0x012: version string, NUL, then the configuration file's name; in a stage 1.5 a device (u32) before the name
});

const VERSION_STRING = 0x12;
const FIRST_ENTRY = 0x1f8;
const SECTOR = 512;

/** A run of sectors from the start of a drive. */
export interface SectorRun {
  readonly startSector: number;
  readonly sectorCount: number;
}

/** Error 6 unless the second sector is that of a stage whose interface we know. */
export function checkStage2(second: Uint8Array): void {
  const view = viewOf(second);
  if (
    Stage2Head.versionMajor.get(view, 0) !== INTERFACE_MAJOR ||
    Stage2Head.versionMinor.get(view, 0) !== INTERFACE_MINOR
  ) {
    throw new GrubError(6);
  }
}

export function stageIdOf(second: Uint8Array): number {
  return Stage2Head.stageId.get(viewOf(second), 0);
}

export function setForceLba(second: Uint8Array): void {
  Stage2Head.forceLba.set(viewOf(second), 0, 1);
}

export function setInstallPartition(second: Uint8Array, partition: number): void {
  Stage2Head.installPartition.set(viewOf(second), 0, partition);
}

/** The stage file that a stage 1.5 loads: its device, then its name and what follows it. */
export function setStage2File(second: Uint8Array, device: number, name: string): void {
  const at = configOffset(second);
  if (at + 4 > SECTOR) throw new GrubError(6);
  viewOf(second).setUint32(at, device, true);
  writeName(second, at + 4, name);
}

export function setConfigFile(second: Uint8Array, name: string): void {
  writeName(second, configOffset(second), name);
}

/** The configuration file's name lies behind the version string, whatever its length. */
function configOffset(second: Uint8Array): number {
  const end = second.indexOf(0, VERSION_STRING);
  if (end < 0) throw new GrubError(6);
  return end + 1;
}

function writeName(second: Uint8Array, at: number, name: string): void {
  const encoded = encodeUtf8(name);
  if (at + encoded.length + 1 > SECTOR) throw new GrubError(28);
  second.set(encoded, at);
  second[at + encoded.length] = 0;
}

/**
 * Puts the block list of what follows the first sector at that sector's end, in place of the one that was there. The
 * loader stops at an entry without sectors, so there must be room for that one, too: Error 28 where the list would
 * run into the code.
 */
export function setBlockList(first: Uint8Array, runs: Iterable<SectorRun>, address: number): void {
  const view = viewOf(first);
  for (let at = FIRST_ENTRY; at >= 0 && BlockListEntry.sectorCount.get(view, at) !== 0; at -= 8) {
    first.fill(0, at, at + 8);
  }
  let at = FIRST_ENTRY;
  let segment = (address >>> 4) + (SECTOR >>> 4);
  for (const { startSector, sectorCount } of runs) {
    if (sectorCount > 0xffff || at < 8 || BlockListEntry.sectorCount.get(view, at - 8) !== 0) {
      throw new GrubError(28);
    }
    BlockListEntry.startSector.set(view, at, startSector);
    BlockListEntry.sectorCount.set(view, at, sectorCount);
    BlockListEntry.segment.set(view, at, segment & 0xffff);
    segment += sectorCount * (SECTOR >>> 4);
    at -= 8;
  }
}
