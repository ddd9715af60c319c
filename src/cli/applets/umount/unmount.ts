import { spawnSync } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { unmountDevice } from '../../../attach/client.ts';
import type { DeviceState } from '../../../attach/device-state.ts';
import { listDevices } from '../../../attach/registry.ts';
import { FsError, hasCode, isOwnError } from '../../../errors.ts';
import { MountFlag, UnmountFlag } from '../../../host/native-mount.ts';
import type { MountContext } from '../mount/context.ts';
import { requireNativeMount } from '../mount/kernel-mount.ts';
import { reasonOf } from '../../verbs/failure.ts';
import { MountExit, MountFailure, whyOf } from '../mount/mount-failure.ts';
import type { UmountCommand } from './command-line.ts';
import type { FoundMount } from './find-mount.ts';

/** How long a device that goes with its last mount may take, milliseconds. */
const GOING_TIME = 10_000;

/** Unmounts one mount and tells of it; MountFailure with umount(8)'s words. */
export async function unmount(
  context: MountContext,
  command: UmountCommand,
  mount: FoundMount,
): Promise<void> {
  const loop = command.detachLoop ? loopOf(context, mount) : undefined;
  if (!command.fake) {
    try {
      await unmountBy(context, command, mount);
    } catch (error) {
      if (command.readOnlyWhenBusy && hasCode(error, 'EBUSY')) {
        remountReadOnly(context, mount);
        return;
      }
      // What could not be written to the end is unmounted all the same: whoever mounts the image again must not meet the device on its way out.
      await awaitGone(context, mount, command.lazy);
      throw failureOf(error, mount);
    }
    await awaitGone(context, mount, command.lazy);
    if (loop !== undefined && !loop.autoclear) await context.backend.detach(loop, { lazy: true });
  }
  const source = command.recursive || command.allTargets || mount.source === '' ? '' : ` (${mount.source})`;
  tell(context, `${mount.directory}${source} unmounted`);
}

/** The tool tells of it on standard error. */
function tell(context: MountContext, text: string): void {
  if (context.verbose) context.warn(text);
}

async function unmountBy(context: MountContext, command: UmountCommand, mount: FoundMount): Promise<void> {
  const { lazy, force } = command;
  if (mount.server !== undefined) return unmountDevice(mount.server, mount.directory, { lazy, force });
  const isFuse = mount.entry?.type.startsWith('fuse') === true;
  if (context.isSuperuser || !isFuse) {
    const flags = (lazy ? UnmountFlag.detach : 0) | (force ? UnmountFlag.force : 0);
    return requireNativeMount().unmount(mount.directory, flags);
  }
  return unmountForeign(mount.directory, lazy);
}

/** Another program's FUSE mount, by the helper that lets the user who mounted it. */
function unmountForeign(directory: string, lazy: boolean): void {
  for (const program of ['fusermount3', 'fusermount']) {
    const result = spawnSync(program, ['-u', ...(lazy ? ['-z'] : []), '--', directory], { encoding: 'utf8' });
    if (result.error !== undefined) continue;
    if (result.status === 0) return;
    const isBusy = /busy/i.test(result.stderr);
    throw Object.assign(new Error(result.stderr.trim()), {
      code: isBusy ? 'EBUSY' : 'EPERM',
      syscall: 'umount',
    });
  }
  throw Object.assign(new Error('fusermount3 is not there'), { code: 'EPERM', syscall: 'umount' });
}

function remountReadOnly(context: MountContext, { directory, source }: FoundMount): void {
  const flags = MountFlag.remount | MountFlag.readOnly;
  try {
    requireNativeMount().mount({ source, target: directory, type: '', flags });
  } catch (error) {
    throw failureOf(error, { directory });
  }
  tell(context, `${source} busy - remounted read-only`);
}

/** The device that umount -d is to detach, too. */
function loopOf(context: MountContext, { directory, server }: FoundMount): DeviceState | undefined {
  return (
    server ?? context.backend.list().find(({ mounts }) => mounts.some((each) => each.directory === directory))
  );
}

/** A device that was made for its mounts has gone when we return, as the kernel's has. */
async function awaitGone(context: MountContext, { server }: FoundMount, lazy: boolean): Promise<void> {
  if (server === undefined || !server.autoclear || lazy || server.mounts.length > 1) return;
  const end = Date.now() + GOING_TIME;
  while (Date.now() < end) {
    const now = listDevices(context.io.env).find(
      ({ name, pid, startTime }) =>
        name === server.name && pid === server.pid && startTime === server.startTime,
    );
    // With more of it in use, by a mount that came meanwhile or an open file, it stays.
    if (now === undefined || now.mounts.length > 0) return;
    await setTimeout(10);
  }
}

function failureOf(error: unknown, { directory }: { readonly directory: string }): MountFailure {
  if (error instanceof MountFailure) return error;
  if (!isOwnError(error) && !(error instanceof Error && ('syscall' in error || 'code' in error))) throw error;
  return failure(error, directory);
}

/** libmount's words for the errno. */
function failure(error: unknown, directory: string): MountFailure {
  if (hasCode(error, 'EBUSY')) return new MountFailure(`${directory}: target is busy.`);
  if (hasCode(error, 'EPERM') || hasCode(error, 'EACCES')) {
    const text = process.geteuid?.() === 0 ? 'permission denied.' : 'must be superuser to unmount.';
    return new MountFailure(`${directory}: ${text}`);
  }
  if (hasCode(error, 'ENXIO')) return new MountFailure(`${directory}: invalid block device.`);
  if (hasCode(error, 'EINVAL')) return new MountFailure(`${directory}: not mounted.`);
  if (hasCode(error, 'EIO')) {
    const hints = error instanceof FsError && error.detail !== undefined ? [reasonOf(error)] : [];
    return new MountFailure(`${directory}: can't write superblock.`, undefined, hints);
  }
  if (hasCode(error, 'ENOENT')) return new MountFailure(`${directory}: not found.`);
  if (hasCode(error, 'EROFS'))
    return new MountFailure(`${directory}: block devices not permitted on filesystem.`);
  return new MountFailure(`${directory}: ${whyOf(error)}.`, MountExit.failed);
}
