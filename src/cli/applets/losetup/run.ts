import path from 'node:path';
import type { DeviceChanges } from '../../../attach/client.ts';
import type { DeviceState } from '../../../attach/device-state.ts';
import { viewPath } from '../../../attach/registry.ts';
import { FsError, UsageError } from '../../../errors.ts';
import type { Io } from '../../io.ts';
import { print } from '../../verbs/print.ts';
import type { Command, Listing } from './command-line.ts';
import { LoopDevices, type NamedDevice } from './devices.ts';
import { complain, failureOf } from './failure.ts';
import { oldLine, renderListing, renderOne } from './report.ts';
import { devicesOf, setUp } from './set-up.ts';

/** Every command but the plain `losetup -f FILE`. */
export async function runCommand(io: Io, command: Command): Promise<number> {
  const devices = new LoopDevices(io, command.backend);
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
