import { getopt, type OptionSpec } from '../../getopt.ts';
import { BsdFailure, BsdUsage } from '../bsd/failure.ts';
import { parseCNumber } from '../bsd/numbers.ts';

/** mdconfig(8) of FreeBSD: what a command line asks for. */

export type MdType = 'vnode' | 'malloc' | 'swap' | 'null';

export type MdCommand =
  | {
      readonly action: 'attach';
      readonly type: MdType;
      /** As it was typed; '' but for vnode. */
      readonly file: string;
      /** Bytes; 0 when it is not given. */
      readonly size: number;
      /** Bytes; 0 when it is not given. */
      readonly sectorSize: number;
      /** Undefined: the first that is free, whose name is printed. */
      readonly unit: number | undefined;
      readonly readOnly: boolean;
      readonly sectorsPerTrack: number;
      readonly heads: number;
      readonly label: string;
      /** Print the number without `md`. */
      readonly numberOnly: boolean;
    }
  | { readonly action: 'detach'; readonly unit: number; readonly force: boolean }
  | { readonly action: 'resize'; readonly unit: number; readonly size: number; readonly force: boolean }
  | {
      readonly action: 'list';
      /** Names or numbers; undefined: all. */
      readonly units: readonly string[] | undefined;
      readonly file: string | undefined;
      readonly verbose: boolean;
      readonly numberOnly: boolean;
    };

export const USAGE = `usage: mdconfig -a -t type [-n] [-o [no]option] ... [-f file]
                [-s size] [-S sectorsize] [-u unit] [-L label]
                [-x sectors/track] [-y heads/cylinder]
       mdconfig -d -u unit [-o [no]force]
       mdconfig -r -u unit -s size [-o [no]force]
       mdconfig -l [-v] [-n] [-f file] [-u unit]
       mdconfig file
		type = {malloc, vnode, swap, null}
		option = {async, cache, cluster, compress, force,
		          readonly, ro}
		size = %d (512 byte blocks), %db (B),
		       %dk (kB), %dm (MB), %dg (GB),
		       %dt (TB), or %dp (PB)
`;

function option(short: string, argumentName: string, description: string): OptionSpec {
  return { short, argument: 'required', argumentName, description };
}

export const OPTIONS: readonly OptionSpec[] = [
  { short: 'a', description: 'attach; implied by -f, -s and a file alone' },
  { short: 'd', description: 'detach the unit' },
  { short: 'r', description: 'give the unit another size' },
  { short: 'l', description: 'list units, or with -u the details of one' },
  option(
    't',
    'TYPE',
    'what it is made of: vnode (a file), malloc (memory), swap (a file without a name), null (nothing)',
  ),
  option('f', 'FILE', 'the file of a vnode; with -l: only units made of it'),
  option('s', 'SIZE', 'its size: sectors of 512 bytes, or with b, k, m, g, t or p'),
  option('S', 'BYTES', 'size of its sectors: 512, 1024, 2048 or 4096'),
  option('u', 'UNIT', 'its number: 0, md0 or /dev/md0; with -l also a list with commas'),
  option(
    'o',
    '[no]OPTION',
    'readonly (ro); force: detach in use, or shrink; async, cache, cluster and compress tune the FreeBSD kernel and change nothing here',
  ),
  option('x', 'SECTORS', 'sectors per track of its geometry'),
  option('y', 'HEADS', 'heads of its geometry'),
  option('L', 'LABEL', 'a text that -l -v shows'),
  { short: 'n', description: 'print the number without md' },
  { short: 'v', description: 'with -l: type, size, file and label' },
];

/** Ways of the FreeBSD kernel to do the same: nothing that can be seen from outside depends on them. */
const TUNING = ['async', 'cache', 'cluster', 'compress'];
/** Promises that we cannot keep. */
const REFUSED = ['verify', 'reserve', 'mustdealloc'];

const ACTIONS = { a: 'attach', d: 'detach', r: 'resize', l: 'list' } as const;
const OTHER_ACTIONS = {
  a: '-d, -r, and -l',
  d: '-a, -r, and -l',
  r: '-a, -d, and -l',
  l: '-a, -r, and -d',
} as const;
const UNIT_COUNT = 1 << 20;

export function parseMdCommand(argv: readonly string[]): MdCommand {
  if (argv.length === 0) throw new BsdUsage('');
  const given = getopt(argv, OPTIONS, { permute: false });
  const action = chooseAction(given.options.map(({ spec }) => spec.short!));
  for (const name of ['t', 'f', 's']) {
    if (given.options.filter(({ spec }) => spec.short === name).length > 1) {
      throw new BsdFailure(`-${name} can be passed only once`);
    }
  }
  const file = given.value('f');
  const sizeText = given.value('s');
  const size = sizeText === undefined ? 0 : parseMdSize(sizeText);
  const flags = parseFlags(given.options.filter(({ spec }) => spec.short === 'o').map(({ value }) => value!));
  const unitText = given.value('u');
  const units = unitText?.split(',').map((name) => name.replace(/^\/dev\//, '').replace(/^md/, ''));
  const numbers = {
    sectorSize: numberOf('S', given.value('S')),
    sectorsPerTrack: numberOf('x', given.value('x')),
    heads: numberOf('y', given.value('y')),
  };
  const type = chooseType(given.value('t'));
  if (action === 'attach') {
    const unit = units === undefined ? undefined : parseUnit(units.join(','));
    if (given.has('v')) throw new BsdFailure('-v can only be used with -l');
    return {
      action,
      ...chooseSource(type, file, given.operands, sizeText !== undefined),
      size,
      ...numbers,
      unit,
      readOnly: flags.get('readonly') ?? false,
      label: given.value('L') ?? '',
      numberOnly: given.has('n'),
    };
  }
  refuseOthers(action, {
    S: numbers.sectorSize !== 0,
    s: sizeText !== undefined,
    x: numbers.sectorsPerTrack !== 0,
    y: numbers.heads !== 0,
    f: file !== undefined,
    t: type !== undefined,
    L: given.has('L'),
    v: given.has('v'),
    file: given.operands.length > 0,
  });
  const set = [...flags].filter(([, on]) => on).map(([name]) => name);
  if (action === 'list') {
    if (set.length > 0) throw new BsdFailure('-o can only be used with -a, -d, and -r');
    return { action, units, file, verbose: given.has('v'), numberOnly: given.has('n') };
  }
  if (set.some((name) => name !== 'force')) {
    throw new BsdFailure(`only -o [no]force can be used with -${action[0]}`);
  }
  const force = flags.get('force') ?? false;
  if (action === 'resize' && sizeText === undefined) throw new BsdFailure('must specify -s for -r');
  if (units === undefined) throw new BsdFailure(`-${action[0]} requires -u`);
  const unit = parseUnit(units.join(','));
  return action === 'resize' ? { action, unit, size, force } : { action, unit, force };
}

function chooseAction(letters: readonly string[]): MdCommand['action'] {
  const chosen = [...new Set(letters.filter((letter): letter is keyof typeof ACTIONS => letter in ACTIONS))];
  const last = chosen.at(-1);
  if (chosen.length > 1) throw new BsdFailure(`-${last!} is mutually exclusive with ${OTHER_ACTIONS[last!]}`);
  return last === undefined ? 'attach' : ACTIONS[last];
}

function chooseType(text: string | undefined): MdType | undefined {
  if (text === undefined) return undefined;
  if (text === 'preload') {
    throw new BsdFailure('type preload is what the FreeBSD loader has put into memory; there is none here');
  }
  const known = (['vnode', 'malloc', 'swap', 'null'] as const).find((name) => name === text);
  if (known === undefined) throw new BsdFailure(`unknown type: ${text}`);
  return known;
}

/** The type is told by the other arguments, if it is not given. */
function chooseSource(
  type: MdType | undefined,
  file: string | undefined,
  operands: readonly string[],
  sized: boolean,
): { type: MdType; file: string } {
  const named = file !== undefined || operands.length > 0;
  const chosen = type ?? (named ? 'vnode' : sized ? 'swap' : undefined);
  if (chosen === undefined) throw new BsdFailure('unable to determine type');
  if (named && chosen !== 'vnode') throw new BsdFailure('only -t vnode can be used with file name');
  if (chosen !== 'vnode') {
    if (!sized) throw new BsdFailure('must specify -s for -t malloc, -t swap, or -t null');
    return { type: chosen, file: '' };
  }
  if (file !== undefined && operands.length > 0) throw new BsdUsage('');
  const name = file ?? operands[0];
  if (name === undefined || operands.length > 1) throw new BsdUsage('');
  return { type: chosen, file: name };
}

function refuseOthers(action: 'detach' | 'resize' | 'list', used: Readonly<Record<string, boolean>>): void {
  for (const name of ['S', 'x', 'y', 't', 'L']) {
    if (used[name] === true) throw new BsdFailure(`-${name} can only be used with -a`);
  }
  if (used['s'] === true && action !== 'resize') throw new BsdFailure('-s can only be used with -a and -r');
  if (used['f'] === true && action !== 'list') throw new BsdFailure('-f can only be used with -a and -l');
  if (used['file'] === true) throw new BsdFailure('file can only be used with -a');
  if (used['v'] === true && action !== 'list') throw new BsdFailure('-v can only be used with -l');
}

function parseFlags(words: readonly string[]): Map<string, boolean> {
  const flags = new Map<string, boolean>();
  for (const word of words) {
    const on = !word.startsWith('no');
    const name = (on ? word : word.slice(2)).replace(/^ro$/, 'readonly');
    if (REFUSED.includes(name)) {
      if (on) throw new BsdFailure(`option ${name} is not supported`);
    } else if (name === 'readonly' || name === 'force') flags.set(name, on);
    else if (!TUNING.includes(name)) throw new BsdFailure(`unknown option: ${word}`);
  }
  return flags;
}

/** Sectors of 512 bytes; with a suffix, of which the first letter counts, bytes and more. */
export function parseMdSize(text: string): number {
  const match = /^(0x[0-9a-f]+?|\d+)([bkmgtp].*)?$/i.exec(text);
  const number = match === null ? undefined : parseCNumber(match[1]!);
  if (number === undefined) throw new BsdFailure('unknown suffix on -s argument');
  const suffix = match?.[2]?.[0]?.toLowerCase();
  const size = number * (suffix === undefined ? 512 : 1024 ** 'bkmgtp'.indexOf(suffix));
  if (!Number.isSafeInteger(size)) throw new BsdFailure(`size ${text} is more than a file can have`);
  return size;
}

function parseUnit(text: string): number {
  const number = parseCNumber(text);
  if (number === undefined || number >= UNIT_COUNT) throw new BsdFailure(`bad unit: ${text}`);
  return number;
}

function numberOf(name: string, text: string | undefined): number {
  if (text === undefined) return 0;
  const number = parseCNumber(text);
  if (number === undefined || number > 0xffff) throw new BsdFailure(`bad number for -${name}: ${text}`);
  return number;
}
