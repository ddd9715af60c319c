import { UsageError } from '../../../errors.ts';
import { getopt, type OptionSpec, type ParsedArguments } from '../../getopt.ts';
import { type RefusedOptions, refusedOption } from '../../refused-options.ts';

/** Extended options about how the tool goes about its work: what comes out is the same, so here they ask for nothing. */
const IDLE_OPTIONS: ReadonlySet<string> = new Set([
  'nodiscard',
  'no_optimize_extents',
  'inode_count_fullmap',
  'no_inode_count_fullmap',
]);
/** Those that the tool has, and that are refused here. */
const REFUSED_OPTIONS: ReadonlySet<string> = new Set([
  'ea_ver',
  'fragcheck',
  'discard',
  'optimize_extents',
  'bmap2extent',
  'unshare_blocks',
  'fixes_only',
  'check_encoding',
]);

/** Options that do not go together. */
export class IncompatibleError extends UsageError {
  override readonly exitStatus = 8;
}

/** What the tool says in words of its own, and no more: extended options that are none, a number that is none. */
export class PlainUsageError extends UsageError {
  override readonly exitStatus = 1;
}

export interface CommandLine {
  readonly target: string;
  /** What is done about a finding: nothing, what is safe, everything, what the person says. */
  readonly manner: 'no' | 'preen' | 'yes' | 'ask';
  readonly force: boolean;
  readonly verbose: boolean;
  /** In blocks; undefined: the first. */
  readonly superblock: number | undefined;
  readonly blockSize: number | undefined;
  readonly undoFile: string | undefined;
  /** Name of the device with the journal. */
  readonly externalJournal: string | undefined;
  /** Without -f, the journal is replayed and no more is done. */
  readonly journalOnly: boolean;
  readonly version: boolean;
  /** Where progress is told: 0 is a bar. */
  readonly progress: number | undefined;
  /** 0: no times are told, 1: those of the whole, 2: those of each pass. */
  readonly times: number;
  /** All directories are laid out anew. */
  readonly optimises: boolean;
  /** What becomes of the list of bad blocks: without a file, every block is read. */
  readonly badBlocks: { readonly file: string | undefined; readonly replaces: boolean } | undefined;
}

export const OPTIONS: readonly OptionSpec[] = [
  { short: 'a', description: 'the same as -p' },
  {
    short: 'b',
    argument: 'required',
    argumentName: 'SUPERBLOCK',
    description: 'go by the copy of the superblock in this block',
  },
  { short: 'B', argument: 'required', argumentName: 'BLOCKSIZE', description: 'bytes of a block, for -b' },
  {
    short: 'c',
    description:
      'read every block and make a list of those that cannot be read; twice, to write them too, is not supported',
  },
  {
    short: 'C',
    argument: 'required',
    argumentName: 'FD',
    description:
      'tell how far the check is: 0 draws a bar, another number is a descriptor that gets lines of pass, parts done, parts in all and device',
  },
  { short: 'd', description: 'debugging output; not supported' },
  { short: 'D', description: 'lay out all directories anew, with indexes where they are worth it' },
  {
    short: 'E',
    argument: 'required',
    argumentName: 'OPTIONS',
    description:
      'extended options: journal_only, which replays the journal and does no more unless -f is given; nodiscard, no_optimize_extents, inode_count_fullmap, no_inode_count_fullmap and readahead_kb=N, which say how the tool works and change nothing here',
  },
  { short: 'f', description: 'check although the file system seems clean' },
  { short: 'F', description: 'flush buffers first: there are none, so nothing happens' },
  {
    short: 'j',
    argument: 'required',
    argumentName: 'JOURNAL',
    description: 'where the journal is that the file system has on another device',
  },
  { short: 'k', description: 'keep what is on the list of bad blocks, with -c' },
  {
    short: 'l',
    argument: 'required',
    argumentName: 'FILE',
    description: 'add the bad blocks that are listed in FILE',
  },
  {
    short: 'L',
    argument: 'required',
    argumentName: 'FILE',
    description: 'make the bad blocks those that are listed in FILE',
  },
  { short: 'n', description: 'write nothing, answer every question with no' },
  { short: 'p', description: 'repair what is safe, without asking' },
  { short: 'r', description: 'ask; it does nothing, as with the tool' },
  { short: 't', description: 'tell memory and times; given twice, those of each pass' },
  { short: 'v', description: 'tell more at the end' },
  { short: 'V', description: 'print the version' },
  { short: 'y', description: 'answer every question with yes' },
  {
    short: 'z',
    argument: 'required',
    argumentName: 'FILE',
    description: 'keep what is overwritten in the new file FILE',
  },
];

const REFUSED: RefusedOptions = [['d', 'debugging output (-d)']];

export function parseCommandLine(argv: readonly string[]): CommandLine {
  const args = getopt(argv, OPTIONS);
  const refused = refusedOption(args, REFUSED);
  if (refused !== undefined) throw new UsageError(`${refused} is not supported`);
  const extended = args.value('E') ?? '';
  checkExtendedOptions(extended);
  const [target, ...excess] = args.operands;
  const version = args.has('V');
  if ((target === undefined && !version) || excess.length > 0) throw new UsageError('');
  const manners = ['n', 'p', 'y'].filter((name) => args.has(name) || (name === 'p' && args.has('a')));
  if (manners.length > 1) throw new UsageError('Only one of the options -p/-a, -n or -y may be specified.');
  const isReadOnly = args.has('n');
  if (isReadOnly && args.has('D')) throw new IncompatibleError('The -n and -D options are incompatible.');
  const undoFile = args.value('z');
  if (undoFile !== undefined && args.has('j'))
    throw new UsageError('an undo file (-z) together with an external journal (-j) is not supported');
  return {
    target: target ?? '',
    manner: ({ n: 'no', p: 'preen', y: 'yes' } as const)[manners[0] ?? ''] ?? 'ask',
    force: args.has('f'),
    verbose: args.has('v'),
    superblock: numberOf(args, 'b'),
    blockSize: numberOf(args, 'B'),
    undoFile,
    externalJournal: args.value('j'),
    journalOnly: extended.split(',').includes('journal_only'),
    version,
    optimises: args.has('D'),
    badBlocks: badBlocksOf(args),
    progress: progressOf(args.value('C')),
    times: args.options.filter(({ spec }) => spec.short === 't').length,
  };
}

function badBlocksOf(args: ParsedArguments): CommandLine['badBlocks'] {
  const file = args.options.findLast(({ spec }) => spec.short === 'l' || spec.short === 'L')?.value;
  const count = args.options.filter(({ spec }) => spec.short === 'c').length;
  if (args.has('n') && (file ?? '') !== '')
    throw new IncompatibleError('The -n and -l/-L options are incompatible.');
  if (count > 1) throw new UsageError('the search for bad blocks by writing (-cc) is not supported');
  if (args.has('n') && count > 0) throw new IncompatibleError('The -n and -c options are incompatible.');
  if (count > 0 && file !== undefined)
    throw new IncompatibleError('The -c and the -l/-L options may not be both used at the same time.');
  if (count > 0) return { file: undefined, replaces: !args.has('k') };
  return file === undefined ? undefined : { file, replaces: args.has('L') };
}

function progressOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\s*[-+]?(0x[\da-f]+|\d+)$/i.test(text) ? Number.parseInt(text) : Number.NaN;
  if (Number.isNaN(value)) throw new PlainUsageError(`\nInvalid non-numeric argument to -C ("${text}")\n\n`);
  if (value < 0)
    throw new UsageError('progress that begins with a signal (-C with a negative number) is not supported');
  return value;
}

function numberOf(args: ParsedArguments, name: string): number | undefined {
  const text = args.value(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(`"${text}" is not a number of ${name === 'b' ? 'a block' : 'bytes'}`);
}

function checkExtendedOptions(list: string): void {
  let problem = '';
  for (const option of list.split(',')) {
    const [name = '', value] = option.split('=');
    if (name === '' || name === 'journal_only' || IDLE_OPTIONS.has(name)) continue;
    if (REFUSED_OPTIONS.has(name)) throw new UsageError(`the extended option ${name} is not supported`);
    if (name !== 'readahead_kb') problem += `Unknown extended option: ${name}\n`;
    else if (value === undefined || !/^\d+$/.test(value)) problem += 'Invalid readahead buffer size.\n';
  }
  if (problem !== '') throw new PlainUsageError(problem + EXTENDED_USAGE);
}

const EXTENDED_USAGE = `
Extended options are separated by commas, and may take an argument which
is set off by an equals ('=') sign.  Valid extended options are:

\tea_ver=<ea_version (1 or 2)>
\tfragcheck
\tjournal_only
\tdiscard
\tnodiscard
\toptimize_extents
\tno_optimize_extents
\tinode_count_fullmap
\tno_inode_count_fullmap
\treadahead_kb=<buffer size>
\tbmap2extent
\tunshare_blocks
\tfixes_only
\tcheck_encoding

`;
