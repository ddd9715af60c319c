import type { DeviceState } from './device-state.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The folder that holds a folder for each attached device of this user; made when it is not there. 0700. */
export function runtimeFolder(env: Environment): string {
  throw new Error(`not there yet: ${String(env)}`);
}

/** All devices behind which there is a process of ours, by family and unit. What dead processes left is cleaned up on the way. */
export function listDevices(env: Environment): DeviceState[] {
  throw new Error(`not there yet: ${String(env)}`);
}

/**
 * The device that a name on a command line means, and the view of it: `loop0`, `/dev/loop0p1`, `/dev/rvnd0c`,
 * a path into the folder of the device files. Undefined when it is none of ours.
 */
export function findDevice(
  env: Environment,
  cwd: string,
  name: string,
): { readonly state: DeviceState; readonly view: DeviceState['views'][number] } | undefined {
  throw new Error(`not there yet: ${String(env)} ${cwd} ${name}`);
}

/** The devices of ours whose image is that file, by st_dev and st_ino. */
export function findByImage(env: Environment, path: string): DeviceState[] {
  throw new Error(`not there yet: ${String(env)} ${path}`);
}

/** The path by which any program opens the view, where it is a file; else its classic name, `/dev/loop0p1`, which our commands know. */
export function viewPath(state: DeviceState, view: string = state.views[0]!.name): string {
  return `${state.folder ?? '/dev'}/${view}`;
}
