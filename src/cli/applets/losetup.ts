import { attachImage, chosenKind } from '../../attach/backend-choice.ts';
import type { AttachRequest } from '../../attach/device-state.ts';
import { UsageError } from '../../errors.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { COLUMNS } from './losetup/columns.ts';
import { type Command, OPTIONS, type SetUp, parseCommand } from './losetup/command-line.ts';
import { complain } from './losetup/failure.ts';
import { setUp } from './losetup/set-up.ts';

export const losetup = defineApplet({
  name: 'losetup',
  kind: 'applet',
  summary: 'set up and control loop devices',
  usage: [
    'losetup [OPTION]... [LOOPDEV]',
    'losetup [OPTION]... -f|LOOPDEV FILE',
    'losetup -l [-a|LOOPDEV]',
    'losetup -j FILE [-o OFFSET]',
    'losetup -c LOOPDEV',
    'losetup -d LOOPDEV...',
    'losetup -D',
  ],
  description: [
    'Makes a file, or a part of it, a disk that programs can open, lists such disks and lets them go.',
    "For root the devices are the kernel's, where its loop driver can be used. For everybody else, and with --backend=user, a process of this program is behind each device: LOOPDEV is the same name, /dev/loop0, which all commands of this program understand, and the path that --show and the lists print is the one by which every other program can open it. In userloop shell the two are the same. The lists show the kernel's devices and one's own.",
    'NUM may end in K, M, G, T, P or E for powers of 1024 (KiB and so on, too), or KB, MB and so on for powers of 1000. A device that is in use when it is detached goes with the last who has it open.',
    `The columns of the lists are ${COLUMNS.map(({ name }) => name).join(', ')}.`,
  ],
  options: OPTIONS,
  examples: [
    {
      command: 'losetup --show -f floppy.img',
      explanation: 'Set up the first free device and print its path.',
    },
    {
      command: 'losetup -o 32256 /dev/loop0 c.img',
      explanation: 'Set up loop0 with what lies behind the first track of the image.',
    },
    {
      command: 'losetup -P -r --show -f disk.img',
      explanation: 'Read-only, with a device for each partition.',
    },
    { command: 'losetup -l -O NAME,BACK-FILE', explanation: 'List the devices and their files.' },
    { command: 'losetup -d /dev/loop0', explanation: 'Let the device go.' },
  ],
  exitStatus: {
    0: 'success',
    1: 'failure; nothing is attached to the device whose status was asked for',
    2: 'whether something is attached to the device could not be found out',
  },
  notSupported: [
    '--remove and --loop-ref, which losetup has since util-linux 2.41: this is losetup of 2.38',
    '-e, -k and -p, encryption, which losetup has not had since util-linux 2.23',
    'LOOPDEV_DEBUG in the environment: there is no debug output of the classic tool',
    'more than one FILE, of which the classic tool takes the first without a word',
  ],
  run,
});

async function run(io: Io, argv: readonly string[]): Promise<number> {
  try {
    const command = parseCommand(argv);
    if (command.kind === 'help') {
      const { renderHelp } = await import('../help.ts');
      io.stdout.write(renderHelp(losetup));
      return 0;
    }
    if (command.kind === 'version') {
      io.stdout.write('losetup from util-linux 2.38.1\n');
      return 0;
    }
    // A device's process is to start before what it does not need is loaded.
    if (command.kind === 'set up' && isPlain(command)) return await setUpPlain(io, command);
    const { runCommand } = await import('./losetup/run.ts');
    return await runCommand(io, command);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    complain(io, error);
    return 1;
  }
}

/** Nothing has to be known of other devices. */
function isPlain(command: SetUp & Command): boolean {
  return command.name === undefined && !command.noOverlap && command.complaint === undefined;
}

async function setUpPlain(io: Io, command: SetUp & Command): Promise<number> {
  const kind = chosenKind(io.env, command.backend);
  const devices = {
    list: () => [],
    attach: (request: AttachRequest) => attachImage(io.env, kind, request),
  };
  await setUp(io, devices, undefined, command);
  return 0;
}
