import fs from 'node:fs';
import { UsageError } from '../errors.ts';
import type { AttachRequest, BackendKind, DeviceState } from './device-state.ts';
import type { Environment } from './environment.ts';

/** Which backend is meant, without loading either: a device's process is to start before anything else is loaded. */

export type BackendChoice = BackendKind | 'auto';

export const LOOP_CONTROL = '/dev/loop-control';

/**
 * `auto`: the kernel's for root where /dev/loop-control can be used, else ours. USERLOOP_BACKEND in the environment stands in for
 * the option where that is not given; `userloop shell` sets it. The kernel has loop devices only: for md and vnd it is always ours.
 */
export function chosenKind(env: Environment, choice: BackendChoice | undefined): BackendKind {
  const kind = choice ?? parseBackendChoice(env['USERLOOP_BACKEND'] ?? 'auto', 'USERLOOP_BACKEND');
  if (kind !== 'auto') return kind;
  return canUseKernelLoops() ? 'kernel' : 'user';
}

/** The value of `--backend` or of USERLOOP_BACKEND, which is the `source` that a complaint names. */
export function parseBackendChoice(text: string, source: string): BackendChoice {
  if (text === 'auto' || text === 'kernel' || text === 'user') return text;
  throw new UsageError(`${source} is "${text}", expected auto, kernel or user`);
}

/** Root, a loop driver, and the right to ask it for a unit. */
export function canUseKernelLoops(): boolean {
  if (process.platform !== 'linux' || process.geteuid?.() !== 0) return false;
  try {
    fs.closeSync(fs.openSync(LOOP_CONTROL, 'r+'));
    return true;
  } catch {
    // No driver, no node, or none that this container lets us open: the reason does not matter to the choice.
    return false;
  }
}

/** As `attach` of the backend that is chosen. */
export async function attachImage(
  env: Environment,
  choice: BackendChoice | undefined,
  request: AttachRequest,
): Promise<DeviceState> {
  if (chosenKind(env, choice) === 'user') {
    return (await import('./start-device.ts')).attachDevice(env, request);
  }
  return (await import('./kernel-loop.ts')).kernelLoopBackend.attach(request);
}
