import { formatDevice, type GrubDevice, parseDevice, parseNumber } from './device-name.ts';
import { type Drive, readSectors, SECTOR_SIZE, type SectorWrite, writeSectors } from './drive.ts';
import { GrubError, SilentFailure } from './grub-error.ts';
import { firstWord, type GrubFile, openFile, splitDevice } from './grub-file.ts';
import type { GrubSession } from './session.ts';
import { BOOTED_DRIVE, checkStage1, composeStage1, STAGE1_SIZE } from './stage1.ts';
import * as stage2 from './stage2.ts';

export interface InstallRequest {
  /** A file, as every name here in GRUB's notation. */
  readonly stage1: string;
  /** `d`: always load from the drive of stage 2, not from the one that booted. */
  readonly fixedDrive: boolean;
  readonly destination: GrubDevice;
  /** Stage 2 or a stage 1.5. */
  readonly stage2: string;
  /** Where it is loaded; without it 0x8000 for stage 2 and 0x2000 for a stage 1.5. */
  readonly address: number | undefined;
  /** `p`: tell stage 2 its partition. */
  readonly setPartition: boolean;
  /** The rest of the command, as it was typed: the configuration file, or for a stage 1.5 the name of the real stage 2. */
  readonly configFile: string;
  readonly forceLba: boolean;
  /** Where the stage 2 that is patched lies in the host's file system, to be written there and not in the image. */
  readonly hostStage2Name: string | undefined;
}

/** A file outside the images. */
export interface HostFile {
  write(offset: number, content: Uint8Array): void;
}

/** A warning for the terminal, or undefined. */
export type InstallWarning = 'd-not-used' | undefined;

/**
 * Installs stage1 in a boot sector, with the place of stage 2; patches stage 2 (and, through a stage 1.5, the real
 * one) in place. Nothing is written before everything has been read and checked.
 */
export function install(
  session: GrubSession,
  request: InstallRequest,
  openHostFile: (name: string) => HostFile,
): InstallWarning {
  const stage1 = openFile(session, request.stage1).read(0, STAGE1_SIZE);
  checkStage1(stage1);
  const hostStage2 = request.hostStage2Name === undefined ? undefined : openHostFile(request.hostStage2Name);
  const target = session.openPartition(request.destination);
  const previous = readSectors(target.drive, target.startSector, 1);

  const stage = openStage(session, request.stage2);
  const source = stage.file.partition;
  const isStage15 = stage2.stageIdOf(stage.second) !== 0;
  const address = request.address ?? (isStage15 ? 0x2000 : 0x8000);
  if (request.forceLba) stage2.setForceLba(stage.second);
  if (request.setPartition) stage2.setInstallPartition(stage.second, source.partition);
  stage2.setBlockList(stage.first, withoutFirstSector(stage.file.runs), address);

  const writes: SectorWrite[] = [];
  const hostWrites: [offset: number, content: Uint8Array][] = [];
  if (request.configFile !== '') {
    if (isStage15) {
      const real = patchRealStage2(session, request, stage.second, source.drive);
      if (hostStage2 === undefined) writes.push(real);
      else hostWrites.push([SECTOR_SIZE, real.content]);
    } else stage2.setConfigFile(stage.second, request.configFile);
  }
  const sectors = [stage.first, stage.second].map((content, index) => ({
    drive: source.drive,
    sector: sectorOf(stage.file, index),
    content,
  }));
  if (hostStage2 !== undefined && !isStage15) {
    hostWrites.push([0, stage.first], [SECTOR_SIZE, stage.second]);
  } else writes.unshift(...sectors);
  writes.push({
    drive: target.drive,
    sector: target.startSector,
    content: composeStage1(stage1, previous, {
      destinationDrive: request.destination.drive,
      bootDrive: request.fixedDrive ? source.drive.number : BOOTED_DRIVE,
      forceLba: request.forceLba,
      address,
      sector: sectorOf(stage.file, 0),
    }),
  });
  session.rememberType(target.type);
  writeSectors(writes);
  for (const [offset, content] of hostWrites) hostStage2!.write(offset, content);
  return !request.fixedDrive && target.drive !== source.drive ? 'd-not-used' : undefined;
}

interface Stage {
  readonly file: GrubFile;
  readonly first: Uint8Array;
  readonly second: Uint8Array;
}

/** The stage file's first two sectors. Error 31 when the file ends within them, silence when it ends before one. */
function openStage(session: GrubSession, name: string): Stage {
  const file = openFile(session, name);
  const sectors = [0, 1].map((index) => {
    const content = file.read(index * SECTOR_SIZE, SECTOR_SIZE);
    if (content.length === 0) throw new SilentFailure();
    if (content.length < SECTOR_SIZE) throw new GrubError(31);
    return content.slice();
  });
  stage2.checkStage2(sectors[1]!);
  return { file, first: sectors[0]!, second: sectors[1]! };
}

/** Names the real stage 2 in the stage 1.5, and its configuration file in the real stage 2. */
function patchRealStage2(
  session: GrubSession,
  request: InstallRequest,
  second: Uint8Array,
  sourceDrive: Drive,
): SectorWrite {
  const { device, rest } = splitDevice(session, request.configFile);
  // 0xff: on the drive that stage 1.5 itself was loaded from.
  const drive = device.drive === sourceDrive.number ? 0xff : device.drive;
  stage2.setStage2File(second, ((drive << 24) | device.partition) >>> 0, rest);

  const real = openStage(session, firstWord(request.configFile));
  // Another stage 1.5 cannot take its place.
  if (stage2.stageIdOf(real.second) !== 0) throw new GrubError(6);
  if (request.forceLba) stage2.setForceLba(real.second);
  const configFile = afterFirstWord(request.configFile);
  if (configFile !== '') stage2.setConfigFile(real.second, configFile);
  return { drive: real.file.partition.drive, sector: sectorOf(real.file, 1), content: real.second };
}

/** Sector of the drive that holds the file's sector with this index. */
function sectorOf(file: GrubFile, index: number): number {
  let skip = index;
  for (const { startSector, sectorCount } of file.runs) {
    if (skip < sectorCount) return startSector + skip;
    skip -= sectorCount;
  }
  // Holes at the start of a stage file: it has no place to write to.
  throw new GrubError(31);
}

function* withoutFirstSector(runs: Iterable<stage2.SectorRun>): Iterable<stage2.SectorRun> {
  let first = true;
  for (const { startSector, sectorCount } of runs) {
    if (!first) yield { startSector, sectorCount };
    else if (sectorCount > 1) yield { startSector: startSector + 1, sectorCount: sectorCount - 1 };
    first = false;
  }
}

export function afterFirstWord(text: string): string {
  return text.slice(firstWord(text).length).replace(/^[ \t=]+/, '');
}

/** `[--stage2=FILE] [--force-lba] STAGE1 [d] DEVICE STAGE2 [ADDR] [p] [CONFIG_FILE] [REAL_CONFIG_FILE]`. */
export function parseInstall(text: string): InstallRequest {
  let rest = text;
  let hostStage2Name: string | undefined;
  let forceLba = false;
  for (;;) {
    const word = firstWord(rest);
    if (word.startsWith('--stage2=')) hostStage2Name = word.slice('--stage2='.length);
    else if (word === '--force-lba') forceLba = true;
    else break;
    rest = afterFirstWord(rest);
  }
  const stage1 = firstWord(rest);
  if (!isFileName(stage1)) throw new GrubError(1);
  rest = afterFirstWord(rest);
  const fixedDrive = firstWord(rest) === 'd';
  if (fixedDrive) rest = afterFirstWord(rest);
  const destination = parseDevice(rest).device;
  rest = afterFirstWord(rest);
  const stage2Name = firstWord(rest);
  if (!isFileName(stage2Name)) throw new GrubError(1);
  rest = afterFirstWord(rest);
  let address: number | undefined;
  if (/^[0-9]/.test(rest)) {
    address = parseNumber(rest).value;
    rest = afterFirstWord(rest);
  }
  const setPartition = firstWord(rest) === 'p';
  if (setPartition) rest = afterFirstWord(rest);
  return {
    stage1,
    fixedDrive,
    destination,
    stage2: stage2Name,
    address,
    setPartition,
    configFile: rest,
    forceLba,
    hostStage2Name,
  };
}

function isFileName(word: string): boolean {
  return /^[(/0-9+]/.test(word);
}

/** The command that `setup` shows: each part as `install` reads it. */
export function formatInstall(request: {
  readonly options: string;
  readonly stage1: string;
  readonly fixedDrive: boolean;
  readonly destination: GrubDevice;
  readonly stage2: string;
  readonly configFile: string;
}): string {
  const d = request.fixedDrive ? 'd ' : '';
  const device = formatDevice(request.destination);
  return `${request.options}${request.stage1} ${d}${device} ${request.stage2} p ${request.configFile}`;
}
