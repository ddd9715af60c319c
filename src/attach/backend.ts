import type { DetachOptions, DeviceChanges } from './client.ts';
import type { AttachRequest, BackendKind, DeviceState } from './device-state.ts';
import type { Environment } from './registry.ts';

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

/**
 * `auto`: the kernel's for root where /dev/loop-control can be used, else ours. USERLOOP_BACKEND in the environment stands in for
 * the option where that is not given; `userloop shell` sets it. The kernel has loop devices only: for md and vnd it is always ours.
 */
export function chooseBackend(env: Environment, choice: BackendKind | 'auto' | undefined): Backend {
  throw new Error(`not there yet: ${String(env)} ${choice}`);
}
