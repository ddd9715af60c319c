import { parseSize } from '../../bytes/size.ts';
import type { BlockDevice } from '../../device/block-device.ts';
import { FsError, UsageError } from '../../errors.ts';
import {
  emulatorAdvice,
  type Environment,
  findEmulator,
  kvmUsable,
  runOnTerminal,
} from '../../host/emulator.ts';
import { readTable } from '../../partition/table.ts';
import { defineApplet } from '../applet.ts';
import { getopt, type ParsedArguments } from '../getopt.ts';
import type { Io } from '../io.ts';
import { openDevice } from '../open-device.ts';
import { driveSource } from './boot-drive.ts';

/** The capacities of floppy disks that QEMU's drives know, in KiB: 5.25 and 3.5 inch. */
const FLOPPY_KIBIBYTES: readonly number[] = [160, 180, 320, 360, 720, 1200, 1440, 1520, 1680, 1722, 2880];

const MIB = 1 << 20;

/** `userloop boot`: an image in QEMU. */
export const boot = defineApplet({
  name: 'boot',
  kind: 'verb',
  summary: 'boot an image in QEMU',
  usage: ['userloop boot [OPTION]... IMAGE [-- QEMU-OPTION...]'],
  description: [
    'Runs QEMU on the image, or on an attached device or an NBD export. An image of the size of a floppy disk without a partition table becomes the first floppy ' +
      'drive, any other the first hard disk. What the guest writes lands in the image, unless --snapshot says otherwise.',
    'An attached device is reached over NBD: with --overlay or --read-only it can be mounted at the same time, and what is changed there is what the guest reads from then on. ' +
      'A device that is mounted is not booted for writing.',
    'The processor is emulated: that boots everywhere, and the 16-bit code of boot loaders fails under nested KVM. Options after -- go to QEMU as they are.',
  ],
  options: [
    { long: 'floppy', description: 'boot it as a floppy disk, whatever its size' },
    { long: 'disk', description: 'boot it as a hard disk' },
    {
      short: 'm',
      long: 'memory',
      argument: 'required',
      argumentName: 'SIZE',
      description: 'memory of the guest, 128M by default',
    },
    {
      long: 'display',
      argument: 'required',
      argumentName: 'KIND',
      description: "QEMU's display: gtk, sdl, curses, none ...",
    },
    { long: 'serial', description: "put the guest's serial line on this terminal; Ctrl-A X ends QEMU" },
    {
      long: 'kvm',
      description:
        "use the processor's own virtualisation: faster for a large guest, where /dev/kvm can be used",
    },
    {
      long: 'overlay',
      description: 'only read the image: what the guest writes goes to a temporary file, and is forgotten',
    },
    {
      short: 'r',
      long: 'read-only',
      description:
        'as --overlay for a hard disk, which the guest takes for a writable one; a floppy disk is write-protected',
    },
    { long: 'snapshot', description: 'as --overlay, also for disks that options of QEMU name' },
    { short: 'n', long: 'dry-run', description: 'print the command instead of running it' },
  ],
  examples: [
    { command: 'userloop boot floppy.img', explanation: 'as a floppy disk, in a window' },
    {
      command: 'userloop boot --serial --display none c.img',
      explanation: 'no window: the serial line on this terminal',
    },
    {
      command: 'userloop boot --snapshot c.img -- -hdb other.img',
      explanation: 'leave the image as it is; a second disk by an option of QEMU',
    },
    {
      command: 'userloop boot --overlay /dev/loop0',
      explanation: 'an attached device, also while it is mounted',
    },
  ],
  exitStatus: { 0: 'QEMU ended well', 1: 'QEMU is not there, or failed', 2: 'the command line is wrong' },
  run(io, argv) {
    const separator = argv.indexOf('--');
    const own = separator < 0 ? argv : argv.slice(0, separator);
    const extra = separator < 0 ? [] : argv.slice(separator + 1);
    const parsed = getopt(own, boot.options);
    const [image, ...surplus] = parsed.operands;
    if (image === undefined) throw new UsageError('which image? Name one');
    if (surplus.length > 0) {
      throw new UsageError(`one image at a time; options of QEMU go behind --, found "${surplus[0]}"`);
    }
    if (parsed.has('floppy') && parsed.has('disk')) {
      throw new UsageError('--floppy and --disk exclude each other');
    }
    if (parsed.has('read-only') && (parsed.has('overlay') || parsed.has('snapshot'))) {
      throw new UsageError('--read-only goes without --overlay and --snapshot');
    }
    const device = openDevice(io, image, { readOnly: true });
    const asFloppy = parsed.has('floppy') || (!parsed.has('disk') && isFloppy(device));
    device.close();
    const args = emulatorArguments(io, image, asFloppy, parsed);
    args.push(...extra);

    const program = findEmulator(io.env);
    if (parsed.has('dry-run')) {
      io.stdout.write([program ?? 'qemu-system-x86_64', ...args].map(quote).join(' ') + '\n');
      return 0;
    }
    if (program === undefined) {
      io.stderr.write(`userloop boot: QEMU is not on the PATH; ${emulatorAdvice()}\n`);
      return 1;
    }
    return runOnTerminal(program, args);
  },
});

/** Floppies are told by their size; one with a partition table is a small hard disk. */
function isFloppy(device: BlockDevice): boolean {
  if (!FLOPPY_KIBIBYTES.includes(device.size / 1024)) return false;
  return (readTable(device)?.partitions.length ?? 0) === 0;
}

function emulatorArguments(io: Io, image: string, asFloppy: boolean, parsed: ParsedArguments): string[] {
  const { env } = io;
  const writes = !['overlay', 'read-only', 'snapshot'].some((name) => parsed.has(name));
  // The format is given, so that a guest cannot choose it by what it writes.
  let drive = `${driveSource(io, image, writes)},format=raw,if=${asFloppy ? 'floppy' : 'ide'},index=0`;
  // An IDE disk cannot be read-only.
  if (parsed.has('read-only') && asFloppy) drive += ',readonly=on';
  else if (parsed.has('overlay') || parsed.has('read-only')) drive += ',snapshot=on';
  const args = ['-drive', drive, '-boot', asFloppy ? 'a' : 'c'];
  args.push('-m', String(memoryMebibytes(parsed.value('memory') ?? '128M')));
  if (parsed.has('kvm')) {
    if (!kvmUsable())
      throw new FsError('EACCES', { detail: '/dev/kvm cannot be used here; boot without --kvm' });
    args.push('-accel', 'kvm');
  } else args.push('-accel', 'tcg');
  const display = parsed.value('display') ?? defaultDisplay(parsed, env);
  if (display !== undefined) args.push('-display', display);
  if (parsed.has('serial')) args.push('-serial', 'mon:stdio');
  if (parsed.has('snapshot')) args.push('-snapshot');
  return args;
}

/** Without a desktop QEMU's window cannot open: then the text screen is drawn on the terminal, or nothing is. */
function defaultDisplay(parsed: ParsedArguments, env: Environment): string | undefined {
  const hasDesktop =
    process.platform !== 'linux' || (env['DISPLAY'] ?? '') !== '' || (env['WAYLAND_DISPLAY'] ?? '') !== '';
  if (hasDesktop) return undefined;
  return parsed.has('serial') ? 'none' : 'curses';
}

function memoryMebibytes(text: string): number {
  // A bare number counts in MiB, as QEMU's own -m does.
  const size = /^\d+$/.test(text) ? Number(text) * MIB : parseSize(text);
  if (size === undefined || size < MIB) {
    throw new UsageError(`--memory is "${text}", expected a size of at least 1M`);
  }
  return Math.floor(size / MIB);
}

/** As a shell would need it typed. */
function quote(word: string): string {
  return /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
