import fs from 'node:fs';
import path from 'node:path';
import { FsError, hasCode, UsageError } from '../../errors.ts';
import { type Applet, defineApplet } from '../applet.ts';
import { getopt, type OptionSpec, type ParsedArguments } from '../getopt.ts';
import { renderHelp } from '../help.ts';
import type { Io } from '../io.ts';
import { classicListing } from './fdisk/classic-listing.ts';
import { Disk, type DiskOptions } from './fdisk/disk.ts';
import {
  type Column,
  defaultColumns,
  describeDisk,
  outOfOrder,
  parseColumns,
  partitionTable,
} from './fdisk/listing.ts';
import { UNSUPPORTED_COMMANDS } from './fdisk/menu.ts';
import { runSession } from './fdisk/session.ts';

const OPTIONS: readonly OptionSpec[] = [
  {
    short: 'b',
    long: 'sector-size',
    argument: 'required',
    argumentName: 'SIZE',
    description: 'sector size: 512, 1024, 2048 or 4096 bytes',
  },
  {
    short: 'B',
    long: 'protect-boot',
    description: 'a new table leaves the boot code in the first sector alone',
  },
  {
    short: 'c',
    long: 'compatibility',
    argument: 'optional',
    argumentName: 'MODE',
    description:
      'dos: no alignment, the first partition begins on the second track; nondos: aligned to 1 MiB (default)',
  },
  {
    short: 'L',
    long: 'color',
    argument: 'optional',
    argumentName: 'WHEN',
    description: 'auto or never; there are no colours either way',
  },
  { short: 'l', long: 'list', description: 'display partitions and exit' },
  { short: 'x', long: 'list-details', description: 'like --list, with C/H/S and attributes' },
  {
    short: 'o',
    long: 'output',
    argument: 'required',
    argumentName: 'LIST',
    description:
      'columns to list: Device Start End Sectors Cylinders Size Type Id Attrs Boot End-C/H/S Start-C/H/S',
  },
  {
    short: 't',
    long: 'type',
    argument: 'required',
    argumentName: 'TYPE',
    description: 'the only kind of table to recognise: dos',
  },
  {
    short: 'u',
    long: 'units',
    argument: 'optional',
    argumentName: 'UNIT',
    description: 'display and entry in sectors (default) or cylinders',
  },
  { short: 's', long: 'getsz', description: 'print the size of each disk in blocks of 1 KiB and exit' },
  { long: 'bytes', description: 'print SIZE in bytes' },
  {
    short: 'w',
    long: 'wipe',
    argument: 'required',
    argumentName: 'MODE',
    description: 'auto: mention file systems on the disk (default); never: say nothing; neither wipes them',
  },
  {
    short: 'W',
    long: 'wipe-partitions',
    argument: 'required',
    argumentName: 'MODE',
    description: 'the same for file systems in new partitions',
  },
  {
    short: 'C',
    long: 'cylinders',
    argument: 'required',
    argumentName: 'NUMBER',
    description: 'number of cylinders',
  },
  { short: 'H', long: 'heads', argument: 'required', argumentName: 'NUMBER', description: 'number of heads' },
  {
    short: 'S',
    long: 'sectors',
    argument: 'required',
    argumentName: 'NUMBER',
    description: 'number of sectors per track',
  },
  { short: 'h', long: 'help', description: 'display this help' },
  { short: 'V', long: 'version', description: 'display the version of the tool this one stands in for' },
];

export const fdisk: Applet = defineApplet({
  name: 'fdisk',
  kind: 'applet',
  summary: 'edit the partition table (MBR) of a disk image',
  usage: ['fdisk [OPTION]... DISK', 'fdisk [OPTION]... -l DISK...'],
  description: [
    'Reads commands from the terminal or from a pipe: o makes a new table, n adds a partition, d deletes one, p prints the table, a toggles the bootable flag, t changes a type, w writes and exits, q quits; m lists them all. Nothing is written before w.',
    'When a geometry is given (-C, -H, -S), fdisk works as it did in the days of geometries: partitions begin on track boundaries, the first one in sector 63, and p prints the listing of those days. -c=nondos turns that off.',
  ],
  options: OPTIONS,
  examples: [
    {
      command: 'fdisk -u -C1000 -S63 -H16 c.img',
      explanation: 'Edit an image of 1000 cylinders, 16 heads and 63 sectors a track, in sectors.',
    },
    {
      command: "printf 'o\\nn\\n\\n\\n\\n\\nw\\n' | fdisk c.img",
      explanation: 'One Linux partition over the whole image, aligned to 1 MiB.',
    },
    { command: 'fdisk -l c.img', explanation: 'List the partitions.' },
  ],
  exitStatus: { 0: 'success', 1: 'the command line is wrong, or a disk cannot be opened' },
  notSupported: [
    'GPT, Sun, SGI and BSD tables; a GPT disk is refused',
    ...Object.entries(UNSUPPORTED_COMMANDS.main).map(([key, what]) => `command ${key}: ${what}`),
    ...Object.entries(UNSUPPORTED_COMMANDS.expert).map(([key, what]) => `command x ${key}: ${what}`),
    '-n, --noauto-pt; --lock; -t other than dos; --wipe=always; --color=always; -l without a disk',
  ],
  run(io, argv) {
    let parsed: ParsedArguments;
    try {
      parsed = getopt(argv, OPTIONS);
      return runWith(io, parsed);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      // The tool's own form: errors of getopt point to the help, errors of values stand alone.
      const hint = /^(invalid option|unrecognized|option |bad usage)/.test(error.message);
      io.stderr.write(`fdisk: ${error.message}\n${hint ? "Try 'fdisk --help' for more information.\n" : ''}`);
      return 1;
    }
  },
});

function runWith(io: Io, parsed: ParsedArguments): number {
  if (parsed.has('help')) {
    io.stdout.write(renderHelp(fdisk));
    return 0;
  }
  if (parsed.has('version')) {
    io.stdout.write('fdisk from util-linux 2.38.1\n');
    return 0;
  }
  const { options, columns } = readOptions(parsed);
  const disks = parsed.operands;
  if (parsed.has('getsz')) return printSizes(io, disks, options);
  if (parsed.has('list') || parsed.has('list-details')) {
    if (disks.length === 0) {
      throw new UsageError('Listing the disks of the machine is not supported: name the images');
    }
    return listDisks(io, disks, options, parsed, columns);
  }
  if (disks.length !== 1) throw new UsageError('bad usage');
  return edit(io, disks[0]!, options);
}

function readOptions(parsed: ParsedArguments): {
  options: DiskOptions;
  columns: Column[] | undefined;
} {
  const sectorSize = Number(parsed.value('b') ?? 512);
  if (![512, 1024, 2048, 4096].includes(sectorSize)) {
    throw new UsageError('invalid sector size argument');
  }
  const compatibility = afterEquals(parsed.value('c')) ?? 'dos';
  if (compatibility !== 'dos' && compatibility !== 'nondos') {
    throw new UsageError(`unknown compatibility mode '${compatibility}'`);
  }
  const units = afterEquals(parsed.value('u')) ?? 'sectors';
  if (!'sectors'.startsWith(units) && !'cylinders'.startsWith(units)) {
    throw new UsageError('unsupported unit');
  }
  const type = parsed.value('t');
  if (type !== undefined && type !== 'dos' && type !== 'mbr') {
    throw new UsageError(`Tables of type '${type}' are not supported`);
  }
  const color = afterEquals(parsed.value('L'));
  if (color !== undefined && color !== 'auto' && color !== 'never') {
    throw new UsageError(`Colours are not supported: --color=${color}`);
  }
  const wipe = [parsed.value('w'), parsed.value('W')].map((mode) => afterEquals(mode) ?? 'auto');
  for (const mode of wipe) {
    if (mode === 'always') throw new UsageError('Wiping file systems is not supported');
    if (mode !== 'auto' && mode !== 'never') throw new UsageError('unsupported wipe mode');
  }
  const geometry = {
    ...positive(parsed, 'C', 'cylinders', 0xffff_ffff),
    ...positive(parsed, 'H', 'heads', 256),
    ...positive(parsed, 'S', 'sectors', 63),
  };
  const given = Object.keys(geometry).length > 0;
  const asksForDos = parsed.has('c') && compatibility === 'dos';
  const dosCompatible = asksForDos || (given && compatibility === 'dos');
  const cylinders = units[0] === 'c';
  return {
    options: {
      geometry: {
        ...(geometry.C === undefined ? {} : { cylinders: geometry.C }),
        ...(geometry.H === undefined ? {} : { heads: geometry.H }),
        ...(geometry.S === undefined ? {} : { sectorsPerTrack: geometry.S }),
      },
      dosCompatible,
      cylinders,
      classic: given && dosCompatible,
      sectorSize,
      keepBootCode: parsed.has('B'),
      mentionSignatures: !wipe.includes('never'),
    },
    columns: parsed.value('o') === undefined ? undefined : parseColumns(parsed.value('o')!),
  };
}

/** `-c=dos` gives `=dos`. */
function afterEquals(value: string | undefined): string | undefined {
  return value?.replace(/^=/, '');
}

function positive<K extends 'C' | 'H' | 'S'>(
  parsed: ParsedArguments,
  letter: K,
  name: string,
  most: number,
): Partial<Record<K, number>> {
  const text = parsed.value(letter);
  if (text === undefined) return {};
  const number = /^\d+$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > most) throw new UsageError(`invalid ${name} argument: '${text}'`);
  return { [letter]: number } as Partial<Record<K, number>>;
}

function openDisk(io: Io, name: string, options: DiskOptions): Disk | undefined {
  try {
    return Disk.open(io, name, options);
  } catch (error) {
    const reason = openFailure(error);
    if (reason === undefined) throw error;
    io.stderr.write(`fdisk: cannot open ${name}: ${reason}\n`);
    return undefined;
  }
}

const REASONS = [
  'EACCES',
  'EPERM',
  'ENOENT',
  'ENOTDIR',
  'EISDIR',
  'EINVAL',
  'ENXIO',
  'ELOOP',
  'ENAMETOOLONG',
] as const;

/** strerror(3)'s text of what kept a file from being opened. */
function openFailure(error: unknown): string | undefined {
  const code = REASONS.find((candidate) => hasCode(error, candidate));
  return code === undefined ? undefined : new FsError(code).text;
}

function edit(io: Io, name: string, options: DiskOptions): number {
  const disk = openDisk(io, name, options);
  if (disk === undefined) return 1;
  try {
    if (disk.foreign !== undefined) {
      io.stderr.write(`fdisk: ${name}: GPT partition tables are not supported yet\n`);
      return 1;
    }
    return runSession(io, disk, { readOnly: !isWritable(io, name) });
  } finally {
    disk.close();
  }
}

function isWritable(io: Io, name: string): boolean {
  try {
    fs.accessSync(path.resolve(io.cwd, name), fs.constants.W_OK);
    return true;
  } catch (error) {
    if (hasCode(error, 'EACCES') || hasCode(error, 'EROFS') || hasCode(error, 'EPERM')) return false;
    throw error;
  }
}

function listDisks(
  io: Io,
  names: readonly string[],
  options: DiskOptions,
  parsed: ParsedArguments,
  columns: readonly Column[] | undefined,
): number {
  let status = 0;
  let listed = 0;
  for (const name of names) {
    const disk = openDisk(io, name, options);
    if (disk === undefined) {
      status = 1;
      continue;
    }
    try {
      if (listed++ > 0) io.stdout.write('\n\n');
      const detailed = parsed.has('list-details');
      io.stdout.write(
        `${listing(disk, columns ?? defaultColumns(disk.cylinders, detailed), detailed, parsed.has('bytes')).join('\n')}\n`,
      );
      for (const warning of disk.editor?.warnings ?? []) io.stderr.write(`${warning}\n`);
      if (disk.foreign !== undefined) {
        io.stderr.write(
          `fdisk: ${name}: this is the protective table of a GPT, which is not supported yet\n`,
        );
      }
    } finally {
      disk.close();
    }
  }
  return status;
}

function listing(disk: Disk, columns: readonly Column[], detailed: boolean, inBytes: boolean): string[] {
  if (disk.options.classic && !detailed) return classicListing(disk);
  const table = partitionTable(disk, columns, inBytes);
  return [
    ...describeDisk(disk),
    ...(table.length > 0 ? ['', ...table] : []),
    ...(outOfOrder(disk) ? ['', 'Partition table entries are not in disk order.'] : []),
  ];
}

function printSizes(io: Io, names: readonly string[], options: DiskOptions): number {
  if (names.length === 0) throw new UsageError('bad usage');
  for (const name of names) {
    const disk = openDisk(io, name, options);
    if (disk === undefined) return 1;
    const blocks = Math.floor(disk.device.size / 1024);
    io.stdout.write(names.length === 1 ? `${blocks}\n` : `${name}: ${blocks}\n`);
    disk.close();
  }
  return 0;
}
