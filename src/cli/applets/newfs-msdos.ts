import fs from 'node:fs';
import path from 'node:path';
import { type BlockDevice } from '../../device/block-device.ts';
import { SliceDevice } from '../../device/slice-device.ts';
import { FsError, UsageError } from '../../errors.ts';
import { CODE_PAGES } from '../../filesystem/fat/code-page.ts';
import { mergeBootProgram, writeBsdBootCode } from '../../filesystem/fat/format/bsd-boot-code.ts';
import { type BsdPlan, planBsdFormat } from '../../filesystem/fat/format/bsd-plan.ts';
import { buildBootRecord, buildFsInfo } from '../../filesystem/fat/format/boot-record.ts';
import { encodeLabel } from '../../filesystem/fat/format/label.ts';
import type { FatLayout } from '../../filesystem/fat/format/layout.ts';
import { writeTables } from '../../filesystem/fat/format/write-tables.ts';
import { encodeTime } from '../../filesystem/fat/times.ts';
import { FileDevice } from '../../host/file-device.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { findPart, openVolume } from '../open-volume.ts';
import { isSystemError, systemErrorText } from './mkfs-fat/failure.ts';
import { type NewfsCommand, OPTIONS, parseNewfsCommand } from './newfs-msdos/command-line.ts';
import { volumeIdOfTime } from './newfs-msdos/volume-id.ts';

export const newfsMsdos = defineApplet({
  name: 'newfs_msdos',
  kind: 'applet',
  summary: 'make a FAT12, FAT16 or FAT32 file system, as on the BSDs',
  usage: ['newfs_msdos [OPTION]... SPECIAL'],
  description: [
    'Makes an empty FAT file system with the options and the defaults of FreeBSD. SPECIAL is a file or a device; a ' +
      'name without a slash is looked for in the current directory, and in /dev where there is none.',
    'Sizes may end in s (sectors), k, m or g. Without -f and -s the whole of SPECIAL is used, down to a whole number ' +
      'of tracks. SOURCE_DATE_EPOCH takes the place of the clock.',
  ],
  options: OPTIONS,
  examples: [
    {
      command: 'newfs_msdos -f 1440 ./floppy.img',
      explanation: 'Formats a 1.44 MB floppy.',
    },
    {
      command: 'newfs_msdos -C 64m -F 32 -c 1 -L DATA ./disk.img',
      explanation: 'Makes a file of 64 MiB with a FAT32 file system.',
    },
  ],
  exitStatus: { 0: 'the file system was made, or with -N could be', 1: 'it was not' },
  notSupported: [
    'DISKTYPE, an entry of disktab(5), as a second operand: give -f, or -h, -u and -s',
    'the geometry that a block device reports: without -f, -h and -u it is 255 heads and 63 sectors a track',
  ],
  run,
});

const DEFAULT_OEM_NAME = 'BSD4.4  ';
const BLANK_LABEL = new Uint8Array(11).fill(0x20);

function run(io: Io, argv: readonly string[], calledAs: string): number {
  try {
    format(io, parseNewfsCommand(io, argv), calledAs);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      io.stderr.write(`${calledAs}: ${error.message}\n`);
      if (error.exitStatus !== 1) io.stderr.write(`usage: ${calledAs} [ -options ] special\n`);
      return 1;
    }
    if (error instanceof FsError && error.syscall === 'format') {
      io.stderr.write(`${calledAs}: ${error.detail}\n`);
      return 1;
    }
    throw error;
  }
}

function format(io: Io, command: NewfsCommand, calledAs: string): void {
  const label = checkLabel(command);
  const program = command.bootFile === undefined ? undefined : readBootProgram(io, command);
  const name = specialName(io, command);
  const device = openSpecial(io, command, name);
  try {
    const sectorSize = command.layout.sectorSize ?? 512;
    const available = Math.floor((device.size - command.offset) / sectorSize);
    const { layout, warnings } = planBsdFormat({
      ...command.layout,
      totalSectors:
        command.layout.totalSectors ?? wholeTracks(available, command.layout.sectorsPerTrack ?? 63),
      volumeId: command.volumeId ?? volumeIdOfTime(command.time, command.utcOffsetMinutes),
      bootSectors: program === undefined ? 1 : Math.ceil(program.length / sectorSize),
    });
    for (const warning of warnings) io.stderr.write(`${calledAs}: ${warning}\n`);
    if (layout.totalSectors > available) {
      throw new UsageError(
        `${name}: file system of ${layout.totalSectors} sectors does not fit in ${Math.max(available, 0)} sectors`,
        1,
      );
    }
    io.stdout.write(describe(name, layout));
    if (command.dryRun) return;
    writeFileSystem(new SliceDevice(device, command.offset), layout, command, label, program);
  } finally {
    device.close();
  }
}

/** Without a geometry of the medium's own, some readers expect whole tracks; less than one track stays as it is. */
function wholeTracks(sectors: number, sectorsPerTrack: number): number {
  if (sectors <= 0) throw new UsageError('offset lies behind the end of the device', 1);
  return sectors > sectorsPerTrack ? sectors - (sectors % sectorsPerTrack) : sectors;
}

function checkLabel(command: NewfsCommand): Uint8Array | undefined {
  if (command.label === undefined) return undefined;
  const { bytes, problem, missing } = encodeLabel(command.label.toUpperCase(), CODE_PAGES[437]);
  if (problem !== undefined || missing !== undefined)
    throw new UsageError(`${command.label}: bad volume label`, 1);
  return bytes ?? BLANK_LABEL;
}

function readBootProgram(io: Io, command: NewfsCommand): Uint8Array {
  const name = command.bootFile!;
  let program: Uint8Array;
  try {
    program = fs.readFileSync(path.resolve(io.cwd, name));
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new UsageError(`${name}: ${systemErrorText(error)}`, 1);
  }
  const sectorSize = command.layout.sectorSize ?? 512;
  if (program.length < 512 || program.length % sectorSize !== 0 || program.length > 0xffff * sectorSize) {
    throw new UsageError(`${name}: inappropriate file type or format`, 1);
  }
  return program;
}

/** FreeBSD looks in /dev for every name without a slash; here a file in the current directory comes first. */
function specialName(io: Io, command: NewfsCommand): string {
  const { special } = command;
  if (special.includes('/') || command.createSize !== undefined) return special;
  return fs.existsSync(path.resolve(io.cwd, special)) || findPart(io, special) !== undefined
    ? special
    : `/dev/${special}`;
}

function openSpecial(io: Io, command: NewfsCommand, name: string): BlockDevice {
  const file = path.resolve(io.cwd, name);
  try {
    if (command.createSize !== undefined) {
      if (command.dryRun) throw new UsageError('create (-C) is incompatible with -N', 1);
      return FileDevice.create(file, command.createSize, { overwrite: true });
    }
    return openVolume(io, name, { readOnly: command.dryRun });
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new UsageError(`${name}: ${systemErrorText(error)}`, 1);
  }
}

function describe(name: string, layout: FatLayout): string {
  const { clusterCount, sectorsPerCluster, sectorSize, fatBits, totalSectors } = layout;
  const small = totalSectors < 0x10000;
  const sectors = clusterCount * sectorsPerCluster;
  const fields = [
    `BytesPerSec=${sectorSize}`,
    `SecPerClust=${sectorsPerCluster}`,
    `ResSectors=${layout.reservedSectors}`,
    `FATs=${layout.fatCount}`,
    ...(layout.rootEntryCount === 0 ? [] : [`RootDirEnts=${layout.rootEntryCount}`]),
    ...(small ? [`Sectors=${totalSectors}`] : []),
    `Media=0x${layout.media.toString(16)}`,
    ...(fatBits === 32 ? [] : [`FATsecs=${layout.fatSectors}`]),
    `SecPerTrack=${layout.sectorsPerTrack}`,
    `Heads=${layout.heads}`,
    `HiddenSecs=${layout.hiddenSectors}`,
    ...(small ? [] : [`HugeSectors=${totalSectors}`]),
  ];
  if (fatBits === 32) {
    fields.push(
      `FATsecs=${layout.fatSectors}`,
      'RootCluster=2',
      `FSInfo=${sectorOrNone(layout.fsInfoSector)}`,
      `Backup=${sectorOrNone(layout.backupBootSector)}`,
    );
  }
  return (
    `${name}: ${sectors} sector${sectors === 1 ? '' : 's'} in ${clusterCount} FAT${fatBits} ` +
    `cluster${clusterCount === 1 ? '' : 's'} (${sectorsPerCluster * sectorSize} bytes/cluster)\n${fields.join(' ')}\n`
  );
}

function sectorOrNone(sector: number): string {
  return sector === 0xffff ? '0xffff' : `${sector}`;
}

function writeFileSystem(
  device: BlockDevice,
  layout: BsdPlan['layout'],
  command: NewfsCommand,
  label: Uint8Array | undefined,
  program: Uint8Array | undefined,
): void {
  const bootSector = buildBootRecord(layout, { oemName: command.oemName ?? DEFAULT_OEM_NAME, label });
  let boot = bootSector;
  if (program === undefined) writeBsdBootCode(bootSector, layout.fatBits);
  else boot = mergeBootProgram(program, bootSector, layout.fatBits, command.oemName === undefined);
  writeTables(device, layout, {
    bootSector: boot,
    fsInfo: layout.fatBits === 32 && layout.fsInfoSector !== 0xffff ? buildFsInfo(layout) : undefined,
    label,
    created: encodeTime(command.time, command.utcOffsetMinutes),
  });
}
