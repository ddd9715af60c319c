import { describe, expect, test } from 'vitest';
import { getopt, type OptionSpec } from '../../src/cli/getopt.ts';

const SPECS: readonly OptionSpec[] = [
  { short: 'q', long: 'quiet', description: '' },
  { short: 'v', description: '' },
  { short: 'F', long: 'fat', argument: 'required', description: '' },
  { short: 'c', long: 'compat', argument: 'optional', description: '' },
  { long: 'offset', argument: 'required', description: '' },
  { long: 'offline', description: '' },
  { long: 'quietest', description: '' },
];

function parse(...argv: string[]): { options: string[]; operands: readonly string[] } {
  const { options, operands } = getopt(argv, SPECS);
  return {
    options: options.map(
      ({ spec, value }) => `${spec.long ?? spec.short}${value === undefined ? '' : `:${value}`}`,
    ),
    operands,
  };
}

describe('Options', () => {
  test.each([
    [['-qv', 'a'], ['quiet', 'v'], ['a']],
    [['-F32'], ['fat:32'], []],
    [['-F', '32'], ['fat:32'], []],
    [['-F', '-q'], ['fat:-q'], []],
    [['-qF32'], ['quiet', 'fat:32'], []],
    [['-F='], ['fat:='], []],
    [['-c', 'dos'], ['compat'], ['dos']],
    [['-c=dos'], ['compat:=dos'], []],
    [['-cdos'], ['compat:dos'], []],
    [['--compat=dos'], ['compat:dos'], []],
    [['--compat', 'dos'], ['compat'], ['dos']],
    [['--fat=32'], ['fat:32'], []],
    [['--fat', '32'], ['fat:32'], []],
    [['--fat='], ['fat:'], []],
    [['--offs', '5'], ['offset:5'], []],
    [['--offl'], ['offline'], []],
    [['--quiet'], ['quiet'], []],
    [['--quiete'], ['quietest'], []],
    [['a', '-q', 'b'], ['quiet'], ['a', 'b']],
    [['a', '--', '-q', '--'], [], ['a', '-q', '--']],
    [['-', '-q'], ['quiet'], ['-']],
    [['-F', '--', 'x'], ['fat:--'], ['x']],
    [[''], [], ['']],
  ])('%j are understood as by getopt_long(3)', (argv, options, operands) => {
    expect(parse(...argv)).toEqual({ options, operands });
  });

  test.each([
    [['-x'], "invalid option -- 'x'"],
    [['-qx'], "invalid option -- 'x'"],
    [['-F'], "option requires an argument -- 'F'"],
    [['--fat'], "option '--fat' requires an argument"],
    [['--quiet=1'], "option '--quiet' doesn't allow an argument"],
    [['--nope'], "unrecognized option '--nope'"],
    [['--off'], "option '--off' is ambiguous; possibilities: '--offset' '--offline'"],
  ])('%j are refused in the words of the C library', (argv, message) => {
    expect(() => parse(...argv)).toThrow(message);
  });

  test('end at the first operand where the tool does not permute', () => {
    const { options, operands } = getopt(['-q', 'run', '-v'], SPECS, { permute: false });
    expect(options).toHaveLength(1);
    expect(operands).toEqual(['run', '-v']);
  });

  test('are found by either name, the last value counts', () => {
    const parsed = getopt(['-F12', '--fat=16'], SPECS);
    expect([parsed.value('F'), parsed.value('fat'), parsed.has('F'), parsed.has('q')]).toEqual([
      '16',
      '16',
      true,
      false,
    ]);
    expect(parsed.value('q')).toBeUndefined();
  });
});
