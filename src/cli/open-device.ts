import fs from 'node:fs';
import path from 'node:path';
import type { DeviceState, MountState } from '../attach/device-state.ts';
import { type FoundDevice, findByImage, findDevice, viewPath } from '../attach/registry.ts';
import { type BlockDevice } from '../device/block-device.ts';
import { FsError } from '../errors.ts';
import { FileDevice } from '../host/file-device.ts';
import { openNbdDevice } from '../host/nbd-client-device.ts';
import { isNbdUri } from '../host/nbd-uri.ts';
import { WriteBehindDevice } from '../host/write-behind-device.ts';
import type { Io } from './io.ts';

export interface OpenDeviceOptions {
  readonly readOnly?: boolean;
  /** Logical sector, bytes. Default: that of an attached device, else 512. */
  readonly sectorSize?: number;
  /** Let a second thread write, once much is written. */
  readonly writeBehind?: boolean;
  /** Write an attached device although a file system on it is mounted: what changes is told to the mount. */
  readonly whileMounted?: boolean;
}

/**
 * The device behind a name on the command line. The one place where names become devices:
 *
 * 1. the URI of an NBD export: `nbd://HOST[:PORT]/NAME`, `nbds://…`, `nbd+unix:///NAME?socket=PATH`;
 * 2. an attached device, or a partition of one: `/dev/loop0p1`, `loop0`, `/dev/rvnd0c`, or the path of its file;
 * 3. a file or a block device of the host.
 *
 * A file that is attached is one device under two names: read here, it is read through the device, and to write it here is refused.
 */
export function openDevice(io: Io, name: string, options: OpenDeviceOptions = {}): BlockDevice {
  if (isNbdUri(name)) return openNbdDevice(name, { ...options, cwd: io.cwd });
  const attached = findAttached(io, name);
  if (attached !== undefined) return openAttached(attached, options);
  const file = path.resolve(io.cwd, name);
  if (options.readOnly !== true) refuseAttached(io, name);
  const through = findByImage(io.env, file).find(
    ({ readOnly, overlay }) => !readOnly && overlay === undefined,
  );
  if (through !== undefined) {
    const whole = openAttached({ state: through, view: through.views[0]! }, options);
    if (isWhole(through, file)) return whole;
    // Only a part of the file is behind the device: what is still in memory is written, and the file has it all.
    whole.flush();
    whole.close();
  }
  const device = FileDevice.open(file, options);
  return options.writeBehind === true ? new WriteBehindDevice(device) : device;
}

/** The attached device that the name stands for; a file of that name in the current folder comes first. */
export function findAttached(io: Io, name: string): FoundDevice | undefined {
  if (!name.includes('/') && fs.existsSync(path.resolve(io.cwd, name))) return undefined;
  const found = findDevice(io.env, io.cwd, name);
  if (found === undefined || found.state.nbdSocket === undefined) return undefined;
  // Not where the kernel has made a device of its own of that name since.
  const isKernels = fs.existsSync(`/sys/block/${found.state.name}/loop`);
  return isKernels && found.state.folder !== '/dev' && path.dirname(name) === '/dev' ? undefined : found;
}

/** Is there anything of that name that could be opened? */
export function deviceExists(io: Io, name: string): boolean {
  return isNbdUri(name) || fs.existsSync(path.resolve(io.cwd, name)) || findAttached(io, name) !== undefined;
}

/** The mounted file systems that lie on that view, wholly or in part. */
export function mountsOf({ state, view }: FoundDevice): MountState[] {
  return state.mounts.filter((mount) => {
    const mounted = state.views.find(({ name }) => name === mount.view);
    return (
      mounted !== undefined &&
      mounted.offset < view.offset + view.size &&
      view.offset < mounted.offset + mounted.size
    );
  });
}

function openAttached(found: FoundDevice, options: OpenDeviceOptions): BlockDevice {
  const { state, view } = found;
  const [mount] = mountsOf(found);
  if (options.readOnly !== true && options.whileMounted !== true && mount !== undefined) {
    throw new FsError('EBUSY', {
      detail: `${viewPath(state, mount.view)} is mounted on ${mount.directory}; unmount it first, or change its files there`,
      syscall: 'open',
      path: viewPath(state, view.name),
    });
  }
  const socket = encodeURIComponent(state.nbdSocket!);
  return openNbdDevice(`nbd+unix:///${view.name}?socket=${socket}`, {
    ...(options.readOnly === undefined ? {} : { readOnly: options.readOnly }),
    sectorSize: options.sectorSize ?? state.sectorSize,
  });
}

/** Throws EBUSY when the name is that of a file which is attached: whoever would write it is to write the device. */
export function refuseAttached(io: Io, name: string): void {
  const [state] = findByImage(io.env, path.resolve(io.cwd, name));
  if (state === undefined) return;
  const how = state.readOnly || state.overlay !== undefined ? 'for reading ' : '';
  throw new FsError('EBUSY', {
    detail: `"${name}" is attached ${how}as ${viewPath(state)} (process ${state.pid}): ${
      how === '' ? 'name that device instead, or detach it first' : 'detach it first'
    }`,
    syscall: 'open',
    path: name,
  });
}

function isWhole(state: DeviceState, file: string): boolean {
  return state.offset === 0 && state.size >= fs.statSync(file).size;
}
