import type { ParsedArguments } from './getopt.ts';

/** Options that a classic tool has and its stand-in has not, and what each would be, in the words of a refusal. */
export type RefusedOptions = readonly (readonly [option: string, what: string])[];

/** What is asked for and refused, the first of the list. */
export function refusedOption(args: ParsedArguments, refused: RefusedOptions): string | undefined {
  return refused.find(([option]) => args.has(option))?.[1];
}
