import fs from 'node:fs';
import path from 'node:path';
import { backendOf, chooseBackend } from '../../attach/backend.ts';
import type { DetachOptions } from '../../attach/client.ts';
import { DeviceBusyError, type DeviceState } from '../../attach/device-state.ts';
import { findDevice, listDevices } from '../../attach/registry.ts';
import { UsageError } from '../../errors.ts';
import { defineApplet } from '../applet.ts';
import { getopt } from '../getopt.ts';
import type { Io } from '../io.ts';
import { Failures } from './failure.ts';
import { checkOperands } from './operand-count.ts';

/** `userloop detach`: a device goes. */
export const detach = defineApplet({
  name: 'detach',
  kind: 'verb',
  summary: 'detach devices',
  usage: ['userloop detach [OPTION]... DEVICE|IMAGE...', 'userloop detach [OPTION]... --all'],
  description: [
    'Returns when everything that was written is in the image and the device is gone. A device that a program has open, or of which a file system is mounted, stays, and those who have it are named.',
    'An image stands for all devices that are made of it.',
  ],
  options: [
    {
      short: 'a',
      long: 'all',
      description: "every device of this user; the kernel's loop devices go by name only",
    },
    { short: 'l', long: 'lazy', description: 'one that is in use goes when the last has closed it' },
    {
      short: 'f',
      long: 'force',
      description: 'unmount, and detach from whoever has it open; what is written to it from then on fails',
    },
  ],
  examples: [
    { command: 'userloop detach disk.img', explanation: 'by the image' },
    { command: 'userloop detach /dev/loop0 loop1', explanation: 'by name' },
    { command: 'userloop detach --all --force', explanation: 'whatever there is' },
  ],
  exitStatus: {
    0: 'all are gone, or go with --lazy when they are closed',
    1: 'some are in use or not attached',
    2: 'wrong usage',
  },
  async run(io, argv) {
    const args = getopt(argv, detach.options);
    const all = args.has('all');
    if (all && args.operands.length > 0) throw new UsageError('--all takes no names');
    if (!all) checkOperands(args.operands, 1);
    const failures = new Failures(io, 'detach');
    const options = { lazy: args.has('lazy'), force: args.has('force') };
    const wanted = all ? everyDevice(io) : args.operands.flatMap((name) => named(io, failures, name));
    await Promise.all(
      [...new Map(wanted.map((each) => [each.name, each])).values()].map((state) =>
        one(io, failures, state, options),
      ),
    );
    return failures.status;
  },
});

/** Those of our processes; the kernel's may be anybody's, so they are detached by name only. */
function everyDevice(io: Io): DeviceState[] {
  return listDevices(io.env);
}

function named(io: Io, failures: Failures, name: string): DeviceState[] {
  const found = findDevice(io.env, io.cwd, name);
  if (found !== undefined) return [found.state];
  const file = path.resolve(io.cwd, name);
  const kernels = chooseBackend(io.env, undefined).list();
  const kernel = kernels.find((state) => state.name === name || `/dev/${state.name}` === file);
  if (kernel !== undefined) return [kernel];
  const stats = fs.statSync(file, { bigint: true, throwIfNoEntry: false });
  const same = [...listDevices(io.env), ...kernels].filter(
    (state) => state.imageInode === String(stats?.ino) && state.imageDevice === String(stats?.dev),
  );
  if (same.length === 0) failures.say(`'${name}' is not attached`);
  return same;
}

async function one(io: Io, failures: Failures, state: DeviceState, options: DetachOptions): Promise<void> {
  try {
    const outcome = await backendOf(io.env, state).detach(state, options);
    if (outcome === 'later') failures.note(`${state.name} goes when the last has closed it`);
  } catch (error) {
    if (error instanceof DeviceBusyError) failures.say(error.message);
    else failures.add(`cannot detach '${state.name}'`, error);
  }
}
