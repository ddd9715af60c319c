import { CreatorOs, ErrorBehavior } from '../../../filesystem/ext/format/parameters.ts';
import type { OptionSpec } from '../../getopt.ts';
import type { Io } from '../../io.ts';
import { parseOptions } from '../e2fsprogs/command-line.ts';
import { Failure } from '../e2fsprogs/failure.ts';
import { USAGE } from './usage.ts';
import { type JournalChoice, parseJournalOptions } from './journal-options.ts';
import { parseCount, parseReservedPercent, parseUnsigned } from '../e2fsprogs/numbers.ts';

export const OPTIONS: readonly OptionSpec[] = [
  {
    short: 'b',
    argument: 'required',
    argumentName: 'SIZE',
    description: 'block size in bytes, a power of two from 1024 to 65536; -SIZE for at least SIZE',
  },
  { short: 'c', description: 'read the whole device for bad blocks first; twice: write and read it' },
  { short: 'D', description: 'accepted for compatibility: writes go through the page cache all the same' },
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
      'extended options: offset=, resize=, stride=, stripe_width=, num_backup_sb=, hash_seed=, root_owner[=UID:GID], discard, nodiscard, test_fs',
  },
  { short: 'F', description: 'go on where the tool would ask' },
  { short: 'g', argument: 'required', argumentName: 'COUNT', description: 'blocks per group' },
  {
    short: 'G',
    argument: 'required',
    argumentName: 'COUNT',
    description: 'with flex_bg: groups whose tables lie together, a power of two; 16 by default',
  },
  { short: 'i', argument: 'required', argumentName: 'BYTES', description: 'bytes of volume per inode' },
  { short: 'I', argument: 'required', argumentName: 'BYTES', description: 'inode size' },
  {
    short: 'l',
    argument: 'required',
    argumentName: 'FILE',
    description: 'take the list of bad blocks from FILE',
  },
  { short: 'L', argument: 'required', argumentName: 'LABEL', description: 'volume label, at most 16 bytes' },
  {
    short: 'm',
    argument: 'required',
    argumentName: 'PERCENT',
    description: 'blocks reserved for the superuser, 5 by default',
  },
  {
    short: 'M',
    argument: 'required',
    argumentName: 'PATH',
    description: 'where the volume was last mounted',
  },
  { short: 'n', description: 'say what would be done and do nothing' },
  { short: 'N', argument: 'required', argumentName: 'COUNT', description: 'number of inodes' },
  {
    short: 'o',
    argument: 'required',
    argumentName: 'OS',
    description: 'creator: Linux, Hurd, FreeBSD, Lites or a number',
  },
  {
    short: 'O',
    argument: 'required',
    argumentName: 'FEATURE[,...]',
    description: 'features to set, or with ^ to clear; none clears all',
  },
  { short: 'q', description: 'print nothing but errors' },
  {
    short: 'r',
    argument: 'required',
    argumentName: 'REVISION',
    description: 'revision 0 (no features) or 1',
  },
  { short: 'R', argument: 'required', argumentName: 'OPTION[,...]', description: 'the old name of -E' },
  { short: 'K', description: 'the old name of -E nodiscard' },
  {
    short: 's',
    argument: 'required',
    argumentName: 'NUMBER',
    description: 'accepted and without effect, as in the tool',
  },
  { short: 'S', description: 'write superblocks and descriptors only' },
  {
    short: 't',
    argument: 'required',
    argumentName: 'TYPE',
    description: 'file-system type: ext2, ext3 or ext4',
  },
  {
    short: 'T',
    argument: 'required',
    argumentName: 'USAGE[,...]',
    description: 'usage type: floppy, small, default, big, huge, news, largefile, largefile4',
  },
  { short: 'U', argument: 'required', argumentName: 'UUID', description: 'UUID, or clear, random or time' },
  { short: 'v', description: 'print more' },
  { short: 'V', description: 'print the version' },
  {
    short: 'C',
    argument: 'required',
    argumentName: 'BYTES',
    description: 'with bigalloc: cluster size, a power of two; 16 blocks by default',
  },
  {
    short: 'd',
    argument: 'required',
    argumentName: 'SOURCE',
    description: 'fill it with what is in a folder or in a tar archive',
  },
  { short: 'j', description: 'a journal, as -O has_journal' },
  {
    short: 'J',
    argument: 'required',
    argumentName: 'OPTION[,...]',
    description: 'a journal with size= (MiB), fast_commit_size= (KiB) and location= (blocks)',
  },
  { short: 'z', argument: 'required', argumentName: 'FILE', description: 'refused: undo file' },
];

/** The command line, understood but for what depends on the device. */
export interface CommandLine {
  device?: string;
  /** The operand as it was typed. */
  size?: string;
  blockSize?: number;
  minimumBlockSize?: number;
  /** How often `-c` was given. */
  check: number;
  badBlocksFile?: string;
  errorBehavior?: keyof typeof ErrorBehavior;
  extended: string;
  force: boolean;
  blocksPerGroup?: number;
  /** Groups whose tables lie together. */
  flexGroups?: number;
  /** Bytes. */
  clusterSize?: number;
  journal?: JournalChoice;
  /** `-j` was given. */
  wantsJournal?: boolean;
  /** A folder or an archive whose files are copied. */
  source?: string;
  inodeRatio?: number;
  inodeSize?: number;
  label?: Uint8Array;
  reservedPercent?: number;
  lastMounted?: Uint8Array;
  dryRun: boolean;
  inodeCount?: number;
  creatorOs?: string;
  features?: string;
  quiet: boolean;
  revision?: 0 | 1;
  superblockOnly: boolean;
  type?: string;
  usage?: readonly string[];
  uuid?: string;
  verbose: boolean;
  version: boolean;
  discard?: boolean;
}

const LABEL_LENGTH = 16;
const LAST_MOUNTED_LENGTH = 64;
/** Bytes. */
const LARGEST_CLUSTER = 2 ** 29;

export function parseCommandLine(io: Io, argv: readonly string[], name: string): CommandLine {
  const result: CommandLine = {
    check: 0,
    extended: '',
    force: false,
    dryRun: false,
    quiet: false,
    superblockOnly: false,
    verbose: false,
    version: false,
  };
  const parsed = parseOptions(argv, OPTIONS, { name, usage: USAGE });
  for (const { spec, value } of parsed.options) applyOption(io, result, spec.short!, value ?? '', name);
  const [device, size, ...more] = parsed.operands;
  if (device !== undefined) result.device = device;
  if (size !== undefined) result.size = size;
  if (device === undefined && !result.version) throw new Failure(USAGE);
  if (!result.quiet || result.version) io.stderr.write('mke2fs 1.47.0 (5-Feb-2023)\n');
  if (more.length > 0) throw new Failure(USAGE);
  return result;
}

function applyOption(io: Io, result: CommandLine, letter: string, value: string, name: string): void {
  const fail = (message: string): never => {
    throw new Failure(`${name}: ${message}\n`);
  };
  switch (letter) {
    case 'b': {
      const atLeast = value.startsWith('-');
      const size = parseCount(atLeast ? value.slice(1) : value, 1);
      if (size < 1024 || size > 65536) fail(`invalid block size - ${value}`);
      if (size > 4096 && !atLeast)
        io.stderr.write(`Warning: blocksize ${size} not usable on most systems.\n`);
      // A size between two powers of two counts as the lower one.
      const power = 2 ** Math.floor(Math.log2(size));
      if (atLeast) result.minimumBlockSize = power;
      else result.blockSize = power;
      return;
    }
    case 'c':
      result.check++;
      return;
    case 'D':
    case 's':
      return;
    case 'e':
      if (!Object.hasOwn(ErrorBehavior, value))
        throw new Failure(`${name}: bad error behavior - ${value}\n${USAGE}`);
      result.errorBehavior = value as keyof typeof ErrorBehavior;
      return;
    case 'R':
      io.stderr.write(`${name}: '-R' is deprecated, use '-E' instead\n`);
      result.extended = value;
      return;
    case 'E':
      result.extended = value;
      return;
    case 'F':
      result.force = true;
      return;
    case 'g': {
      const count = parseUnsigned(value) ?? fail('Illegal number for blocks per group');
      if (count % 8 !== 0) fail('blocks per group must be multiple of 8');
      result.blocksPerGroup = count;
      return;
    }
    case 'G': {
      const count = parseUnsigned(value) ?? fail('Illegal number for flex_bg size');
      if (count < 1 || !Number.isInteger(Math.log2(count))) fail('flex_bg size must be a power of 2');
      if (count > 2 ** 31) fail(`flex_bg size (${count}) must be less than or equal to 2^31`);
      result.flexGroups = count;
      return;
    }
    case 'i': {
      const ratio = parseCount(value, 1);
      if (ratio < 1024 || ratio > 65536 * 1024) fail(`invalid inode ratio ${value} (min 1024/max 67108864)`);
      result.inodeRatio = ratio;
      return;
    }
    case 'I':
      result.inodeSize = parseUnsigned(value) ?? fail(`invalid inode size - ${value}`);
      return;
    case 'K':
      io.stderr.write(
        'Warning: -K option is deprecated and should not be used anymore. ' +
          "Use '-E nodiscard' extended option instead!\n",
      );
      result.discard = false;
      return;
    case 'l':
      result.badBlocksFile = value;
      return;
    case 'L': {
      const bytes = Buffer.from(value);
      result.label = bytes.subarray(0, LABEL_LENGTH);
      if (bytes.length > LABEL_LENGTH) {
        io.stderr.write("Warning: label too long; will be truncated to '");
        io.stderr.write(result.label);
        io.stderr.write("'\n\n");
      }
      return;
    }
    case 'm':
      result.reservedPercent =
        parseReservedPercent(value) ?? fail(`invalid reserved blocks percent - ${value}`);
      return;
    case 'M':
      result.lastMounted = Buffer.from(value).subarray(0, LAST_MOUNTED_LENGTH);
      return;
    case 'n':
      result.dryRun = true;
      return;
    case 'N':
      result.inodeCount = parseUnsigned(value) ?? fail(`bad num inodes - ${value}`);
      return;
    case 'o':
      result.creatorOs = value;
      return;
    case 'O':
      result.features = value;
      return;
    case 'q':
      result.quiet = true;
      return;
    case 'r': {
      const revision = parseUnsigned(value) ?? fail(`bad revision level - ${value}`);
      if (revision > 1) fail(`Filesystem revision too high while trying to create revision ${revision}`);
      result.revision = revision === 0 ? 0 : 1;
      return;
    }
    case 'S':
      result.superblockOnly = true;
      return;
    case 't':
      if (result.type !== undefined) fail('The -t option may only be used once');
      result.type = value;
      return;
    case 'T':
      if (result.usage !== undefined) fail('The -T option may only be used once');
      result.usage = value.split(',');
      return;
    case 'U':
      result.uuid = value;
      return;
    case 'v':
      result.verbose = true;
      return;
    case 'V':
      result.version = true;
      return;
    case 'C': {
      const size = parseCount(value, 1);
      if (size <= 1024 || size > LARGEST_CLUSTER || !Number.isInteger(Math.log2(size)))
        fail(`invalid cluster size - ${value}`);
      result.clusterSize = size;
      return;
    }
    case 'd':
      result.source = value;
      return;
    case 'j':
      result.wantsJournal = true;
      result.journal ??= {};
      return;
    case 'J':
      result.journal = parseJournalOptions(io, value, name);
      return;
    default:
      fail(`-${letter} is not supported: there is no undo file`);
  }
}

/** `s_creator_os` of a name or a number; undefined when it is neither. */
export function parseCreatorOs(text: string): number | undefined {
  const name = text.toLowerCase();
  if (name === 'gnu') return CreatorOs.hurd;
  if (name !== 'masix' && Object.hasOwn(CreatorOs, name)) return CreatorOs[name as keyof typeof CreatorOs];
  return /^\d/.test(text) ? (parseUnsigned(text) ?? undefined) : undefined;
}
