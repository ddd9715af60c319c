import path from 'node:path';
import type { DeviceChanges } from '../../attach/client.ts';
import type { DeviceState } from '../../attach/device-state.ts';
import { viewPath } from '../../attach/registry.ts';
import { FsError, UsageError } from '../../errors.ts';
import { defineApplet } from '../applet.ts';
import type { Io } from '../io.ts';
import { print } from '../verbs/print.ts';
import { COLUMNS } from './losetup/columns.ts';
import { type Command, type Listing, OPTIONS, parseCommand } from './losetup/command-line.ts';
import { failureOf } from './losetup/failure.ts';
import { LoopDevices, type NamedDevice } from './losetup/devices.ts';
import { oldLine, renderListing, renderOne } from './losetup/report.ts';
import { devicesOf, setUp } from './losetup/set-up.ts';

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
    return await runCommand(io, new LoopDevices(io, command.backend), command);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    complain(io, error);
    return 1;
  }
}

/** In the tool's own form: errors of getopt point to the help, all others stand alone, and an empty one is no line at all. */
function complain(io: Io, { message }: UsageError): void {
  for (const line of message === '' ? [] : message.split('\n')) io.stderr.write(`losetup: ${line}\n`);
  if (/^(invalid option|unrecognized option|option )/.test(message)) {
    io.stderr.write("Try 'losetup --help' for more information.\n");
  }
}

async function runCommand(io: Io, devices: LoopDevices, command: Command): Promise<number> {
  // A name that cannot be right is told before anything else that is wrong.
  const named =
    'name' in command && command.name !== undefined ? find(devices, command, command.name) : undefined;
  if (command.complaint !== undefined) throw new UsageError(command.complaint, 1);
  switch (command.kind) {
    case 'help':
    case 'version':
      return 0;
    case 'find':
      print(io, `${devices.pathOf(devices.preferred.firstFreeUnit())}\n`);
      return 0;
    case 'all':
      return showAll(io, devices.list(), command.listing);
    case 'associated': {
      const { file, offset, listing } = command;
      const found = devicesOf(devices, path.resolve(io.cwd, file));
      return showAll(
        io,
        found.filter((state) => offset === undefined || state.offset === offset),
        listing,
      );
    }
    case 'status':
      return showOne(io, named!, command.listing);
    case 'detach':
      return detachNamed(io, devices, command.names);
    case 'detach all': {
      // What the kernel has is not a plain user's to detach.
      const own = devices
        .list()
        .filter(({ backend }) => backend === 'user' || devices.preferred.kind === 'kernel');
      let status = 0;
      for (const state of own) {
        const device = { kind: state.backend, unit: state.unit, path: viewPath(state), state };
        if (!(await detach(io, devices, device))) status = 1;
      }
      return status;
    }
    case 'resize':
      return change(io, devices, named!, { resize: true }, 'set capacity failed');
    case 'change': {
      const { sectorSize, directIo } = command;
      let status = 0;
      if (sectorSize !== undefined) {
        status ||= await change(io, devices, named!, { sectorSize }, 'set logical block size failed');
      }
      if (directIo !== undefined) {
        status ||= await change(io, devices, named!, { directIo }, 'set direct io failed');
      }
      return status;
    }
    case 'set up':
      await setUp(io, devices, named, command);
      return 0;
  }
}

function find(devices: LoopDevices, command: Command, name: string): NamedDevice {
  const found = command.kind === 'set up' ? devices.findForSetUp(name) : devices.find(name);
  if (found === undefined) throw new UsageError(`${name}: failed to use device: No such device`, 1);
  return found;
}

function showAll(io: Io, states: readonly DeviceState[], listing: Listing | undefined): number {
  print(io, listing === undefined ? states.map(oldLine).join('') : renderListing(states, listing));
  return 0;
}

function showOne(io: Io, device: NamedDevice, listing: Listing | undefined): number {
  if (listing !== undefined) print(io, renderOne(device, listing));
  else if (device.state === undefined) {
    throw new UsageError(`${device.path}: No such file or directory`, 1);
  } else print(io, oldLine(device.state));
  return 0;
}

/** The first name must be right; those that follow are tried each. */
async function detachNamed(io: Io, devices: LoopDevices, names: readonly string[]): Promise<number> {
  let status = 0;
  for (const [index, name] of names.entries()) {
    const device = devices.find(name);
    if (device === undefined) {
      complain(io, new UsageError(`${name}: failed to use device: No such device`, 1));
      if (index === 0) return 1;
      status = 1;
    } else if (!(await detach(io, devices, device))) status = 1;
  }
  return status;
}

async function detach(io: Io, devices: LoopDevices, device: NamedDevice): Promise<boolean> {
  return attempt(io, device, 'detach failed', (state) =>
    devices.backend(device.kind).detach(state, { lazy: true }),
  );
}

async function change(
  io: Io,
  devices: LoopDevices,
  device: NamedDevice,
  changes: DeviceChanges,
  failure: string,
): Promise<number> {
  const done = await attempt(io, device, failure, (state) =>
    devices.backend(device.kind).change(state, changes),
  );
  return done ? 0 : 1;
}

/** False: it failed, and that was told. */
async function attempt(
  io: Io,
  device: NamedDevice,
  failure: string,
  act: (state: DeviceState) => Promise<unknown>,
): Promise<boolean> {
  try {
    if (device.state === undefined) throw new FsError('ENXIO', { path: device.path });
    await act(device.state);
    return true;
  } catch (error) {
    complain(io, failureOf(error, `${device.path}: ${failure}`));
    return false;
  }
}
