import { UsageError } from '../../../errors.ts';
import { type OptionSpec, type ParsedArguments, getopt } from '../../getopt.ts';
import type { MountOption } from './option-list.ts';
import { parseOptionList } from './option-list.ts';

export const MOUNT_OPTIONS: readonly OptionSpec[] = [
  {
    short: 't',
    long: 'types',
    argument: 'required',
    argumentName: 'LIST',
    description: 'type of the file system, or several; no before a list takes all others',
  },
  {
    short: 'o',
    long: 'options',
    argument: 'required',
    argumentName: 'LIST',
    description: 'mount options, separated by commas',
  },
  { short: 'r', long: 'read-only', description: 'mount read-only, as -o ro does' },
  { short: 'w', long: 'rw', description: 'mount read-write, which is the default' },
  { long: 'read-write', description: 'the same' },
  { short: 'v', long: 'verbose', description: 'say what is being done' },
  { short: 'f', long: 'fake', description: 'do everything but the mount itself' },
  { short: 'n', long: 'no-mtab', description: 'do not write /etc/mtab, which is never written' },
  {
    short: 'i',
    long: 'internal-only',
    description: 'do not call mount.TYPE helpers, which are never called',
  },
  { short: 'c', long: 'no-canonicalize', description: 'take paths as they are' },
  {
    short: 'm',
    long: 'mkdir',
    argument: 'optional',
    argumentName: 'MODE',
    description: 'make the directory when it is not there, as -o X-mount.mkdir does',
  },
  { short: 'a', long: 'all', description: 'mount what fstab lists, except for noauto' },
  {
    short: 'O',
    long: 'test-opts',
    argument: 'required',
    argumentName: 'LIST',
    description: 'with -a: only entries with these options',
  },
  {
    short: 'T',
    long: 'fstab',
    argument: 'required',
    argumentName: 'FILE',
    description: 'instead of /etc/fstab; the variable USERLOOP_FSTAB names one, too',
  },
  { short: 'l', long: 'show-labels', description: 'show labels in the list of mounts' },
  {
    short: 'L',
    long: 'label',
    argument: 'required',
    argumentName: 'LABEL',
    description: 'mount the file system with this label',
  },
  {
    short: 'U',
    long: 'uuid',
    argument: 'required',
    argumentName: 'UUID',
    description: 'mount the file system with this UUID',
  },
  { long: 'source', argument: 'required', argumentName: 'SOURCE', description: 'what is to be mounted' },
  { long: 'target', argument: 'required', argumentName: 'DIR', description: 'where it is to be mounted' },
  {
    long: 'target-prefix',
    argument: 'required',
    argumentName: 'DIR',
    description: 'a directory below which all targets lie',
  },
  { short: 'B', long: 'bind', description: 'show a directory at another place, too' },
  { short: 'R', long: 'rbind', description: 'the same with all that is mounted below it' },
  { short: 'M', long: 'move', description: 'move a mount to another place' },
  ...['shared', 'slave', 'private', 'unbindable', 'rshared', 'rslave', 'rprivate', 'runbindable'].map(
    (kind) => ({ long: `make-${kind}`, description: `change the propagation of a mount: ${kind}` }),
  ),
  {
    long: 'backend',
    argument: 'required',
    argumentName: 'KIND',
    description: "auto, kernel (root only) or user; auto is the kernel's for root",
  },
  { short: 'h', long: 'help', description: 'print this help' },
  { short: 'V', long: 'version', description: 'print the version' },
];

/** A command line of mount(8), checked. */
export interface MountCommand {
  readonly action: 'help' | 'version' | 'list' | 'all' | 'mount';
  readonly types: string | undefined;
  readonly options: readonly MountOption[];
  readonly optionPattern: string | undefined;
  readonly verbose: boolean;
  readonly fake: boolean;
  readonly canonicalize: boolean;
  readonly showLabels: boolean;
  readonly fstab: string | undefined;
  /** What is to be mounted; undefined: fstab says. */
  readonly source: string | undefined;
  readonly target: string | undefined;
  /** The one operand that is either of the two. */
  readonly either: string | undefined;
  readonly targetPrefix: string;
  readonly backend: 'auto' | 'kernel' | 'user' | undefined;
}

/** Throws UsageError, with status 1 as the tool has it. */
export function parseMountCommand(argv: readonly string[]): MountCommand {
  const parsed = parse(argv);
  const options = collectOptions(parsed);
  const common = {
    types: parsed.value('t'),
    options,
    optionPattern: parsed.value('O'),
    verbose: parsed.has('v'),
    fake: parsed.has('f'),
    canonicalize: !parsed.has('c'),
    showLabels: parsed.has('l'),
    fstab: parsed.value('T'),
    targetPrefix: parsed.value('target-prefix') ?? '',
    backend: backendOf(parsed.value('backend')),
    source: undefined,
    target: undefined,
    either: undefined,
  };
  if (parsed.has('h')) return { ...common, action: 'help' };
  if (parsed.has('V')) return { ...common, action: 'version' };
  if (parsed.has('a')) return { ...common, action: 'all' };

  const tag = sourceOption(parsed);
  const operands = [...parsed.operands];
  let source = tag;
  let target = parsed.value('target');
  let either: string | undefined;
  const wanted = (source === undefined ? 1 : 0) + (target === undefined ? 1 : 0);
  if (operands.length > wanted) throw badUsage();
  if (operands.length === 2) [source, target] = operands;
  else if (operands.length === 1) {
    if (source !== undefined) target = operands[0];
    else if (target !== undefined) source = operands[0];
    else either = operands[0];
  }
  if (source === undefined && target === undefined && either === undefined) {
    // Whoever gave options of a mount wanted one.
    if (options.length > 0 || parsed.has('O')) throw badUsage();
    return { ...common, action: 'list' };
  }
  return { ...common, action: 'mount', source, target, either };
}

/** The tool does not point to its help here. */
export class ExclusiveOptions extends UsageError {
  constructor() {
    super('mutually exclusive arguments: --label --uuid --source', 1);
  }
}

export function badUsage(): UsageError {
  return new UsageError('bad usage', 1);
}

function parse(argv: readonly string[]): ParsedArguments {
  try {
    return getopt(argv, MOUNT_OPTIONS);
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(error.message, 1);
    throw error;
  }
}

/** All that stands for mount options, in the order of the command line. */
function collectOptions(parsed: ParsedArguments): MountOption[] {
  return parsed.options.flatMap(({ spec, value }): MountOption[] => {
    const { long = '' } = spec;
    if (long === 'options') return parseOptionList(value ?? '');
    if (long === 'read-only') return [{ name: 'ro', value: undefined }];
    if (long === 'rw' || long === 'read-write') return [{ name: 'rw', value: undefined }];
    if (long === 'mkdir') return [{ name: 'X-mount.mkdir', value }];
    if (long === 'bind' || long === 'rbind' || long === 'move') return [{ name: long, value: undefined }];
    if (long.startsWith('make-')) return [{ name: long.slice('make-'.length), value: undefined }];
    return [];
  });
}

function sourceOption(parsed: ParsedArguments): string | undefined {
  const given = ['label', 'uuid', 'source'].filter((name) => parsed.has(name));
  if (given.length > 1) throw new ExclusiveOptions();
  const label = parsed.value('label');
  if (label !== undefined) return `LABEL="${label}"`;
  const uuid = parsed.value('uuid');
  return uuid === undefined ? parsed.value('source') : `UUID="${uuid}"`;
}

function backendOf(value: string | undefined): MountCommand['backend'] {
  if (value === undefined || value === 'auto' || value === 'kernel' || value === 'user') return value;
  throw new UsageError(`"${value}" is not a backend: auto, kernel or user`, 1);
}
