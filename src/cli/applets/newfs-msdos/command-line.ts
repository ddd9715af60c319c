import fs from 'node:fs';
import path from 'node:path';
import { type Timestamp, timestampFromMilliseconds } from '../../../bytes/time.ts';
import { hasCode, UsageError } from '../../../errors.ts';
import { BSD_FLOPPIES } from '../../../filesystem/fat/format/bsd-floppy.ts';
import type { BsdLayoutOptions } from '../../../filesystem/fat/format/bsd-plan.ts';
import { clockFromEnvironment, systemUtcOffsetMinutes } from '../../../host/system.ts';
import { getopt, type OptionSpec, type ParsedArguments } from '../../getopt.ts';
import type { Io } from '../../io.ts';

/** What the command line asks for. */
export interface NewfsCommand {
  readonly special: string;
  readonly layout: Partial<Omit<BsdLayoutOptions, 'volumeId' | 'bootSectors'>>;
  /** Bytes. */
  readonly offset: number;
  /** Bytes; undefined: the file is there. */
  readonly createSize: number | undefined;
  readonly bootFile: string | undefined;
  readonly label: string | undefined;
  readonly oemName: string | undefined;
  readonly volumeId: number | undefined;
  readonly time: Timestamp;
  readonly utcOffsetMinutes: number;
  readonly dryRun: boolean;
}

function option(short: string, argumentName: string, description: string): OptionSpec {
  return { short, argument: 'required', argumentName, description };
}

export const OPTIONS: readonly OptionSpec[] = [
  { short: 'N', description: 'do not write: only print the parameters' },
  option('@', 'OFFSET', 'start the file system at this byte of SPECIAL'),
  { short: 'A', description: 'start the root directory on a multiple of a cluster' },
  option('B', 'FILE', 'take the boot program from a file'),
  option('C', 'SIZE', 'create SPECIAL with this size; what is there is truncated'),
  option('F', 'BITS', 'width of the FAT: 12, 16 or 32'),
  option('I', 'NUMBER', 'volume ID; default from the time'),
  option('L', 'LABEL', 'volume label, up to 11 characters'),
  option('O', 'NAME', 'OEM name, up to 8 characters; default BSD4.4'),
  option('S', 'BYTES', 'bytes per sector: 512 to 32768'),
  option('T', 'TIME', 'the time to go by: seconds since 1970, or a file whose time of modification counts'),
  option('a', 'SECTORS', 'sectors per FAT'),
  option('b', 'BYTES', 'bytes per cluster'),
  option('c', 'SECTORS', 'sectors per cluster'),
  option('e', 'ENTRIES', 'entries of the root directory, FAT12 and FAT16 only'),
  option('f', 'FORMAT', 'a floppy: 160, 180, 320, 360, 640, 720, 1200, 1232, 1440 or 2880'),
  option('h', 'HEADS', 'number of heads'),
  option('i', 'SECTOR', 'place of FSInfo, FAT32 only; 0xffff: none'),
  option('k', 'SECTOR', 'place of the backup boot sector, FAT32 only; 0xffff: none'),
  option('m', 'MEDIA', 'media descriptor: 0xf0 to 0xff'),
  option('n', 'COUNT', 'number of FATs, 1 to 16'),
  option('o', 'SECTORS', 'hidden sectors'),
  option('r', 'SECTORS', 'reserved sectors'),
  option('s', 'SECTORS', 'size of the file system'),
  option('u', 'SECTORS', 'sectors per track'),
];

export function parseNewfsCommand(io: Io, argv: readonly string[]): NewfsCommand {
  const args = getopt(argv, OPTIONS, { permute: false });
  const layout = parseLayout(args);
  const [special, diskType, ...excess] = args.operands;
  if (special === undefined || special === '' || excess.length > 0)
    throw new UsageError('one SPECIAL is needed');
  if (diskType !== undefined) {
    throw new UsageError(`disk type "${diskType}" is not supported: give -f, or -h, -u and -s`, 1);
  }
  const sectorSize = layout.sectorSize ?? 512;
  const create = args.value('C');
  const offset = args.value('@');
  const label = args.value('L');
  const oemName = args.value('O');
  const volumeId = args.value('I');
  if (oemName !== undefined && !/^[\x20-\x7e]{0,8}$/.test(oemName))
    throw new UsageError(`${oemName}: bad OEM string`, 1);
  return {
    special,
    layout,
    offset: offset === undefined ? 0 : parseBytes(offset, sectorSize, 'offset'),
    createSize: create === undefined ? undefined : parseBytes(create, sectorSize, 'create size'),
    bootFile: args.value('B'),
    label,
    oemName,
    volumeId: volumeId === undefined ? undefined : parseNumber(volumeId, 0, 0xffff_ffff, 'volume ID'),
    ...parseTime(io, args.value('T')),
    dryRun: args.has('N'),
  };
}

function parseLayout(args: ParsedArguments): NewfsCommand['layout'] {
  function number(name: string, low: number, high: number, what: string): number | undefined {
    const text = args.value(name);
    return text === undefined ? undefined : parseNumber(text, low, high, what);
  }
  function power(name: string, low: number, high: number, what: string): number | undefined {
    const value = number(name, low, high, what);
    if (value !== undefined && !Number.isInteger(Math.log2(value))) {
      throw new UsageError(`${args.value(name)}: bad ${what}`, 1);
    }
    return value;
  }
  const bits = number('F', 12, 32, 'FAT type');
  if (bits !== undefined && bits !== 12 && bits !== 16 && bits !== 32) {
    throw new UsageError(`${bits}: bad FAT type`, 1);
  }
  const format = args.value('f');
  const floppy = format === undefined ? {} : BSD_FLOPPIES.get(format);
  if (floppy === undefined) throw new UsageError(`${format}: unknown standard format`, 1);
  const given = {
    fatBits: bits,
    sectorSize: power('S', 512, 32_768, 'bytes/sector'),
    fatSectors: number('a', 1, 0xffff_ffff, 'sectors/FAT'),
    clusterSize: power('b', 1, 32_768 * 128, 'block size'),
    sectorsPerCluster: power('c', 1, 128, 'sectors/cluster'),
    rootEntryCount: number('e', 1, 0xffff, 'directory entries'),
    heads: number('h', 1, 0xffff, 'drive heads'),
    fsInfoSector: number('i', 1, 0xffff, 'info sector'),
    backupBootSector: number('k', 1, 0xffff, 'backup sector'),
    media: number('m', 0xf0, 0xff, 'media descriptor'),
    fatCount: number('n', 1, 16, 'number of FATs'),
    hiddenSectors: number('o', 0, 0xffff_ffff, 'hidden sectors'),
    reservedSectors: number('r', 1, 0xffff, 'reserved sectors'),
    totalSectors: number('s', 1, 0xffff_ffff, 'file system size'),
    sectorsPerTrack: number('u', 1, 0xffff, 'sectors/track'),
  };
  const layout = { ...floppy, alignRoot: args.has('A') };
  // What is not given must not hide what the floppy has.
  return Object.assign(
    layout,
    Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  );
}

function parseNumber(text: string, low: number, high: number, what: string): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!(value >= low && value <= high)) throw new UsageError(`${text}: bad ${what}`, 1);
  return value;
}

/** A number of bytes, or with a suffix of sectors, KiB, MiB or GiB. */
function parseBytes(text: string, sectorSize: number, what: string): number {
  const match = /^(0x[0-9a-f]+|\d+)([skmg]?)$/i.exec(text);
  const units: Readonly<Record<string, number>> = { '': 1, s: sectorSize, k: 1024, m: 1 << 20, g: 1 << 30 };
  const size = match === null ? Number.NaN : Number(match[1]) * units[match[2]!.toLowerCase()]!;
  if (!Number.isSafeInteger(size)) throw new UsageError(`${text}: bad ${what}`, 1);
  return size;
}

/** A given time is in UTC, so that the same command gives the same bytes everywhere. */
function parseTime(io: Io, text: string | undefined): { time: Timestamp; utcOffsetMinutes: number } {
  if (text === undefined) {
    const fixed = (io.env['SOURCE_DATE_EPOCH'] ?? '') !== '';
    return { time: clockFromEnvironment(io.env)(), utcOffsetMinutes: fixed ? 0 : systemUtcOffsetMinutes() };
  }
  try {
    const stats = fs.statSync(path.resolve(io.cwd, text));
    return { time: timestampFromMilliseconds(stats.mtimeMs), utcOffsetMinutes: 0 };
  } catch (error) {
    if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ENOTDIR')) throw error;
  }
  return {
    time: { seconds: parseNumber(text, 0, 2 ** 40, 'timestamp'), nanoseconds: 0 },
    utcOffsetMinutes: 0,
  };
}
