import fs from 'node:fs';
import { hasCode } from '../errors.ts';
import { MountFlag, nativeMountOperations } from '../host/native-mount.ts';

/**
 * The folder with the names of devices takes no other entries: who writes to the name of a partition that has gone shall hear so, instead of making a
 * plain file there. A folder of this user's is closed by its mode, the /dev of `userloop shell`, whose user is root there, by its mount. It is open
 * only while a name is made or removed. Root's own folder outside of a shell stays as open as the system's /dev.
 */
const OPEN_MODE = 0o700;
const CLOSED_MODE = 0o500;

/** Others close it again while we are about to change it. */
const TRIES = 1000;

/** Does `change`, which makes or removes an entry and may be done again after it has failed. */
export function changeClosedFolder(folder: string, change: () => void): void {
  let close = (): void => {};
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        change();
        return;
      } catch (error) {
        if (attempt === TRIES) throw error;
        if (hasCode(error, 'EACCES')) {
          fs.chmodSync(folder, OPEN_MODE);
          close = () => closeFolder(folder);
        } else if (hasCode(error, 'EROFS')) {
          setReadOnly(folder, false);
          close = () => closeMount(folder);
        } else throw error;
      }
    }
  } finally {
    close();
  }
}

/** For a folder that belongs to this user. */
export function closeFolder(folder: string): void {
  fs.chmodSync(folder, CLOSED_MODE);
}

/** For a folder that is a mount point: this mount of it, with nothing that is mounted in it. */
export function closeMount(folder: string): void {
  setReadOnly(folder, true);
}

function setReadOnly(folder: string, readOnly: boolean): void {
  nativeMountOperations()!.mount({
    source: '',
    target: folder,
    type: '',
    flags: MountFlag.remount | MountFlag.bind | MountFlag.noSuid | (readOnly ? MountFlag.readOnly : 0),
  });
}
