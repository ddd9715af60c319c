import { type BackendChoice, parseBackendChoice } from '../../../attach/backend-choice.ts';
import { UsageError } from '../../../errors.ts';
import { type OptionSpec, type ParsedArguments, getopt } from '../../getopt.ts';
import { type Column, chooseColumns } from './columns.ts';
import { parseNumber } from './size.ts';

/** What a command line asks for. */
export type Command = {
  readonly backend: BackendChoice | undefined;
  /** What is wrong with the options, to be told once the device's name has proved good. */
  readonly complaint: string | undefined;
} & Action;

export type Action =
  | { readonly kind: 'help' | 'version' | 'find' | 'detach all' }
  | { readonly kind: 'all'; readonly listing: Listing | undefined }
  | { readonly kind: 'status'; readonly name: string; readonly listing: Listing | undefined }
  | {
      readonly kind: 'associated';
      readonly file: string;
      /** Bytes; undefined: any. */
      readonly offset: number | undefined;
      readonly listing: Listing | undefined;
    }
  | { readonly kind: 'detach'; readonly names: readonly string[] }
  | { readonly kind: 'resize'; readonly name: string }
  | {
      readonly kind: 'change';
      readonly name: string;
      readonly sectorSize: number | undefined;
      readonly directIo: boolean | undefined;
    }
  | SetUp;

export interface SetUp {
  readonly kind: 'set up';
  /** Undefined: the first that is free. */
  readonly name: string | undefined;
  readonly file: string;
  /** Bytes. */
  readonly offset: number;
  /** Bytes; 0: to the end. */
  readonly sizeLimit: number;
  /** Bytes; 0: the default. */
  readonly sectorSize: number;
  readonly partitionScan: boolean;
  readonly readOnly: boolean;
  readonly directIo: boolean;
  readonly noOverlap: boolean;
  readonly show: boolean;
}

/** The new format; the old one is one line a device. */
export interface Listing {
  readonly form: 'table' | 'raw' | 'json';
  readonly headings: boolean;
  readonly columns: readonly Column[];
}

function flag(short: string | undefined, long: string, description: string): OptionSpec {
  return { ...(short === undefined ? {} : { short }), long, description };
}

function valued(
  short: string | undefined,
  long: string,
  argumentName: string,
  description: string,
): OptionSpec {
  return { ...flag(short, long, description), argument: 'required', argumentName };
}

export const OPTIONS: readonly OptionSpec[] = [
  flag('a', 'all', 'list all used devices, a line each in the old format'),
  valued('d', 'detach', 'LOOPDEV...', 'detach one or more devices'),
  flag('D', 'detach-all', 'detach all used devices'),
  flag('f', 'find', 'find the first unused device: print it, or use it for FILE'),
  valued('c', 'set-capacity', 'LOOPDEV', 'take the size of the file anew'),
  valued('j', 'associated', 'FILE', 'list all devices of FILE'),
  flag(
    'L',
    'nooverlap',
    'refuse a part of the file that another device has; use the device that has just this',
  ),
  valued('o', 'offset', 'NUM', 'start at byte NUM of the file'),
  valued('b', 'sector-size', 'NUM', 'logical sector size: a power of two from 512 bytes'),
  valued(undefined, 'sizelimit', 'NUM', 'use at most NUM bytes of the file'),
  flag('P', 'partscan', 'make the partitions available, too'),
  flag('r', 'read-only', 'set up a read-only device'),
  {
    long: 'direct-io',
    argument: 'optional',
    argumentName: 'on|off',
    description: 'read and write the file with O_DIRECT',
  },
  flag('s', 'show', 'print the name of the device that was set up'),
  flag('v', 'verbose', 'has no effect, as in the classic tool'),
  flag('J', 'json', 'print the list as JSON'),
  flag('l', 'list', 'list all devices or the one that is named (default)'),
  flag('n', 'noheadings', 'no headings in the list'),
  valued('O', 'output', 'COLUMNS', 'the columns of the list, with commas; +COLUMNS adds to the usual ones'),
  flag(undefined, 'output-all', 'all columns'),
  flag(undefined, 'raw', 'print the list for scripts'),
  valued(
    undefined,
    'backend',
    'auto|kernel|user',
    "whose devices: the kernel's, ours, or for auto all that there are",
  ),
  flag('h', 'help', 'display this help'),
  flag('V', 'version', 'display the version of the tool this one stands in for'),
];

/** Sets of options of which a command line can have one; the messages name them in this order. */
const EXCLUSIVE: readonly (readonly string[])[] = [
  ['detach-all', 'all', 'set-capacity', 'detach', 'find', 'associated'],
  ['detach-all', 'set-capacity', 'detach', 'find', 'list'],
  ['json', 'raw'],
];

/** Throws UsageError with the tool's message; an empty message is an error that the tool does not explain. */
export function parseCommand(argv: readonly string[]): Command {
  const args = getopt(argv, OPTIONS);
  const first = args.options.find(({ spec }) => spec.long === 'help' || spec.long === 'version');
  const none = { backend: undefined, complaint: undefined };
  if (first !== undefined) return { kind: first.spec.long === 'help' ? 'help' : 'version', ...none };
  checkExclusive(args);
  const backend = args.value('backend');
  const listing = parseListing(args, argv);
  const setUp = parseSetUp(args);
  const action = parseAction(args, listing, setUp);
  return {
    ...action,
    backend: backend === undefined ? undefined : parseBackendChoice(backend, '--backend'),
    complaint: complaintOf(args, action, setUp),
  };
}

function checkExclusive(args: ParsedArguments): void {
  for (const set of EXCLUSIVE) {
    if (set.filter((name) => args.has(name)).length < 2) continue;
    throw new UsageError(`mutually exclusive arguments: ${set.map((name) => `--${name}`).join(' ')}`, 1);
  }
}

/** Numbers that no device can have are EOVERFLOW when it is set up. */
type Numbers = Omit<SetUp, 'kind' | 'name' | 'file'>;

function parseSetUp(args: ParsedArguments): Numbers {
  function number(name: string, what: string): number {
    const text = args.value(name);
    return text === undefined ? 0 : Number(parseNumber(text, `failed to parse ${what}`));
  }
  const directIo = args.value('direct-io') ?? 'on';
  if (directIo !== 'on' && directIo !== 'off') throw new UsageError(`argument error: '${directIo}'`, 1);
  return {
    offset: number('offset', 'offset'),
    sizeLimit: number('sizelimit', 'size'),
    sectorSize: number('sector-size', 'logical block size'),
    partitionScan: args.has('partscan'),
    readOnly: args.has('read-only'),
    directIo: args.has('direct-io') && directIo === 'on',
    noOverlap: args.has('nooverlap'),
    show: args.has('show'),
  };
}

function parseListing(args: ParsedArguments, argv: readonly string[]): Listing | undefined {
  const columns = chooseColumns(args.has('output-all'), args.value('output'));
  if (!args.has('list') && !args.has('output') && !isBareForm(args, argv)) return undefined;
  return {
    form: args.has('json') ? 'json' : args.has('raw') ? 'raw' : 'table',
    headings: !args.has('noheadings'),
    columns,
  };
}

/** `losetup`, `losetup --json`, `losetup --raw`: the list without -l. */
function isBareForm(args: ParsedArguments, argv: readonly string[]): boolean {
  const own = args.options.filter(({ spec }) => spec.long !== 'backend');
  if (args.operands.length > 0 || own.length > 1) return false;
  if (own.length === 0) return !argv.includes('--');
  return own[0]!.spec.long === 'json' || own[0]!.spec.long === 'raw';
}

function parseAction(args: ParsedArguments, listing: Listing | undefined, setUp: Numbers): Action {
  const [one, two, three] = args.operands;
  if (args.has('find')) {
    if (one === undefined) return { kind: 'find' };
    if (two !== undefined) throw new UsageError('unexpected arguments', 1);
    return { kind: 'set up', name: undefined, file: one, ...setUp };
  }
  if (args.has('all')) return { kind: 'all', listing };
  if (args.has('detach-all')) return { kind: 'detach all' };
  if (args.has('detach')) return { kind: 'detach', names: [args.value('detach')!, ...args.operands] };
  if (args.has('set-capacity')) return { kind: 'resize', name: args.value('set-capacity')! };
  if (args.has('associated')) {
    const offset = args.has('offset') ? setUp.offset : undefined;
    return { kind: 'associated', file: args.value('associated')!, offset, listing };
  }
  if (one === undefined) {
    if (listing !== undefined) return { kind: 'all', listing };
    throw new UsageError('no loop device specified', 1);
  }
  if (two !== undefined) {
    // The classic tool sets up the first two and says nothing of the rest.
    if (three !== undefined) throw new UsageError('unexpected arguments', 1);
    return { kind: 'set up', name: one, file: two, ...setUp };
  }
  if (args.has('sector-size') || args.has('direct-io')) {
    return {
      kind: 'change',
      name: one,
      sectorSize: args.has('sector-size') ? setUp.sectorSize : undefined,
      directIo: args.has('direct-io') ? setUp.directIo : undefined,
    };
  }
  return { kind: 'status', name: one, listing };
}

function complaintOf(args: ParsedArguments, action: Action, setUp: Numbers): string | undefined {
  if (action.kind === 'set up') return undefined;
  const direct = setUp.directIo && action.kind !== 'change';
  if (setUp.sizeLimit !== 0 || setUp.partitionScan || setUp.readOnly || setUp.show || direct) {
    return 'the options --{sizelimit,partscan,read-only,show} are allowed during loop device setup only';
  }
  if (args.has('offset') && action.kind !== 'associated') {
    return 'the option --offset is not allowed in this context';
  }
  return undefined;
}
