import fs from 'node:fs';
import path from 'node:path';
import { hasCode } from '../errors.ts';

/**
 * Makes a folder and those that lead to it, as far as they are missing. Node's own `recursive` never returns where a folder is there and nothing
 * can be made in it: in /proc, or in one that was removed while it is somebody's current folder; and of a file system that cannot be written it says that
 * something does not exist.
 */
export function makeFolders(folder: string, mode?: number): void {
  try {
    fs.mkdirSync(folder, { mode });
  } catch (error) {
    if (hasCode(error, 'ENOENT') && !fs.existsSync(path.dirname(folder))) {
      makeFolders(path.dirname(folder), mode);
      fs.mkdirSync(folder, { mode });
      return;
    }
    // It may be there where it could not be made: EROFS, EACCES.
    if (fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
  }
}
