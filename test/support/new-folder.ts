import fs from 'node:fs';

/**
 * Makes a folder named `prefix` and six digits, mode 0700, as mkdtemp(3) does with letters. Letters would now and then spell what a test
 * looks for in an output that names its files.
 */
export function newFolder(prefix: string): string {
  for (;;) {
    const folder = `${prefix}${String(Math.trunc(Math.random() * 1e6)).padStart(6, '0')}`;
    try {
      fs.mkdirSync(folder, { mode: 0o700 });
      return folder;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}
