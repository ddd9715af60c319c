import { type BackendChoice, chosenKind } from './backend-choice.ts';
import type { DetachOptions, DeviceChanges } from './client.ts';
import type { AttachRequest, BackendKind, DeviceState } from './device-state.ts';
import { kernelLoopBackend } from './kernel-loop.ts';
import { firstFreeUnit } from './names.ts';
import { type Environment, listDevices, runtimePath } from './registry.ts';

export { type BackendChoice, parseBackendChoice } from './backend-choice.ts';

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

export function chooseBackend(env: Environment, choice: BackendChoice | undefined): Backend {
  return chosenKind(env, choice) === 'kernel' ? kernelLoopBackend : userBackend(env);
}

/** A process of ours behind each device, for anybody. */
export function userBackend(env: Environment): Backend {
  return {
    kind: 'user',
    list: () => listDevices(env),
    firstFreeUnit: () => firstFreeUnit(runtimePath(env), 'loop'),
    // Most commands only list: what talks to processes is loaded by those that do.
    attach: async (request) => (await import('./start-device.ts')).attachDevice(env, request),
    detach: async (state, options) => (await import('./client.ts')).detachDevice(state, options),
    change: async (state, changes) => (await import('./client.ts')).changeDevice(state, changes),
  };
}

/** The backend that `state` came from. */
export function backendOf(env: Environment, state: DeviceState): Backend {
  return state.backend === 'kernel' ? kernelLoopBackend : userBackend(env);
}
