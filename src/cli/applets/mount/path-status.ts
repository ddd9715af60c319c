import fs from 'node:fs';

/** stat(2) of a path; undefined when it is not there, and when it may not or cannot be looked at: another user's FUSE mount, a dead one. */
export function pathStatus(path: string): fs.BigIntStats | undefined {
  try {
    return fs.statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
