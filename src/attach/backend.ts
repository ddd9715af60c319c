import { UsageError } from '../errors.ts';
import type { DetachOptions, DeviceChanges } from './client.ts';
import type { AttachRequest, BackendKind, DeviceState } from './device-state.ts';
import { canUseKernelLoops, kernelLoopBackend } from './kernel-loop.ts';
import { firstFreeUnit } from './names.ts';
import { type Environment, listDevices, runtimePath } from './registry.ts';

/** Devices by whatever stands behind them: the commands are the same either way. */
export interface Backend {
  readonly kind: BackendKind;
  list(): DeviceState[];
  /** The unit that `losetup -f` names. */
  firstFreeUnit(): number;
  attach(request: AttachRequest): Promise<DeviceState>;
  detach(state: DeviceState, options?: DetachOptions): Promise<'gone' | 'later'>;
  change(state: DeviceState, changes: DeviceChanges): Promise<DeviceState>;
}

export type BackendChoice = BackendKind | 'auto';

/**
 * `auto`: the kernel's for root where /dev/loop-control can be used, else ours. USERLOOP_BACKEND in the environment stands in for
 * the option where that is not given; `userloop shell` sets it. The kernel has loop devices only: for md and vnd it is always ours.
 */
export function chooseBackend(env: Environment, choice: BackendChoice | undefined): Backend {
  const kind = choice ?? parseBackendChoice(env['USERLOOP_BACKEND'] ?? 'auto', 'USERLOOP_BACKEND');
  if (kind === 'kernel' || (kind === 'auto' && canUseKernelLoops())) return kernelLoopBackend;
  return userBackend(env);
}

/** The value of `--backend` or of USERLOOP_BACKEND, which is the `source` that a complaint names. */
export function parseBackendChoice(text: string, source: string): BackendChoice {
  if (text === 'auto' || text === 'kernel' || text === 'user') return text;
  throw new UsageError(`${source} is "${text}", expected auto, kernel or user`);
}

/** A process of ours behind each device, for anybody. */
export function userBackend(env: Environment): Backend {
  return {
    kind: 'user',
    list: () => listDevices(env),
    firstFreeUnit: () => firstFreeUnit(runtimePath(env), 'loop'),
    // Most commands only list: what talks to processes is loaded by those that do.
    attach: async (request) => (await import('./client.ts')).attachDevice(env, request),
    detach: async (state, options) => (await import('./client.ts')).detachDevice(state, options),
    change: async (state, changes) => (await import('./client.ts')).changeDevice(state, changes),
  };
}

/** The backend that `state` came from. */
export function backendOf(env: Environment, state: DeviceState): Backend {
  return state.backend === 'kernel' ? kernelLoopBackend : userBackend(env);
}
