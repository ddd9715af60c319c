import { FsError } from '../errors.ts';
import { isAlive } from '../host/process-identity.ts';
import { type ControlRequest, askControl } from './control.ts';
import type { DeviceState, MountState } from './device-state.ts';
import type { MountRequest } from './mount-request.ts';

export { attachDevice } from './start-device.ts';

export interface DetachOptions {
  /** When somebody has it open: go when the last has closed it, instead of failing. */
  readonly lazy?: boolean;
  /** Unmount and detach whoever has it open. */
  readonly force?: boolean;
}

/** How long a process that does not answer may take to end by itself, milliseconds. */
const ENDING = 3000;

/**
 * Resolves when everything is flushed and gone: `gone`; or when it is to go later: `later`. DeviceBusyError when somebody holds it
 * and neither `lazy` nor `force` is set; ETIMEDOUT when its process lives and cannot be asked, unless `force` is set.
 */
export async function detachDevice(
  state: DeviceState,
  options: DetachOptions = {},
): Promise<'gone' | 'later'> {
  const answer = await askControl<'gone' | 'later'>(state.controlSocket!, { operation: 'detach', options });
  if (answer?.value === 'later') return 'later';
  // It has let go of everything by now and is about to end.
  if (answer !== undefined) await isGoneWithin(state, Infinity);
  else if (!(await isGoneWithin(state, ENDING))) await endUnreachable(state, options);
  return 'gone';
}

async function isGoneWithin(state: DeviceState, milliseconds: number): Promise<boolean> {
  const end = Date.now() + milliseconds;
  for (let wait = 1; isAlive(state); wait = Math.min(2 * wait, 50)) {
    if (Date.now() >= end) return false;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
  return true;
}

/** Somebody has removed the socket: the signal has the process do what `force` does. */
async function endUnreachable(state: DeviceState, options: DetachOptions): Promise<void> {
  if (options.force !== true) {
    throw new FsError('ETIMEDOUT', {
      syscall: 'detach',
      path: state.controlSocket!,
      detail: `${state.name} is served by process ${state.pid}, which cannot be asked there any more; detach it with --force`,
    });
  }
  process.kill(state.pid, 'SIGTERM');
  await isGoneWithin(state, Infinity);
}

export async function mountDevice(state: DeviceState, request: MountRequest): Promise<MountState> {
  return ask<MountState>(state, { operation: 'mount', request });
}

export interface UnmountOptions {
  /** Detach the tree now, clean up when it is no longer busy. */
  readonly lazy?: boolean;
  readonly force?: boolean;
}

/** Resolves when everything is written and the mount is gone. EBUSY when files are open. */
export async function unmountDevice(
  state: DeviceState,
  directory: string,
  options: UnmountOptions = {},
): Promise<void> {
  await ask<null>(state, { operation: 'unmount', directory, options });
}

export interface DeviceChanges {
  /** Take the size of the image anew, or set that of memory (bytes). */
  readonly resize?: true | number;
  readonly sectorSize?: number;
  readonly directIo?: boolean;
  readonly autoclear?: boolean;
  readonly readOnly?: boolean;
}

export async function changeDevice(state: DeviceState, changes: DeviceChanges): Promise<DeviceState> {
  return ask<DeviceState>(state, { operation: 'change', changes });
}

async function ask<T>(state: DeviceState, request: ControlRequest): Promise<T> {
  const answer = await askControl<T>(state.controlSocket!, request);
  if (answer === undefined) throw new FsError('ENXIO', { detail: `${state.name} is not attached any more` });
  return answer.value;
}
