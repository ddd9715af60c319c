import fs from 'node:fs';
import path from 'node:path';
import { findByImage, viewPath, type FoundDevice } from '../../attach/registry.ts';
import { FsError, UnsupportedError } from '../../errors.ts';
import { readMountTable } from '../../host/mount-table.ts';
import { isNbdUri, parseNbdUri } from '../../host/nbd-uri.ts';
import type { Io } from '../io.ts';
import { findAttached, mountsOf, refuseAttached } from '../open-device.ts';

/**
 * What QEMU reads a disk from, as options of its -drive. Attached devices are reached over NBD: what the host's tools, or a mount, change
 * is what the guest reads next, also where there are no device files.
 */
export function driveSource(io: Io, image: string, writes: boolean): string {
  if (isNbdUri(image)) return uriSource(image, io.cwd);
  const attached = findAttached(io, image);
  if (attached !== undefined) return attachedSource(attached, writes);
  const file = path.resolve(io.cwd, image);
  if (writes) {
    refuseAttached(io, image);
    refuseMounted(file);
  } else {
    const state = findByImage(io.env, file).find(
      ({ nbdSocket, overlay }) => nbdSocket && overlay === undefined,
    );
    const whole = state !== undefined && state.offset === 0 && state.size >= fs.statSync(file).size;
    if (whole) return attachedSource({ state, view: state.views[0]! }, false);
  }
  return `file=${escape(file)}`;
}

function attachedSource(found: FoundDevice, writes: boolean): string {
  const { state, view } = found;
  const [mount] = mountsOf(found);
  if (writes && mount !== undefined) {
    throw new FsError('EBUSY', {
      detail:
        `${viewPath(state, mount.view)} is mounted on ${mount.directory}: what the guest writes would damage it; ` +
        'unmount it, or boot with --overlay or --read-only',
    });
  }
  if (writes && state.readOnly) {
    throw new FsError('EROFS', {
      detail: `${viewPath(state, view.name)} is read-only: boot with --overlay or --read-only`,
    });
  }
  return nbdSource({ 'server.type': 'unix', 'server.path': state.nbdSocket!, export: view.name });
}

function uriSource(uri: string, cwd: string): string {
  const { socket, host, port, exportName, tls } = parseNbdUri(uri, cwd);
  if (tls !== undefined) {
    throw new UnsupportedError('QEMU is not given credentials for TLS here: boot from nbd:// or nbd+unix://');
  }
  const server =
    socket === undefined
      ? { 'server.type': 'inet', 'server.host': host!, 'server.port': String(port) }
      : { 'server.type': 'unix', 'server.path': socket };
  return nbdSource({ ...server, export: exportName });
}

function nbdSource(options: Readonly<Record<string, string>>): string {
  const words = Object.entries(options).map(([name, value]) => `file.${name}=${escape(value)}`);
  return ['file.driver=nbd', ...words].join(',');
}

/** A comma in a value is written twice. */
function escape(value: string): string {
  return value.replaceAll(',', ',,');
}

/** A block device of the host, on which a file system is mounted. */
function refuseMounted(file: string): void {
  const stats = fs.statSync(file);
  if (!stats.isBlockDevice()) return;
  const number = `${Math.floor(stats.rdev / 256) % 4096}:${stats.rdev % 256}`;
  const mount = readMountTable().find(({ device, source }) => device === number || source === file);
  if (mount === undefined) return;
  throw new FsError('EBUSY', {
    detail: `${file} is mounted on ${mount.directory}: what the guest writes would damage it; unmount it, or boot with --overlay`,
  });
}
