import fs from 'node:fs';
import { hasCode } from '../errors.ts';

/** Removes one name, if it is there. Throws as unlink(2) fails: what `rmSync` of newer versions of Node throws has no code. */
export function removeFile(file: string): void {
  try {
    fs.unlinkSync(file);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}
