import { UsageError } from '../errors.ts';

/**
 * getopt_long(3) as glibc does it, because that is what the classic tools' users type: glued values (`-F32`), bundled
 * flags (`-qv`), optional values that must be glued (`-c=dos`, `--mbr=y`), abbreviated long options, options after
 * operands, `--`, and the C library's own error messages. node:util parseArgs knows neither abbreviations nor
 * optional values.
 */

export interface OptionSpec {
  /** One character. */
  readonly short?: string;
  /** Without the dashes. */
  readonly long?: string;
  /** Whether a value follows. `optional` values must be glued: `-c=dos` gives `=dos`, `--mbr=y` gives `y`. */
  readonly argument?: 'required' | 'optional';
  /** Shown in the help: `-o, --offset OFFSET`. */
  readonly argumentName?: string;
  readonly description: string;
}

export interface ParsedOption {
  readonly spec: OptionSpec;
  readonly value: string | undefined;
}

export interface ParsedArguments {
  /** In the order of the command line. */
  readonly options: readonly ParsedOption[];
  readonly operands: readonly string[];
  /** The last value of an option, by its short or long name; undefined when it was not given. */
  value(name: string): string | undefined;
  has(name: string): boolean;
}

export interface GetoptOptions {
  /** Options may follow operands, as glibc's default is. Default true. */
  readonly permute?: boolean;
}

/** Throws UsageError with getopt's message, without the program's name. */
export function getopt(
  argv: readonly string[],
  specs: readonly OptionSpec[],
  options: GetoptOptions = {},
): ParsedArguments {
  const parsed: ParsedOption[] = [];
  const operands: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i]!;
    if (argument === '--') {
      operands.push(...argv.slice(i + 1));
      break;
    }
    if (argument === '-' || !argument.startsWith('-')) {
      if (options.permute === false) {
        operands.push(...argv.slice(i));
        break;
      }
      operands.push(argument);
      continue;
    }
    const next = argv[i + 1];
    const taken = argument.startsWith('--')
      ? parseLong(argument.slice(2), next, specs, parsed)
      : parseBundle(argument.slice(1), next, specs, parsed);
    if (taken) i++;
  }
  return {
    options: parsed,
    operands,
    value: (name) => parsed.findLast(({ spec }) => spec.short === name || spec.long === name)?.value,
    has: (name) => parsed.some(({ spec }) => spec.short === name || spec.long === name),
  };
}

/** Returns whether the next argument was taken as a value. */
function parseLong(
  body: string,
  next: string | undefined,
  specs: readonly OptionSpec[],
  parsed: ParsedOption[],
): boolean {
  const equals = body.indexOf('=');
  const name = equals < 0 ? body : body.slice(0, equals);
  const value = equals < 0 ? undefined : body.slice(equals + 1);
  const spec = findLong(name, specs);
  if (spec.argument === undefined) {
    if (value !== undefined) throw new UsageError(`option '--${spec.long}' doesn't allow an argument`);
    parsed.push({ spec, value: undefined });
    return false;
  }
  if (value !== undefined || spec.argument === 'optional') {
    parsed.push({ spec, value });
    return false;
  }
  if (next === undefined) throw new UsageError(`option '--${spec.long}' requires an argument`);
  parsed.push({ spec, value: next });
  return true;
}

function findLong(name: string, specs: readonly OptionSpec[]): OptionSpec {
  const exact = specs.find((spec) => spec.long === name);
  if (exact !== undefined) return exact;
  const candidates = specs.filter((spec) => spec.long?.startsWith(name));
  if (candidates.length === 1) return candidates[0]!;
  if (candidates.length === 0) throw new UsageError(`unrecognized option '--${name}'`);
  const possibilities = candidates.map((spec) => `'--${spec.long}'`).join(' ');
  throw new UsageError(`option '--${name}' is ambiguous; possibilities: ${possibilities}`);
}

function parseBundle(
  body: string,
  next: string | undefined,
  specs: readonly OptionSpec[],
  parsed: ParsedOption[],
): boolean {
  for (let i = 0; i < body.length; i++) {
    const letter = body[i]!;
    const spec = specs.find((candidate) => candidate.short === letter);
    if (spec === undefined) throw new UsageError(`invalid option -- '${letter}'`);
    if (spec.argument === undefined) {
      parsed.push({ spec, value: undefined });
      continue;
    }
    const rest = body.slice(i + 1);
    if (rest !== '') {
      parsed.push({ spec, value: rest });
      return false;
    }
    if (spec.argument === 'optional') {
      parsed.push({ spec, value: undefined });
      return false;
    }
    if (next === undefined) throw new UsageError(`option requires an argument -- '${letter}'`);
    parsed.push({ spec, value: next });
    return true;
  }
  return false;
}
