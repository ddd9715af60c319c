import { UsageError } from '../../../errors.ts';
import { type OptionSpec, getopt } from '../../getopt.ts';

export const UMOUNT_OPTIONS: readonly OptionSpec[] = [
  { short: 'a', long: 'all', description: 'unmount everything, except what the system cannot do without' },
  {
    short: 'A',
    long: 'all-targets',
    description: 'unmount the device of a mount from everywhere',
  },
  { short: 'R', long: 'recursive', description: 'with all that is mounted below' },
  { short: 'd', long: 'detach-loop', description: 'detach the loop device, too' },
  { short: 'l', long: 'lazy', description: 'take it out of the tree now, clean up when nobody uses it' },
  { short: 'f', long: 'force', description: 'also when it does not answer' },
  { short: 'r', long: 'read-only', description: 'when it is busy, mount it read-only instead' },
  {
    short: 't',
    long: 'types',
    argument: 'required',
    argumentName: 'LIST',
    description: 'with -a: only these types; no before the list takes all others',
  },
  {
    short: 'O',
    long: 'test-opts',
    argument: 'required',
    argumentName: 'LIST',
    description: 'with -a: only what has these options in fstab',
  },
  { short: 'n', long: 'no-mtab', description: 'do not write /etc/mtab, which is never written' },
  {
    short: 'i',
    long: 'internal-only',
    description: 'do not call umount.TYPE helpers, which are never called',
  },
  { short: 'c', long: 'no-canonicalize', description: 'take paths as they are' },
  { short: 'q', long: 'quiet', description: 'no complaint about what is not mounted' },
  { short: 'v', long: 'verbose', description: 'say what is being done' },
  { long: 'fake', description: 'do everything but the unmount itself' },
  {
    long: 'backend',
    argument: 'required',
    argumentName: 'KIND',
    description: 'auto, kernel or user: whose devices -d and names of images mean',
  },
  { short: 'h', long: 'help', description: 'print this help' },
  { short: 'V', long: 'version', description: 'print the version' },
];

/** A command line of umount(8), checked. */
export interface UmountCommand {
  readonly action: 'help' | 'version' | 'all' | 'named';
  readonly names: readonly string[];
  readonly allTargets: boolean;
  readonly recursive: boolean;
  readonly detachLoop: boolean;
  readonly lazy: boolean;
  readonly force: boolean;
  readonly readOnlyWhenBusy: boolean;
  readonly types: string | undefined;
  readonly optionPattern: string | undefined;
  readonly canonicalize: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly fake: boolean;
  readonly backend: 'auto' | 'kernel' | 'user' | undefined;
}

/** Throws UsageError, with status 1 as the tool has it. */
export function parseUmountCommand(argv: readonly string[]): UmountCommand {
  const parsed = parse(argv);
  const action = parsed.has('h') ? 'help' : parsed.has('V') ? 'version' : parsed.has('a') ? 'all' : 'named';
  if (action === 'named' && parsed.operands.length === 0) throw new UsageError('bad usage', 1);
  const backend = parsed.value('backend');
  if (backend !== undefined && backend !== 'auto' && backend !== 'kernel' && backend !== 'user')
    throw new UsageError(`"${backend}" is not a backend: auto, kernel or user`, 1);
  return {
    action,
    names: parsed.operands,
    allTargets: parsed.has('A'),
    recursive: parsed.has('R'),
    detachLoop: parsed.has('d'),
    lazy: parsed.has('l'),
    force: parsed.has('f'),
    readOnlyWhenBusy: parsed.has('r'),
    types: parsed.value('t'),
    optionPattern: parsed.value('O'),
    canonicalize: !parsed.has('c'),
    quiet: parsed.has('q'),
    verbose: parsed.has('v'),
    fake: parsed.has('fake'),
    backend,
  };
}

function parse(argv: readonly string[]) {
  try {
    return getopt(argv, UMOUNT_OPTIONS);
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(error.message, 1);
    throw error;
  }
}
