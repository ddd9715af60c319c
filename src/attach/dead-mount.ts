import fs from 'node:fs';
import { hasCode } from '../errors.ts';
import { readMountTable } from '../host/mount-table.ts';
import { UnmountFlag, nativeMountOperations } from '../host/native-mount.ts';

/** Where fusermount3, which unmounts for users who may not, can be. Not by PATH: in `userloop shell` other programs come first there. */
const FUSERMOUNT = ['/usr/bin/fusermount3', '/bin/fusermount3', '/usr/local/bin/fusermount3'];

/** Unmounts what is mounted at the place if the process that served it has died; leaves alone whatever else is there. */
export function unmountDead(place: string): void {
  if (!isDead(place)) return;
  if (!readMountTable().some(({ directory }) => directory === place)) return;
  unmountLazily(place);
}

/**
 * A FUSE mount without its process answers everything with ENOTCONN, or ECONNABORTED once; except for attributes, which the
 * kernel may still know.
 */
export function isDead(place: string): boolean {
  try {
    fs.statfsSync(place);
    return false;
  } catch (error) {
    return hasCode(error, 'ENOTCONN') || hasCode(error, 'ECONNABORTED');
  }
}

/** Whoever has something open in it keeps it; nobody finds it any more. */
export function unmountLazily(place: string): void {
  const native = nativeMountOperations();
  try {
    native?.unmount(place, UnmountFlag.detach | UnmountFlag.noFollow);
    if (native !== undefined) return;
  } catch (error) {
    if (hasCode(error, 'EINVAL') || hasCode(error, 'ENOENT')) return;
    if (!hasCode(error, 'EPERM')) throw error;
  }
  const program = FUSERMOUNT.find((file) => fs.existsSync(file));
  if (program === undefined) return;
  process.getBuiltinModule('node:child_process').spawnSync(program, ['-u', '-z', '-q', '--', place]);
}
