import { getopt, type OptionSpec } from '../../getopt.ts';
import { BsdFailure, BsdUsage } from '../bsd/failure.ts';

/** vnconfig(8) of OpenBSD in all its forms: `-c rawdev file` of 2.2, `vnd_dev image` of 4.2, `[vnd_dev] image` of 6.6. */

export type VnCommand =
  | {
      readonly action: 'configure';
      /** As it was typed; undefined, with the unit: the first that is free. */
      readonly device: string | undefined;
      readonly unit: number | undefined;
      readonly image: string;
      readonly sectorsPerTrack: number;
      readonly heads: number;
      readonly verbose: boolean;
    }
  | {
      readonly action: 'clear';
      readonly device: string;
      readonly unit: number;
      readonly verbose: boolean;
    }
  | { readonly action: 'list'; readonly unit: number | undefined };

export const USAGE = `usage: vnconfig [-cv] [-t disktype] [vnd_dev] image
       vnconfig -l [vnd_dev]
       vnconfig -u [-v] vnd_dev
`;

export const OPTIONS: readonly OptionSpec[] = [
  { short: 'c', description: 'attach the image; the default' },
  { short: 'u', description: 'detach the device' },
  { short: 'l', description: 'list the devices, or one' },
  { short: 'v', description: 'say on standard error what was done' },
  {
    short: 't',
    argument: 'required',
    argumentName: 'DISKTYPE',
    description:
      'geometry: floppy (1.44 MB, also floppy3, 3in), floppy5 (1.2 MB, also 5in); default 100 sectors a track, 1 head',
  },
  { short: 'k', description: 'refused: encryption with a key' },
  { short: 'K', argument: 'required', argumentName: 'ROUNDS', description: 'refused: encryption by PKCS #5' },
  { short: 'S', argument: 'required', argumentName: 'FILE', description: 'refused: the salt for -K' },
];

/** Entries of OpenBSD's /etc/disktab: sectors per track and heads. */
const DISK_TYPES: Readonly<Record<string, readonly [sectorsPerTrack: number, heads: number]>> = {
  floppy: [18, 2],
  floppy3: [18, 2],
  '3in': [18, 2],
  floppy5: [15, 2],
  '5in': [15, 2],
};

/** vnd(4): of a file of which nothing else is known. */
const DEFAULT_GEOMETRY = [100, 1] as const;

export function parseVnCommand(argv: readonly string[]): VnCommand {
  const given = getopt(argv, OPTIONS, { permute: false });
  const { operands } = given;
  const verbose = given.has('v');
  const diskType = given.value('t');
  const [sectorsPerTrack, heads] =
    diskType === undefined ? DEFAULT_GEOMETRY : (DISK_TYPES[diskType] ?? unknownDiskType(diskType));
  if (given.has('l') && given.has('u')) throw new BsdFailure('-l and -u are mutually exclusive options');
  for (const letter of ['k', 'K', 'S']) {
    if (given.has(letter)) throw new BsdFailure(`-${letter}: encrypted images are not supported`);
  }
  if (given.has('l')) {
    if (operands.length > 1) throw new BsdUsage('');
    return { action: 'list', unit: operands[0] === undefined ? undefined : unitOf(operands[0], 1) };
  }
  const [first, second, ...excess] = operands;
  if (first === undefined || excess.length > 0) throw new BsdUsage('');
  if (given.has('u')) {
    if (given.has('c') || second !== undefined) throw new BsdUsage('');
    return { action: 'clear', device: first, unit: unitOf(first, 4), verbose };
  }
  const geometry = { sectorsPerTrack, heads, verbose };
  if (second === undefined) {
    return { action: 'configure', device: undefined, unit: undefined, image: first, ...geometry };
  }
  return { action: 'configure', device: first, unit: unitOf(first, 4), image: second, ...geometry };
}

function unknownDiskType(name: string): never {
  throw new BsdFailure(`unknown disk type: ${name}`);
}

/** The unit of `vnd0`, `/dev/rvnd0c` or `svnd0`, as opendev(3) finds devices. */
function unitOf(device: string, status: number): number {
  const [, unit] = /^(?:\/dev\/)?[rs]?vnd(0|[1-9]\d{0,5})[a-p]?$/.exec(device) ?? [];
  if (unit !== undefined) return Number(unit);
  const raw = device.includes('/') ? device : `/dev/r${device}${/\d$/.test(device) ? 'c' : ''}`;
  throw new BsdFailure(`${status === 1 ? 'open: ' : ''}${raw}: No such file or directory`, status);
}
