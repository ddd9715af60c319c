import { UsageError } from '../../errors.ts';
import { type Applet, defineApplet } from '../applet.ts';
import { getopt, type OptionSpec, type ParsedArguments } from '../getopt.ts';
import { renderHelp } from '../help.ts';
import type { Io } from '../io.ts';
import { classicListing } from './fdisk/classic-listing.ts';
import type { Disk, DiskOptions } from './fdisk/disk.ts';
import { type Column, defaultColumns, parseColumns } from './fdisk/columns.ts';
import { describeDisk, outOfOrder, partitionTable } from './fdisk/listing.ts';
import { UNSUPPORTED_COMMANDS } from './fdisk/menu.ts';
import { allDisks, explainShrunk, openForEditing, openForReading } from './fdisk/opening.ts';
import { SessionFailure, runSession } from './fdisk/session.ts';
import { type WipeMode, Wiping } from './fdisk/wiping.ts';

const WELCOME =
  '\nWelcome to fdisk (util-linux 2.38.1).\n' +
  'Changes will remain in memory only, until you decide to write them.\n' +
  'Be careful before using the write command.\n\n';

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
      'columns to list, after a + behind the usual ones. MBR: Device Start End Sectors Cylinders Size Type Id Attrs Boot End-C/H/S Start-C/H/S; GPT: Device Start End Sectors Size Type Type-UUID UUID Name Attrs; BSD: Slice Start End Sectors Cylinders Size Type Fsize Bsize Cpg',
  },
  {
    short: 't',
    long: 'type',
    argument: 'required',
    argumentName: 'TYPE',
    description: 'the only kind of table to recognise: dos, gpt or bsd',
  },
  {
    short: 'u',
    long: 'units',
    argument: 'optional',
    argumentName: 'UNIT',
    description: 'display and entry in sectors (default) or cylinders',
  },
  { short: 'n', long: 'noauto-pt', description: 'make no table on an empty disk before one is asked for' },
  { short: 's', long: 'getsz', description: 'print the size of each disk in blocks of 1 KiB and exit' },
  { long: 'bytes', description: 'print SIZE in bytes' },
  {
    short: 'w',
    long: 'wipe',
    argument: 'required',
    argumentName: 'MODE',
    description:
      'wipe file systems and old tables on the disk: auto (default: tables of another kind, and file systems when the input is a terminal), always or never',
  },
  {
    short: 'W',
    long: 'wipe-partitions',
    argument: 'required',
    argumentName: 'MODE',
    description: 'wipe file systems in new partitions: auto (default: ask on a terminal), always or never',
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
  {
    long: 'lock',
    argument: 'optional',
    argumentName: 'MODE',
    description:
      'lock the disk by flock(2) while it is edited: yes (default) waits for who has it, nonblock does not, no does nothing; without it LOCK_BLOCK_DEVICE says which',
  },
  { short: 'h', long: 'help', description: 'display this help' },
  { short: 'V', long: 'version', description: 'display the version of the tool this one stands in for' },
];

export const fdisk: Applet = defineApplet({
  name: 'fdisk',
  kind: 'applet',
  summary: 'edit the partition table (MBR, GPT or BSD disklabel) of a disk image',
  usage: ['fdisk [OPTION]... DISK', 'fdisk [OPTION]... -l DISK...'],
  description: [
    'Reads commands from the terminal or from a pipe: o makes a new MBR and g a new GPT, n adds a partition, d deletes one, p prints the table, a toggles the bootable flag, t changes a type, w writes and exits, q quits; m lists them all. Nothing is written before w. An image that cannot be written (read-only, attached, locked) is refused before the first question; -l shows it.',
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
    'Sun and SGI tables; command I for BSD disklabels and nested tables',
    ...Object.entries(UNSUPPORTED_COMMANDS).map(([key, what]) => `command ${key}: ${what}`),
    '-t sgi or sun; --color=always',
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
  const options = readOptions(parsed);
  const disks = parsed.operands;
  if (disks.length > 1 && ['b', 'C', 'H', 'S'].some((letter) => parsed.value(letter) !== undefined)) {
    throw new UsageError(
      'The device properties (sector size and geometry) should be used with one specified device only.',
      1,
    );
  }
  if (parsed.has('getsz')) return printSizes(io, disks, options);
  if (parsed.has('list') || parsed.has('list-details')) {
    return listDisks(io, disks.length === 0 ? allDisks(io) : disks, options, parsed);
  }
  if (disks.length !== 1) throw new UsageError('bad usage');
  return edit(io, disks[0]!, options, parsed);
}

function readOptions(parsed: ParsedArguments): DiskOptions {
  const sectorSize = parsed.value('b') === undefined ? undefined : Number(parsed.value('b'));
  if (sectorSize !== undefined && ![512, 1024, 2048, 4096].includes(sectorSize)) {
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
  if (type === 'sgi' || type === 'sun') {
    throw new UsageError(`Tables of type '${type}' are not supported`);
  }
  if (type !== undefined && type !== 'dos' && type !== 'gpt' && type !== 'bsd') {
    throw new UsageError(`unsupported disklabel: ${type}`, 1);
  }
  const color = afterEquals(parsed.value('L'));
  if (color !== undefined && color !== 'auto' && color !== 'never') {
    throw new UsageError(`Colours are not supported: --color=${color}`);
  }
  wipeMode(parsed, 'w');
  wipeMode(parsed, 'W');
  const geometry = {
    ...dimension(parsed, 'C', 'cylinders', 0xffff_ffff),
    ...dimension(parsed, 'H', 'heads', 256),
    ...dimension(parsed, 'S', 'sectors', 63),
  };
  const given = Object.keys(geometry).length > 0;
  const asksForDos = parsed.has('c') && compatibility === 'dos';
  const dosCompatible = asksForDos || (given && compatibility === 'dos');
  const cylinders = units[0] === 'c';
  return {
    geometry: {
      ...(geometry.C === undefined ? {} : { cylinders: geometry.C }),
      ...(geometry.H === undefined ? {} : { heads: geometry.H }),
      ...(geometry.S === undefined ? {} : { sectorsPerTrack: geometry.S }),
    },
    dosCompatible,
    cylinders,
    classic: given && dosCompatible,
    ...(sectorSize === undefined ? {} : { sectorSize }),
    ...(type === undefined ? {} : { type }),
    keepBootCode: parsed.has('B'),
  };
}

function wipeMode(parsed: ParsedArguments, letter: 'w' | 'W'): WipeMode {
  const mode = afterEquals(parsed.value(letter)) ?? 'auto';
  if (mode !== 'auto' && mode !== 'always' && mode !== 'never') throw new UsageError('unsupported wipe mode');
  return mode;
}

/** `-c=dos` gives `=dos`. */
function afterEquals(value: string | undefined): string | undefined {
  return value?.replace(/^=/, '');
}

/** What is no geometry, though a number, is passed over, as the tool does. */
function dimension<K extends 'C' | 'H' | 'S'>(
  parsed: ParsedArguments,
  letter: K,
  name: string,
  most: number,
): Partial<Record<K, number>> {
  const text = parsed.value(letter);
  if (text === undefined) return {};
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(number <= 0xffff_ffff)) throw new UsageError(`invalid ${name} argument: '${text}'`);
  if (number < 1 || number > most) return {};
  return { [letter]: number } as Partial<Record<K, number>>;
}

function edit(io: Io, name: string, options: DiskOptions, parsed: ParsedArguments): number {
  io.stdout.write(WELCOME);
  const lock = parsed.has('lock') ? (afterEquals(parsed.value('lock')) ?? 'yes') : undefined;
  const opened = openForEditing(io, name, options, lock);
  if (opened === undefined) return 1;
  const { disk, warnings } = opened;
  try {
    sayWhenFound(io, disk);
    const wiping = new Wiping({
      tool: 'fdisk',
      disk: wipeMode(parsed, 'w'),
      partitions: wipeMode(parsed, 'W'),
      isTerminal: io.stdin.isTerminal,
    });
    const columns = parsed.value('o');
    return runSession(io, disk, {
      warnings,
      noAutoTable: parsed.has('noauto-pt'),
      wiping,
      ...(columns === undefined ? {} : { columns }),
      inBytes: parsed.has('bytes'),
    });
  } catch (error) {
    if (!(error instanceof SessionFailure)) throw error;
    io.stderr.write(`fdisk: ${error.message}\n`);
    return 1;
  } finally {
    disk.close();
  }
}

/** Sectors that nobody named were found by the table. */
function sayWhenFound(io: Io, disk: Disk): void {
  if (disk.options.sectorSize !== undefined || disk.sectorSize === disk.device.sectorSize) return;
  io.stderr.write(
    `fdisk: ${disk.name}: the table counts in sectors of ${disk.sectorSize} bytes, which are used; -b ${disk.device.sectorSize} turns that off\n`,
  );
}

function listDisks(io: Io, names: readonly string[], options: DiskOptions, parsed: ParsedArguments): number {
  let status = 0;
  let listed = 0;
  for (const name of names) {
    const disk = openForReading(io, name, options);
    if (disk === undefined) {
      status = 1;
      continue;
    }
    try {
      if (listed++ > 0) io.stdout.write('\n\n');
      sayWhenFound(io, disk);
      const shrunk = explainShrunk(disk);
      if (shrunk !== undefined) io.stderr.write(`${shrunk}\n`);
      for (const { kind, text } of disk.messages) {
        (kind === 'information' ? io.stdout : io.stderr).write(`${text}\n`);
      }
      list(io, disk, parsed);
    } finally {
      disk.close();
    }
  }
  return status;
}

function list(io: Io, disk: Disk, parsed: ParsedArguments): void {
  const print = (lines: readonly string[]): void =>
    io.stdout.write(lines.map((line) => `${line}\n`).join(''));
  const detailed = parsed.has('list-details');
  const kind = disk.label?.kind ?? 'dos';
  if (disk.options.classic && !detailed && kind === 'dos') {
    print(classicListing(disk));
    return;
  }
  print(describeDisk(disk, detailed));
  if (disk.label === undefined) return;
  const usual = defaultColumns(kind, disk.cylinders, detailed);
  const named = parsed.value('o');
  const columns: readonly Column[] = named === undefined ? usual : parseColumns(named, kind, usual);
  const table = partitionTable(disk, columns, parsed.has('bytes') || (kind === 'bsd' && detailed));
  if (table.length > 0) print(['', ...table]);
  if (outOfOrder(disk)) print(['', 'Partition table entries are not in disk order.']);
}

function printSizes(io: Io, names: readonly string[], options: DiskOptions): number {
  if (names.length === 0) throw new UsageError('bad usage');
  for (const name of names) {
    const disk = openForReading(io, name, options);
    if (disk === undefined) return 1;
    const blocks = Math.floor(disk.device.size / 1024);
    io.stdout.write(names.length === 1 ? `${blocks}\n` : `${name}: ${blocks}\n`);
    disk.close();
  }
  return 0;
}
