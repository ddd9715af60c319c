import { CODE_PAGES } from '../../../filesystem/fat/code-page.ts';
import type { LabelEncoding } from '../../../filesystem/fat/format/label.ts';
import type { FatLayoutOptions } from '../../../filesystem/fat/format/layout-options.ts';
import { getopt, type OptionSpec, type ParsedArguments } from '../../getopt.ts';
import { asciiCodePage } from './ascii-code-page.ts';

/** What the command line asks for. */
export interface CommandLine {
  readonly target: string;
  /** Kibibytes. */
  readonly blockCount: number | undefined;
  readonly layout: Omit<FatLayoutOptions, 'volumeId'>;
  readonly volumeId: number | undefined;
  readonly label: string | undefined;
  readonly codePage: LabelEncoding;
  readonly messageFile: string | undefined;
  readonly badBlocksFile: string | undefined;
  readonly check: boolean;
  readonly create: boolean;
  readonly force: boolean;
  readonly invariant: boolean;
  readonly mbr: 'yes' | 'no' | 'auto';
  /** Logical sectors. */
  readonly offset: number;
  readonly verbosity: number;
}

/** Where the complaint goes is the tool's own habit; the usage follows on stderr. */
export class CommandLineError extends Error {
  readonly stream: 'stdout' | 'stderr';

  constructor(message: string, stream: 'stdout' | 'stderr' = 'stdout') {
    super(message);
    this.stream = stream;
  }
}

export const OPTIONS: readonly OptionSpec[] = [
  { short: 'a', description: 'do not align data structures to clusters' },
  { short: 'A', description: 'toggle the Atari variant of the file system' },
  {
    short: 'b',
    argument: 'required',
    argumentName: 'SECTOR',
    description: 'sector of the FAT32 backup boot sector; 0 for none',
  },
  { short: 'c', description: 'read everything first and mark what cannot be read as bad' },
  { short: 'C', description: 'create the file DEVICE, BLOCK-COUNT KiB large; refuse when it exists' },
  { short: 'D', argument: 'required', argumentName: 'NUMBER', description: 'BIOS drive number' },
  { short: 'f', argument: 'required', argumentName: 'COUNT', description: 'number of FATs, 1 to 4' },
  { short: 'F', argument: 'required', argumentName: 'SIZE', description: 'width of the FAT: 12, 16 or 32' },
  {
    short: 'g',
    argument: 'required',
    argumentName: 'HEADS/SECTORS',
    description: 'geometry: heads and sectors per track',
  },
  { short: 'h', argument: 'required', argumentName: 'NUMBER', description: 'number of hidden sectors' },
  {
    short: 'i',
    argument: 'required',
    argumentName: 'VOLUME-ID',
    description: 'volume ID, a 32-bit hexadecimal number',
  },
  { short: 'I', description: 'format also a device with partitions or virtual mappings' },
  { short: 'l', argument: 'required', argumentName: 'FILE', description: 'read the list of bad blocks' },
  {
    short: 'm',
    argument: 'required',
    argumentName: 'FILE',
    description: 'text to be shown when somebody boots from it; - for standard input',
  },
  {
    short: 'M',
    argument: 'required',
    argumentName: 'TYPE',
    description: 'media descriptor: 0xf0 or 0xf8 to 0xff',
  },
  {
    long: 'mbr',
    argument: 'optional',
    argumentName: 'y|n|a',
    description: 'put a partition table with one partition, the whole disk, into the boot sector',
  },
  {
    short: 'n',
    argument: 'required',
    argumentName: 'LABEL',
    description: 'volume label, up to 11 characters',
  },
  {
    long: 'codepage',
    argument: 'required',
    argumentName: 'N',
    description: 'DOS code page of the label; default 850',
  },
  {
    short: 'r',
    argument: 'required',
    argumentName: 'COUNT',
    description: 'entries in the root directory, at least',
  },
  { short: 'R', argument: 'required', argumentName: 'COUNT', description: 'reserved sectors, at least' },
  { short: 's', argument: 'required', argumentName: 'COUNT', description: 'sectors per cluster' },
  {
    short: 'S',
    argument: 'required',
    argumentName: 'SIZE',
    description: 'logical sector, bytes: 512 to 32768',
  },
  { short: 'v', description: 'tell what is made; twice: also how it was decided' },
  { long: 'variant', argument: 'required', argumentName: 'TYPE', description: 'standard or atari' },
  { long: 'invariant', description: 'use constants for whatever is random or depends on the time' },
  {
    long: 'offset',
    argument: 'required',
    argumentName: 'SECTOR',
    description: 'start the file system at this logical sector of DEVICE',
  },
  { long: 'help', description: 'show this help' },
];

export function parseCommandLine(argv: readonly string[]): CommandLine | 'help' {
  const args = getopt(argv, OPTIONS);
  if (args.has('help')) return 'help';
  const layout = parseLayout(args);
  const volumeId = given(args, 'i', parseVolumeId);
  const mbr = args.has('mbr') ? parseMbr(args.value('mbr')) : 'auto';
  const codePage = given(args, 'codepage', parseCodePage) ?? CODE_PAGES[850];
  const offset = given(args, 'offset', parseOffset) ?? 0;

  const [target, blocks, ...excess] = args.operands;
  if (target === undefined) throw new CommandLineError('No device specified.');
  let blockCount: number | undefined;
  if (blocks !== undefined) {
    blockCount = parseInteger(blocks);
    if (blockCount === undefined || blockCount < 0) throw new CommandLineError(`Bad block count : ${blocks}`);
  }
  if (excess.length > 0) throw new CommandLineError('Excess arguments on command line', 'stderr');
  return {
    target,
    blockCount,
    layout,
    volumeId,
    label: args.value('n'),
    codePage,
    messageFile: args.value('m'),
    badBlocksFile: args.value('l'),
    check: args.has('c'),
    create: args.has('C'),
    force: args.has('I'),
    invariant: args.has('invariant'),
    mbr,
    offset,
    verbosity: args.options.filter(({ spec }) => spec.short === 'v').length,
  };
}

function parseLayout(args: ParsedArguments): Omit<FatLayoutOptions, 'volumeId'> {
  function integer(name: string, complaint: string, low: number, high: number): number | undefined {
    return given(args, name, (text) => inRange(text, complaint, low, high));
  }
  const backupBootSector = integer('b', 'Bad location for backup boot sector : ', 0, 0xffff);
  const driveNumber = integer('D', 'Bad drive number: ', 0, 0xff);
  const fatCount = integer('f', 'Bad number of FATs : ', 1, 4);
  const fatBits = given(args, 'F', (text) => {
    const bits = parseInteger(text);
    if (bits === 12 || bits === 16 || bits === 32) return bits;
    throw new CommandLineError(`Bad FAT type : ${text}`);
  });
  const geometry = given(args, 'g', parseGeometry);
  const hiddenSectors = integer('h', 'Bad number of hidden sectors : ', 0, 0xffff_ffff);
  const media = given(args, 'M', parseMedia);
  const rootEntryCount = integer('r', 'Bad number of root directory entries : ', 16, 32768);
  const reservedSectors = integer('R', 'Bad number of reserved sectors : ', 1, 0xffff);
  const sectorsPerCluster = given(args, 's', (text) =>
    powerOfTwo(text, 'Bad number of sectors per cluster : ', 1, 128),
  );
  const sectorSize = given(args, 'S', (text) => powerOfTwo(text, 'Bad logical sector size : ', 512, 32768));
  return {
    variant: parseVariant(args),
    align: !args.has('a'),
    ...(backupBootSector !== undefined && { backupBootSector }),
    ...(driveNumber !== undefined && { driveNumber }),
    ...(fatCount !== undefined && { fatCount }),
    ...(fatBits !== undefined && { fatBits }),
    ...(geometry !== undefined && { geometry }),
    ...(hiddenSectors !== undefined && { hiddenSectors }),
    ...(media !== undefined && { media }),
    ...(rootEntryCount !== undefined && { rootEntryCount }),
    ...(reservedSectors !== undefined && { reservedSectors }),
    ...(sectorsPerCluster !== undefined && { sectorsPerCluster }),
    ...(sectorSize !== undefined && { sectorSize }),
  };
}

function given<T>(args: ParsedArguments, name: string, parse: (text: string) => T): T | undefined {
  const text = args.value(name);
  return text === undefined ? undefined : parse(text);
}

/** strtol(3) in base 0, of the whole text and without white space in front. */
export function parseInteger(text: string): number | undefined {
  const match = /^([+-]?)(?:0x([0-9a-f]+)|(0[0-7]*)|([1-9]\d*))$/i.exec(text);
  if (match === null) return undefined;
  const [, sign, hexadecimal, octal, decimal] = match;
  const magnitude =
    hexadecimal !== undefined
      ? Number.parseInt(hexadecimal, 16)
      : octal !== undefined
        ? Number.parseInt(octal, 8)
        : Number(decimal);
  if (magnitude >= 2 ** 63) return undefined;
  return sign === '-' ? -magnitude : magnitude;
}

function inRange(text: string, complaint: string, low: number, high: number): number {
  const value = parseInteger(text);
  if (value === undefined || value < low || value > high) throw new CommandLineError(`${complaint}${text}`);
  return value;
}

function powerOfTwo(text: string, complaint: string, low: number, high: number): number {
  const value = inRange(text, complaint, low, high);
  if ((value & (value - 1)) !== 0) throw new CommandLineError(`${complaint}${text}`);
  return value;
}

function parseGeometry(text: string): { heads: number; sectorsPerTrack: number } {
  const parts = text.split('/');
  const [heads, sectorsPerTrack] = parts.map(parseInteger);
  if (parts.length === 2 && isGeometryNumber(heads) && isGeometryNumber(sectorsPerTrack)) {
    return { heads, sectorsPerTrack };
  }
  throw new CommandLineError(`Bad format of geometry : ${text}`);
}

function isGeometryNumber(value: number | undefined): value is number {
  return value !== undefined && value > 0 && value <= 0xffff;
}

function parseMedia(text: string): number {
  const media = parseInteger(text);
  if (media === undefined) throw new CommandLineError(`Bad number for media descriptor : ${text}`);
  if (media !== 0xf0 && (media < 0xf8 || media > 0xff)) {
    throw new CommandLineError(`FAT Media byte must either be between 0xF8 and 0xFF or be 0xF0 : ${text}`);
  }
  return media;
}

function parseVolumeId(text: string): number {
  const match = /^\+?(?:0x)?([0-9a-f]+)$/i.exec(text);
  if (match === null) throw new CommandLineError('Volume ID must be a hexadecimal number');
  const volumeId = Number.parseInt(match[1]!, 16);
  if (volumeId > 0xffff_ffff) throw new CommandLineError('Volume ID does not fit in 32 bit');
  return volumeId;
}

function parseMbr(text: string | undefined): 'yes' | 'no' | 'auto' {
  switch (text?.toLowerCase()) {
    case undefined:
    case 'y':
    case 'yes':
      return 'yes';
    case 'n':
    case 'no':
      return 'no';
    case 'a':
    case 'auto':
      return 'auto';
    default:
      throw new CommandLineError(`Unknown option for --mbr: '${text}'`);
  }
}

function parseCodePage(text: string): LabelEncoding {
  if (!/^\d+$/.test(text)) throw new CommandLineError(`Invalid codepage : ${text}`, 'stderr');
  const number = Number(text);
  if (number === 437 || number === 850) return CODE_PAGES[number];
  const page = asciiCodePage(number);
  if (page !== undefined) return page;
  throw new CommandLineError(
    `Cannot initialize conversion from codepage ${text} to UTF-8: Invalid argument\n` +
      `Cannot initialize conversion from UTF-8 to codepage ${text}: Invalid argument`,
    'stderr',
  );
}

function parseOffset(text: string): number {
  const offset = parseInteger(text);
  if (offset === undefined) throw new CommandLineError(`Bad number for offset : ${text}`);
  if (offset < 0) {
    throw new CommandLineError(`FAT offset must be between 0 and 9223372036854775807: ${text}`);
  }
  return offset;
}

/** `-A` toggles, `--variant` sets; the last word counts. */
function parseVariant(args: ParsedArguments): 'standard' | 'atari' {
  let variant: 'standard' | 'atari' = 'standard';
  for (const { spec, value } of args.options) {
    if (spec.short === 'A') variant = variant === 'atari' ? 'standard' : 'atari';
    if (spec.long !== 'variant') continue;
    const name = value!.toLowerCase();
    if (name !== 'standard' && name !== 'atari') throw new CommandLineError(`Unknown variant: ${value}`);
    variant = name;
  }
  return variant;
}
