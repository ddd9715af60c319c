import { UsageError } from '../../../errors.ts';
import type { OptionSpec, ParsedArguments } from '../../getopt.ts';
import type { ScriptLabel } from '../partition-script/type.ts';
import { type WipeMode } from '../fdisk/wiping.ts';

/** The commands, by the long name of their option; `edit` is what sfdisk does without one. */
export type CommandName =
  | 'edit'
  | 'activate'
  | 'dump'
  | 'json'
  | 'backup-pt-sectors'
  | 'show-geometry'
  | 'list'
  | 'list-free'
  | 'reorder'
  | 'show-size'
  | 'list-types'
  | 'verify'
  | 'delete'
  | 'part-label'
  | 'part-type'
  | 'part-uuid'
  | 'part-attrs'
  | 'disk-id'
  | 'relocate';

const COMMANDS: readonly OptionSpec[] = [
  { short: 'A', long: 'activate', description: 'list the bootable partitions, or make these the only ones' },
  { short: 'd', long: 'dump', description: 'print the table as a script that makes it again' },
  { short: 'J', long: 'json', description: 'print the table as JSON' },
  { short: 'B', long: 'backup-pt-sectors', description: 'save the sectors of the table to files' },
  { short: 'g', long: 'show-geometry', description: 'print the geometry of each disk' },
  { short: 'l', long: 'list', description: 'list the partitions of each disk' },
  { short: 'F', long: 'list-free', description: 'list the free areas of each disk' },
  { short: 'r', long: 'reorder', description: 'number the partitions in the order of the disk' },
  { short: 's', long: 'show-size', description: 'print the size of each disk in blocks of 1 KiB' },
  { short: 'T', long: 'list-types', description: 'print the types of partitions that are known' },
  { short: 'V', long: 'verify', description: 'test whether the partitions seem correct' },
  { long: 'delete', description: 'delete these partitions, or all' },
  { long: 'part-label', description: 'print or change the name of a partition' },
  { long: 'part-type', description: 'print or change the type of a partition' },
  { long: 'part-uuid', description: 'print or change the UUID of a partition' },
  { long: 'part-attrs', description: 'print or change the attributes of a partition' },
  { long: 'disk-id', description: 'print or change the identifier of the disk' },
  {
    long: 'relocate',
    argument: 'required',
    argumentName: 'WHERE',
    description:
      "move the GPT's second header: gpt-bak-std to the end of the disk, gpt-bak-mini behind the last partition",
  },
];

const DEPRECATED: readonly OptionSpec[] = [
  { short: 'c', long: 'id', description: 'deprecated: the same as --part-type' },
  { short: 'G', long: 'show-pt-geometry', description: 'deprecated: the same as --show-geometry' },
  { short: 'L', long: 'Linux', description: 'deprecated: changes nothing' },
  {
    short: 'u',
    long: 'unit',
    argument: 'required',
    argumentName: 'S',
    description: 'deprecated: sectors are the only unit',
  },
];

export const OPTIONS: readonly OptionSpec[] = [
  ...COMMANDS,
  { short: 'a', long: 'append', description: 'add partitions to the table that is there' },
  { short: 'b', long: 'backup', description: 'save the sectors of the table first (see -O)' },
  { long: 'bytes', description: 'print SIZE in bytes' },
  {
    long: 'move-data',
    argument: 'optional',
    argumentName: 'LOG',
    description: 'move the data of a partition whose start moves (with -N); a log is kept where one is named',
  },
  { long: 'move-use-fsync', description: 'flush after each write while data is moved' },
  { short: 'f', long: 'force', description: 'write also where the disk is in use' },
  {
    long: 'color',
    argument: 'optional',
    argumentName: 'WHEN',
    description: 'auto or never; there are no colours either way',
  },
  {
    long: 'lock',
    argument: 'optional',
    argumentName: 'MODE',
    description:
      'lock the disk by flock(2) while it is changed: yes (default) waits for who has it, nonblock does not, no does nothing; without it LOCK_BLOCK_DEVICE says which',
  },
  {
    short: 'N',
    long: 'partno',
    argument: 'required',
    argumentName: 'NUMBER',
    description: 'change this partition only',
  },
  { short: 'n', long: 'no-act', description: 'do everything but write' },
  { long: 'no-reread', description: 'do not look whether the disk is in use' },
  { long: 'no-tell-kernel', description: 'do not have the kernel read the table of a device again' },
  {
    short: 'O',
    long: 'backup-file',
    argument: 'required',
    argumentName: 'FILE',
    description: 'what the names of saved sectors begin with',
  },
  {
    short: 'o',
    long: 'output',
    argument: 'required',
    argumentName: 'LIST',
    description: 'columns to list, after a + behind the usual ones; as in fdisk',
  },
  { short: 'q', long: 'quiet', description: 'say nothing but what is wrong' },
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
    short: 'X',
    long: 'label',
    argument: 'required',
    argumentName: 'TYPE',
    description: 'the kind of table: dos or gpt',
  },
  {
    short: 'Y',
    long: 'label-nested',
    argument: 'required',
    argumentName: 'TYPE',
    description: 'work on the MBR beside a GPT: dos',
  },
  {
    long: 'sector-size',
    argument: 'required',
    argumentName: 'SIZE',
    description: 'sector size: 512, 1024, 2048 or 4096 bytes; found out where it is not given',
  },
  ...DEPRECATED,
  { short: 'h', long: 'help', description: 'display this help' },
  { short: 'v', long: 'version', description: 'display the version of the tool this one stands in for' },
];

export interface SfdiskOptions {
  readonly command: CommandName;
  readonly quiet: boolean;
  readonly noAct: boolean;
  readonly append: boolean;
  readonly force: boolean;
  /** `--lock`: undefined where it is not given. */
  readonly lock: string | undefined;
  readonly checkUse: boolean;
  /** The kernel is told of a new table of one of its devices; of an image nobody needs to be. */
  readonly tellKernel: boolean;
  readonly inBytes: boolean;
  /** List what `--verify` finds, too. */
  readonly verify: boolean;
  readonly backup: boolean;
  readonly backupFile: string | undefined;
  readonly columns: string | undefined;
  /** From 0. */
  readonly index: number | undefined;
  readonly label: ScriptLabel | undefined;
  readonly nested: boolean;
  readonly wipe: WipeMode;
  readonly wipePartitions: WipeMode;
  /** `''` without a log, `@default` with one in the home folder. */
  readonly moveData: string | undefined;
  readonly moveWithFlush: boolean;
  readonly relocation: string | undefined;
  readonly sectorSize: number | undefined;
  /** Said first. */
  readonly warnings: readonly string[];
}

export function readOptions(parsed: ParsedArguments): SfdiskOptions {
  const warnings: string[] = [];
  let command: CommandName = 'edit';
  for (const { spec } of parsed.options) {
    if (spec.long === 'id') {
      warnings.push('--id is deprecated in favour of --part-type');
      command = 'part-type';
    } else if (spec.long === 'show-pt-geometry') command = 'show-geometry';
    else if (spec.long === 'verify' && command === 'list') continue;
    else if (spec.long === 'list' && command === 'verify') command = 'list';
    else if (COMMANDS.includes(spec)) command = spec.long as CommandName;
  }
  checkValues(parsed);
  const number = parsed.value('N');
  const moveData = parsed.has('move-data') ? (parsed.value('move-data') ?? '') : undefined;
  if (moveData !== undefined && number === undefined) throw new UsageError('--movedata requires -N', 1);
  return {
    command,
    quiet: parsed.has('quiet'),
    noAct: parsed.has('no-act'),
    append: parsed.has('append'),
    force: parsed.has('force'),
    lock: parsed.has('lock') ? (parsed.value('lock') ?? 'yes').replace(/^=/, '') : undefined,
    checkUse: !parsed.has('no-reread') && !parsed.has('no-act'),
    tellKernel: !parsed.has('no-tell-kernel'),
    inBytes: parsed.has('bytes'),
    verify: parsed.has('verify'),
    backup: parsed.has('backup'),
    backupFile: parsed.value('O'),
    columns: parsed.value('o'),
    index: number === undefined ? undefined : partitionNumber(number) - 1,
    label: labelOption(parsed),
    nested: parsed.has('label-nested'),
    wipe: wipeMode(parsed, 'w'),
    wipePartitions: wipeMode(parsed, 'W'),
    moveData,
    moveWithFlush: parsed.has('move-use-fsync'),
    relocation: parsed.value('relocate'),
    sectorSize: sectorSize(parsed),
    warnings,
  };
}

/** A partition's number as it is typed; UsageError for what is none. */
export function partitionNumber(text: string): number {
  const number = /^\s*\+?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(number < 2 ** 32)) throw new UsageError(`failed to parse partition number: '${text}'`, 1);
  return number;
}

function checkValues(parsed: ParsedArguments): void {
  const unit = parsed.value('u');
  if (unit !== undefined && unit !== 'S') throw new UsageError(`unsupported unit '${unit[0] ?? ''}'`, 1);
  if (unit !== undefined && parsed.has('show-size')) {
    throw new UsageError('mutually exclusive arguments: --show-size --unit', 1);
  }
  const color = parsed.value('color');
  if (color === 'always') throw new UsageError(`Colours are not supported: --color=${color}`, 1);
  if (color !== undefined && color !== 'auto' && color !== 'never') {
    throw new UsageError(`unsupported color mode: '${color}'`, 1);
  }
}

function labelOption(parsed: ParsedArguments): ScriptLabel | undefined {
  const nested = parsed.value('Y');
  if (nested !== undefined && nested !== 'dos' && nested !== 'mbr') {
    throw new UsageError(`Nested tables of type '${nested}' are not supported`, 1);
  }
  const label = parsed.value('X');
  if (label === 'sgi' || label === 'sun' || label === 'bsd') {
    throw new UsageError(`Tables of type '${label}' are not supported`, 1);
  }
  if (label === undefined || label === 'gpt') return label;
  if (label !== 'dos' && label !== 'mbr') throw new UsageError(`unsupported label '${label}'`, 1);
  return 'dos';
}

function wipeMode(parsed: ParsedArguments, letter: 'w' | 'W'): WipeMode {
  const mode = parsed.value(letter) ?? 'auto';
  if (mode !== 'auto' && mode !== 'always' && mode !== 'never') {
    throw new UsageError('unsupported wipe mode', 1);
  }
  return mode;
}

function sectorSize(parsed: ParsedArguments): number | undefined {
  const text = parsed.value('sector-size');
  if (text === undefined) return undefined;
  const size = Number(text);
  if (![512, 1024, 2048, 4096].includes(size)) throw new UsageError('invalid sector size argument', 1);
  return size;
}
