import fs from 'node:fs';
import { hasCode } from '../errors.ts';
import { isAlive, ownIdentity } from '../host/process-identity.ts';
import { removeFile } from '../host/remove-file.ts';
import { giveNameBack, isOwned, readJson } from './device-folder.ts';
import type { DeviceState } from './device-state.ts';
import { MOUNT_POINTS_FILE } from './mount-points.ts';
import { unmountDead } from './dead-mount.ts';
import { unpublishAll } from './publish.ts';

/**
 * Removes what a killed process left: mounts that nobody serves any more, names, sockets, the folder. Several commands may come across
 * it at once: one of them does it, told by a link `cleaner` in the folder, and the others go on as if it were done.
 */
export function cleanUpDevice(runtime: string, name: string): void {
  const folder = `${runtime}/${name}`;
  if (!becomeCleaner(folder)) return;
  // The folder may be a new one by now, of somebody who lives; as long as the link is in it nobody else takes it away.
  if (isOwned(folder)) {
    removeFile(`${folder}/cleaner`);
    return;
  }
  const state = readJson<DeviceState>(`${folder}/state.json`);
  for (const directory of readJson<string[]>(`${folder}/${MOUNT_POINTS_FILE}`) ?? []) unmountDead(directory);
  for (const { directory } of state?.mounts ?? []) unmountDead(directory);
  unpublishAll(runtime, name, state);
  unmountDead(`${folder}/files`);
  giveNameBack(runtime, name);
}

function becomeCleaner(folder: string): boolean {
  const link = `${folder}/cleaner`;
  const { pid, startTime } = ownIdentity();
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      fs.symlinkSync(`${pid}:${startTime}`, link);
      return true;
    } catch (error) {
      if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return false;
      if (!hasCode(error, 'EEXIST')) throw error;
    }
    const [other = '0', started = ''] = readLink(link).split(':');
    if (isAlive({ pid: Number(other), startTime: started })) return false;
    // The cleaner, too, was killed.
    removeFile(link);
  }
  return false;
}

function readLink(link: string): string {
  try {
    return fs.readlinkSync(link);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return '';
    throw error;
  }
}
