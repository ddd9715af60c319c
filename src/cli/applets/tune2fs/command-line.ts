import { ErrorBehavior } from '../../../filesystem/ext/format/parameters.ts';
import type { OptionSpec } from '../../getopt.ts';
import type { Io } from '../../io.ts';
import { parseOptions } from '../e2fsprogs/command-line.ts';
import { Failure } from '../e2fsprogs/failure.ts';
import { parseReservedPercent, parseSigned, parseUnsigned } from '../e2fsprogs/numbers.ts';
import { type JournalChoice, parseJournalOptions } from '../mke2fs/journal-options.ts';
import { accountId } from '../mount/account.ts';
import { parseTime } from './calendar.ts';

export const USAGE =
  'Usage: tune2fs [-c max_mounts_count] [-e errors_behavior] [-f] [-g group]\n' +
  '\t[-i interval[d|m|w]] [-j] [-J journal_options] [-l]\n' +
  '\t[-m reserved_blocks_percent] [-o [^]mount_options[,...]]\n' +
  '\t[-r reserved_blocks_count] [-u user] [-C mount_count]\n' +
  '\t[-L volume_label] [-M last_mounted_dir]\n' +
  '\t[-O [^]feature[,...]] [-Q quota_options]\n' +
  '\t[-E extended-option[,...]] [-T last_check_time] [-U UUID]\n' +
  '\t[-I new_inode_size] [-z undo_file] device\n';

export const OPTIONS: readonly OptionSpec[] = [
  {
    short: 'c',
    argument: 'required',
    argumentName: 'COUNT',
    description: 'mounts after which the volume is checked; 0 or -1 for never, random for some number',
  },
  { short: 'C', argument: 'required', argumentName: 'COUNT', description: 'mounts so far' },
  {
    short: 'e',
    argument: 'required',
    argumentName: 'BEHAVIOR',
    description: 'what the kernel does on errors: continue, remount-ro or panic',
  },
  {
    short: 'E',
    argument: 'required',
    argumentName: 'OPTION[,...]',
    description:
      'extended options: stride=, stripe_width=, hash_alg=, mount_opts=, mmp_update_interval=, orphan_file_size=, force_fsck, test_fs, ^test_fs, clear_mmp (with -f)',
  },
  { short: 'f', description: 'go on where the tool would stop, for -E clear_mmp' },
  {
    short: 'g',
    argument: 'required',
    argumentName: 'GROUP',
    description: 'group that may use reserved blocks, by name or number',
  },
  {
    short: 'i',
    argument: 'required',
    argumentName: 'TIME[d|m|w|s]',
    description: 'time between checks, in days, months, weeks or seconds; 0 for none',
  },
  { short: 'l', description: 'list the superblock' },
  { short: 'L', argument: 'required', argumentName: 'LABEL', description: 'volume label, at most 16 bytes' },
  {
    short: 'm',
    argument: 'required',
    argumentName: 'PERCENT',
    description: 'blocks reserved for the superuser, in percent up to 50',
  },
  {
    short: 'M',
    argument: 'required',
    argumentName: 'PATH',
    description: 'where the volume was last mounted',
  },
  {
    short: 'o',
    argument: 'required',
    argumentName: '[^]OPTION[,...]',
    description: 'mount options that the volume has of itself, or with ^ not',
  },
  {
    short: 'O',
    argument: 'required',
    argumentName: '[^]FEATURE[,...]',
    description: 'features to set, or with ^ to clear',
  },
  { short: 'r', argument: 'required', argumentName: 'COUNT', description: 'reserved blocks' },
  {
    short: 's',
    argument: 'required',
    argumentName: '0|1',
    description: 'the old way to set sparse_super',
  },
  {
    short: 'T',
    argument: 'required',
    argumentName: 'TIME',
    description: 'when the volume was last checked: now, or YYYYMMDD[HH[MM[SS]]]',
  },
  {
    short: 'u',
    argument: 'required',
    argumentName: 'USER',
    description: 'user who may use reserved blocks, by name or number',
  },
  { short: 'U', argument: 'required', argumentName: 'UUID', description: 'UUID, or clear, random or time' },
  { short: 'j', description: 'make a journal' },
  {
    short: 'J',
    argument: 'required',
    argumentName: 'OPTION[,...]',
    description: 'make a journal with size= (MiB), fast_commit_size= (KiB) and location= (blocks)',
  },
  { short: 'I', argument: 'required', argumentName: 'BYTES', description: 'refused: another inode size' },
  { short: 'Q', argument: 'required', argumentName: 'OPTION[,...]', description: 'refused: quotas' },
  { short: 'z', argument: 'required', argumentName: 'FILE', description: 'refused: undo file' },
];

/** The command line, understood but for what depends on the volume. */
export interface CommandLine {
  device: string;
  list: boolean;
  force: boolean;
  maxMountCount?: number;
  mountCount?: number;
  errorBehavior?: number;
  reservedGroup?: number;
  /** Seconds. */
  interval?: number;
  reservedPercent?: number;
  reservedBlocks?: number;
  sparse?: boolean;
  /** Seconds since 1970. */
  lastCheck?: number;
  reservedUser?: number;
  label?: Uint8Array;
  lastMounted?: Uint8Array;
  mountOptions?: string;
  features?: string;
  extended?: string;
  uuid?: string;
  makesJournal?: boolean;
  journal?: JournalChoice;
}

/** What `-c random` comes to in the tool: it never seeds its random numbers. */
const RANDOM_MOUNT_COUNT = 23;
const LARGEST_MOUNT_COUNT = 16_000;

export const REFUSED: Readonly<Record<string, string>> = {
  I: 'another inode size (-I)',
  Q: 'quotas (-Q)',
  z: 'an undo file (-z)',
};

/** Failure with the tool's words. `now` in seconds since 1970. */
export function parseCommandLine(io: Io, argv: readonly string[], now: number): CommandLine {
  const parsed = parseOptions(argv, OPTIONS, { name: 'tune2fs', usage: USAGE });
  const result: CommandLine = { device: '', list: false, force: false };
  for (const { spec, value } of parsed.options) {
    if (spec.short === 'j') result.makesJournal = true;
    else if (spec.short === 'J') {
      const choice = parseJournalOptions(io, value ?? '', 'tune2fs');
      result.journal = { ...result.journal, ...choice };
      if (choice.size !== undefined) result.makesJournal = choice.size !== 0;
    } else applyOption(result, spec.short!, value ?? '', now);
  }
  const [device, ...more] = parsed.operands;
  if (device === undefined || more.length > 0 || parsed.options.every(({ spec }) => spec.short === 'f')) {
    throw new Failure(USAGE);
  }
  result.device = device;
  return result;
}

function applyOption(result: CommandLine, letter: string, value: string, now: number): void {
  switch (letter) {
    case 'c': {
      const count = value === 'random' ? RANDOM_MOUNT_COUNT : parseSigned(value);
      if (count === undefined || count > LARGEST_MOUNT_COUNT) bad(`bad mounts count - ${value}`);
      result.maxMountCount = count === 0 ? -1 : count;
      return;
    }
    case 'C': {
      const count = parseUnsigned(value);
      if (count === undefined || count > LARGEST_MOUNT_COUNT) bad(`bad mounts count - ${value}`);
      result.mountCount = count;
      return;
    }
    case 'e':
      if (!Object.hasOwn(ErrorBehavior, value)) bad(`bad error behavior - ${value}`);
      result.errorBehavior = ErrorBehavior[value as keyof typeof ErrorBehavior];
      return;
    case 'E':
      result.extended = value;
      return;
    case 'f':
      result.force = true;
      return;
    case 'g':
      result.reservedGroup =
        parseUnsigned(value) ?? accountId(value, 'group') ?? bad(`bad gid/group name - ${value}`);
      return;
    case 'i':
      result.interval = parseInterval(value) ?? bad(`bad interval - ${value}`);
      return;
    case 'l':
      result.list = true;
      return;
    case 'L':
      result.label = Buffer.from(value);
      return;
    case 'm':
      result.reservedPercent = parseReservedPercent(value) ?? bad(`bad reserved block ratio - ${value}`);
      return;
    case 'M':
      result.lastMounted = Buffer.from(value);
      return;
    case 'o':
      if (result.mountOptions !== undefined) bad('-o may only be specified once');
      result.mountOptions = value;
      return;
    case 'O':
      if (result.features !== undefined) bad('-O may only be specified once');
      result.features = value;
      return;
    case 'r':
      result.reservedBlocks = parseUnsigned(value) ?? bad(`bad reserved blocks count - ${value}`);
      return;
    case 's':
      result.sparse = Number.parseInt(value, 10) !== 0;
      return;
    case 'T':
      result.lastCheck = parseTime(value, now) ?? bad(`Couldn't parse date/time specifier: ${value}`);
      return;
    case 'u':
      result.reservedUser =
        parseUnsigned(value) ?? accountId(value, 'user') ?? bad(`bad uid/user name - ${value}`);
      return;
    case 'U':
      result.uuid = value;
      return;
    default:
      throw new Failure(`tune2fs: ${REFUSED[letter]} is not supported here\n`);
  }
}

function bad(message: string): never {
  throw new Failure(`tune2fs: ${message}\n${USAGE}`);
}

/** Seconds. */
function parseInterval(text: string): number | undefined {
  const match = /^(.*?)([sdDmMwW]?)$/.exec(text)!;
  const count = parseUnsigned(match[1]!);
  if (count === undefined) return undefined;
  const days = { s: 1 / 86_400, d: 1, m: 30, w: 7 }[match[2]!.toLowerCase()] ?? 1;
  return Math.round(count * days * 86_400);
}
