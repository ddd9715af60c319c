import type { DeviceState } from '../../../attach/device-state.ts';
import { type FoundDevice, findDevice, viewPath } from '../../../attach/registry.ts';
import type { Io } from '../../io.ts';
import { findAttached } from '../../open-device.ts';

/** The device of ours that a name stands for, also the one over the kernel's device of that name. */
export function attachedSource(io: Io, name: string): FoundDevice | undefined {
  const attached = findAttached(io, name);
  if (attached !== undefined) return attached;
  const over = findDevice(io.env, io.cwd, name);
  return over !== undefined && over.state.image === `/dev/${over.state.name}` ? over : undefined;
}

/** A name by which our commands open just this view, whatever else has its classic name by now. */
export function ownName(state: DeviceState, view: string): string {
  if (state.nbdSocket === undefined) return viewPath(state, view);
  return `nbd+unix:///${view}?socket=${encodeURIComponent(state.nbdSocket)}`;
}
