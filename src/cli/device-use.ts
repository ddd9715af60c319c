import fs from 'node:fs';
import path from 'node:path';
import { listKernelLoops } from '../attach/kernel-loop-state.ts';
import { FsError, hasCode } from '../errors.ts';
import { formatDeviceNumber } from '../host/block-queue.ts';
import { readMountTable } from '../host/mount-table.ts';
import type { Io } from './io.ts';

/**
 * Throws EBUSY when the kernel has the image in a loop device, or has a file system of the block device mounted. What is attached or mounted by a
 * process of ours `openDevice` refuses.
 */
export function refuseInKernelUse(io: Io, name: string): void {
  const file = path.resolve(io.cwd, name);
  const stats = fs.statSync(file, { throwIfNoEntry: false });
  if (stats?.isFile() === true) {
    const loop = listKernelLoops().find(
      ({ imageDevice, imageInode }) => imageDevice === `${stats.dev}` && imageInode === `${stats.ino}`,
    );
    if (loop === undefined) return;
    const detail = `"${name}" is attached as /dev/${loop.name}: name that device instead, or detach it first`;
    throw new FsError('EBUSY', { detail });
  }
  if (stats?.isBlockDevice() !== true) return;
  const numbers = new Set(deviceNumbers(formatDeviceNumber(stats.rdev)));
  const mount = readMountTable().find(({ device }) => numbers.has(device));
  if (mount === undefined) return;
  throw new FsError('EBUSY', {
    detail: `${mount.source} is mounted on ${mount.directory}; unmount it first`,
  });
}

/** The numbers of a block device and of its partitions. */
function deviceNumbers(numbers: string): string[] {
  const folder = `/sys/dev/block/${numbers}`;
  try {
    const partitions = fs.readdirSync(folder).flatMap((entry) => {
      const file = path.join(folder, entry, 'dev');
      return fs.existsSync(path.join(folder, entry, 'partition')) && fs.existsSync(file)
        ? fs.readFileSync(file, 'latin1').trim()
        : [];
    });
    return [numbers, ...partitions];
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [numbers];
    throw error;
  }
}
