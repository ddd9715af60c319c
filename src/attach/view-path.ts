import type { DeviceState } from './device-state.ts';

/** The path by which any program opens the view, where it is a file; else its classic name, `/dev/loop0p1`, which our commands know. */
export function viewPath(state: DeviceState, view: string = state.views[0]!.name): string {
  return `${state.folder ?? '/dev'}/${view}`;
}
