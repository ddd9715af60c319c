import { UsageError } from '../../../errors.ts';
import { getopt, type OptionSpec, type ParsedArguments } from '../../getopt.ts';
import { Failure } from './failure.ts';

/** What was typed, as getopt(3) takes it apart. Failure with its complaint and the usage, as these tools print them. */
export function parseOptions(
  argv: readonly string[],
  options: readonly OptionSpec[],
  { name, usage }: { readonly name: string; readonly usage: string },
): ParsedArguments {
  try {
    return getopt(argv, options);
  } catch (error) {
    if (error instanceof UsageError) throw new Failure(`${name}: ${error.message}\n${usage}`);
    throw error;
  }
}
