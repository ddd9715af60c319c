import { UsageError } from '../../../errors.ts';
import { CODE_PAGES, type CodePage } from '../../../filesystem/fat/code-page.ts';
import { NamedFiles } from '../../../filesystem/fat/check/named-files.ts';
import { getopt, type OptionSpec } from '../../getopt.ts';
import { type RefusedOptions, refusedOption } from '../../refused-options.ts';

/** Options that do not go together: the tool says so, and no more. */
export class OptionConflict extends UsageError {}

/** A name for -d or -u that cannot be one: the tool says so, and no more. */
export class NameRefusal extends UsageError {}

export interface CommandLine {
  readonly target: string;
  /** `no`: nothing is written; `automatic`: what is found is mended; `ask`: each is asked. */
  readonly manner: 'no' | 'automatic' | 'ask';
  readonly bootOnly: boolean;
  readonly codePage: CodePage;
  readonly drop: readonly string[];
  readonly undelete: readonly string[];
  readonly upperCaseLabels: boolean;
  readonly testsClusters: boolean;
  readonly salvage: boolean;
  readonly table: number;
  readonly list: boolean;
  readonly noSpaces: boolean;
  readonly verbose: boolean;
  readonly verify: boolean;
  /** What was agreed to is written even when the rest is not gone through, and nobody is asked again at the end. */
  readonly immediate: boolean;
  readonly undoFile: string | undefined;
}

export const OPTIONS: readonly OptionSpec[] = [
  { short: 'a', description: 'repair without asking' },
  { short: 'A', description: 'Atari variant; not supported' },
  { short: 'b', description: 'check the boot sector only, and write nothing' },
  {
    short: 'c',
    argument: 'required',
    argumentName: 'N',
    description: 'DOS code page of short names: 437 or 850, the default',
  },
  {
    short: 'd',
    argument: 'required',
    argumentName: 'PATH',
    description: 'remove this file; can be given several times',
  },
  { short: 'f', description: 'make files of chains that belong to no file; so do -a, -p and -y' },
  {
    short: 'F',
    argument: 'required',
    argumentName: 'NUM',
    description: 'go by this FAT: 1 or 2; 0, the default, is the first intact one',
  },
  { short: 'l', description: 'list the paths of files' },
  { short: 'n', description: 'only check: ask nothing and write nothing' },
  { short: 'p', description: 'the same as -a' },
  { short: 'r', description: 'ask about repairs; the default' },
  { short: 'S', description: 'spaces in the middle of short names are wrong' },
  { short: 't', description: 'read every cluster, and mark bad what cannot be read' },
  {
    short: 'u',
    argument: 'required',
    argumentName: 'PATH',
    description: 'bring back this deleted file, as far as its clusters are free; can be given several times',
  },
  { short: 'U', description: 'lower case in labels is wrong' },
  { short: 'v', description: 'tell more' },
  { short: 'V', description: 'check once more after the repair' },
  {
    long: 'variant',
    argument: 'required',
    argumentName: 'TYPE',
    description: 'standard; atari is not supported',
  },
  {
    short: 'w',
    description: 'do not ask again before the repairs are written: those agreed to stand even after q',
  },
  { short: 'y', description: 'the same as -a' },
  {
    long: 'undo',
    argument: 'required',
    argumentName: 'FILE',
    description: 'keep what is overwritten in the new file FILE',
  },
  { long: 'help', description: 'show this help' },
];

/** What is refused, and what it would be. */
const REFUSED: RefusedOptions = [['A', 'the Atari variant (-A)']];

export function parseCommandLine(argv: readonly string[]): CommandLine | 'help' {
  const args = getopt(argv, OPTIONS);
  if (args.has('help')) return 'help';
  const refused = refusedOption(args, REFUSED);
  if (refused !== undefined) throw new UsageError(`${refused} is not supported`);
  const variant = args.value('variant');
  if (variant !== undefined && variant !== 'standard') {
    throw new UsageError(
      variant === 'atari' ? 'the Atari variant is not supported' : `Unknown variant: ${variant}`,
    );
  }
  const [target, ...excess] = args.operands;
  if (target === undefined || excess.length > 0) throw new UsageError('');
  // The last of these counts.
  const last = args.options.findLast(({ spec }) => 'apyr'.includes(spec.short ?? '-'))?.spec.short;
  const bootOnly = args.has('b');
  const manner = args.has('n') || bootOnly ? 'no' : last === undefined || last === 'r' ? 'ask' : 'automatic';
  const immediate = args.has('w');
  const drop = args.options.filter(({ spec }) => spec.short === 'd').map(({ value }) => pathOf(value!));
  const undelete = args.options.filter(({ spec }) => spec.short === 'u').map(({ value }) => pathOf(value!));
  checkNames(drop, undelete);
  if ((immediate || args.has('t')) && manner === 'no')
    throw new OptionConflict('-t and -w can not be used in read only mode');
  return {
    target,
    manner,
    immediate,
    bootOnly,
    codePage: codePageOf(args.value('c')),
    drop,
    undelete,
    upperCaseLabels: args.has('U'),
    testsClusters: args.has('t'),
    // Whoever is not asked is not to lose anything.
    salvage: ['f', 'a', 'p', 'y'].some((name) => args.has(name)),
    table: tableOf(args.value('F')),
    list: args.has('l'),
    noSpaces: args.has('S'),
    verbose: args.has('v'),
    verify: args.has('V'),
    undoFile: args.value('undo'),
  };
}

function codePageOf(text: string | undefined): CodePage {
  if (text === undefined || text === '850') return CODE_PAGES[850];
  if (text === '437') return CODE_PAGES[437];
  throw new UsageError(`Invalid codepage : ${text}`);
}

function tableOf(text: string | undefined): number {
  if (text === undefined) return 0;
  if (/^[012]$/.test(text)) return Number(text);
  throw new UsageError(`Invalid FAT table : ${text}`);
}

function pathOf(text: string): string {
  if (text.startsWith('/')) return text;
  throw new NameRefusal(`${text}: Absolute path required.`, 1);
}

function checkNames(drop: readonly string[], undelete: readonly string[]): void {
  try {
    void new NamedFiles(drop, undelete);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new NameRefusal(error.message, error.exitStatus);
  }
}
