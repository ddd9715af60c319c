import type { OptionSpec } from '../../getopt.ts';
import { type RefusedOptions, refusedOption } from '../../refused-options.ts';
import { parseOptions } from '../e2fsprogs/command-line.ts';
import { Failure } from '../e2fsprogs/failure.ts';

export const USAGE =
  'Usage: resize2fs [-d debug_flags] [-f] [-F] [-M] [-P] [-p] device [-b|-s|new_size] [-S RAID-stride] [-z undo_file]\n\n';

export const OPTIONS: readonly OptionSpec[] = [
  { short: 'f', description: 'go on although the file system was not checked, or the size seems too small' },
  { short: 'F', description: 'have the system read the device anew; here that is always so' },
  { short: 'M', long: 'minimum', description: 'make it as small as its content allows' },
  { short: 'P', description: 'print how small it could become, in blocks, and end' },
  { short: 'p', description: 'draw a bar for each step of the work' },
  {
    short: 'z',
    argument: 'required',
    argumentName: 'FILE',
    description: 'keep what is overwritten in FILE, for e2undo(8) or userloop check --restore',
  },
  { short: 'b', description: 'switch 64bit on (not supported)' },
  { short: 's', description: 'switch 64bit off (not supported)' },
  {
    short: 'S',
    argument: 'required',
    argumentName: 'BLOCKS',
    description: 'the stride of a RAID (not supported)',
  },
  {
    short: 'd',
    argument: 'required',
    argumentName: 'FLAGS',
    description: 'debugging output (not supported)',
  },
];

export interface CommandLine {
  readonly device: string;
  /** As it was typed. */
  readonly size: string | undefined;
  readonly force: boolean;
  readonly minimum: boolean;
  readonly printMinimum: boolean;
  readonly showProgress: boolean;
  readonly undoFile: string | undefined;
}

const REFUSED: RefusedOptions = [
  ['b', 'to switch 64bit on (-b)'],
  ['s', 'to switch 64bit off (-s)'],
  ['S', 'a stride (-S)'],
  ['d', 'debugging output (-d)'],
];

/** Failure with the usage, or with the name of what is not supported. */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const parsed = parseOptions(argv, OPTIONS, { name: 'resize2fs', usage: USAGE });
  const [device, size, ...rest] = parsed.operands;
  if (device === undefined || rest.length > 0) throw new Failure(USAGE);
  const refused = refusedOption(parsed, REFUSED);
  if (refused !== undefined) throw new Failure(`resize2fs: ${refused} is not supported here\n`);
  return {
    device,
    size,
    force: parsed.has('f'),
    minimum: parsed.has('M'),
    printMinimum: parsed.has('P'),
    showProgress: parsed.has('p'),
    undoFile: parsed.value('z'),
  };
}
