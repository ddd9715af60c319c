import type { DeviceState } from '../../../attach/device-state.ts';
import { listDevices, viewPath } from '../../../attach/registry.ts';
import { type MountTableEntry, readMountTable } from '../../../host/mount-table.ts';
import { attachedSource } from '../mount/attached-source.ts';
import type { MountContext } from '../mount/context.ts';
import { devicesOf } from '../mount/loop-setup.ts';
import { findByDirectory } from '../mount/mount-list.ts';
import { pathStatus } from '../mount/path-status.ts';
import { findTagged, isTag } from '../mount/tagged-source.ts';

/** Something mounted, and the device of ours that serves it. */
export interface FoundMount {
  readonly directory: string;
  /** As the table of mounts has it. */
  readonly source: string;
  /** Undefined for what the kernel or another program has mounted. */
  readonly server: DeviceState | undefined;
  readonly entry: MountTableEntry | undefined;
}

/**
 * What a name given to umount means: the mount on that directory, or of that device or image; where there are several, the one that
 * was mounted last. Undefined when there is none.
 */
export function findMount(context: MountContext, name: string): FoundMount | undefined {
  const table = readMountTable();
  const servers = listDevices(context.io.env);
  const path = context.canonical(name);
  // In userloop shell the device's own file is a mount point, of its file.
  const onDirectory = isDevice(context, name, path) ? undefined : findByDirectory(table, path);
  if (onDirectory !== undefined) return found(onDirectory, servers);
  const sources = sourcesOf(context, name, path, servers);
  const entry = table.findLast(({ source }) => sources.has(source));
  return entry === undefined ? deadMount(servers, path) : found(entry, servers);
}

function isDevice({ io }: MountContext, name: string, path: string): boolean {
  if (attachedSource(io, name) === undefined) return false;
  return pathStatus(path)?.isDirectory() === false;
}

/** All mounts of the file system that is mounted on a directory, the last first. */
export function allTargets(context: MountContext, directory: string): FoundMount[] {
  const table = readMountTable();
  const entry = findByDirectory(table, context.canonical(directory));
  if (entry === undefined) return [];
  const servers = listDevices(context.io.env);
  return table
    .filter(({ device }) => device === entry.device)
    .toReversed()
    .map((each) => found(each, servers));
}

export function found(entry: MountTableEntry, servers: readonly DeviceState[]): FoundMount {
  const server = servers.find(({ mounts }) => mounts.some(({ directory }) => directory === entry.directory));
  return { directory: entry.directory, source: entry.source, server, entry };
}

/** A mount that a device still knows of though the table has lost it: another namespace, or a lazy unmount. */
function deadMount(servers: readonly DeviceState[], path: string): FoundMount | undefined {
  for (const server of servers) {
    const mount = server.mounts.find(({ directory }) => directory === path);
    if (mount !== undefined)
      return { directory: mount.directory, source: mount.source, server, entry: undefined };
  }
  return undefined;
}

/** What the table of mounts may call the device or image of that name. */
function sourcesOf(
  context: MountContext,
  name: string,
  path: string,
  servers: readonly DeviceState[],
): Set<string> {
  const sources = new Set([name, path]);
  const tagged = isTag(name) ? findTagged(context, name) : undefined;
  if (tagged !== undefined) sources.add(tagged);
  const { io } = context;
  const device = attachedSource(io, name);
  if (device !== undefined) {
    const { state, view } = device;
    sources.add(viewPath(state, view.name));
    for (const mount of state.mounts) if (mount.view === view.name) sources.add(mount.source);
  }
  if (pathStatus(path)?.isFile() !== true) return sources;
  for (const state of [...devicesOf(context, path), ...servers.filter(({ image }) => image === path)])
    for (const mount of state.mounts) sources.add(mount.source);
  return sources;
}
