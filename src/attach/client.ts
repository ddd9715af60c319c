import type { AttachRequest, DeviceState, MountState } from './device-state.ts';
import type { MountRequest } from './mount-request.ts';
import type { Environment } from './registry.ts';

/** Starts the process behind a device; resolves when the device and its partitions can be opened. */
export async function attachDevice(env: Environment, request: AttachRequest): Promise<DeviceState> {
  throw new Error(`not there yet: ${String(env)} ${String(request)}`);
}

export interface DetachOptions {
  /** When somebody has it open: go when the last has closed it, instead of failing. */
  readonly lazy?: boolean;
  /** Unmount and detach whoever has it open. */
  readonly force?: boolean;
}

/**
 * Resolves when everything is flushed and gone: `gone`; or when it is to go later: `later`. DeviceBusyError when somebody holds it
 * and neither `lazy` nor `force` is set.
 */
export async function detachDevice(
  state: DeviceState,
  options: DetachOptions = {},
): Promise<'gone' | 'later'> {
  throw new Error(`not there yet: ${String(state)} ${String(options)}`);
}

export async function mountDevice(state: DeviceState, request: MountRequest): Promise<MountState> {
  throw new Error(`not there yet: ${String(state)} ${String(request)}`);
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
  throw new Error(`not there yet: ${String(state)} ${directory} ${String(options)}`);
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
  throw new Error(`not there yet: ${String(state)} ${String(changes)}`);
}
