import fs from 'node:fs';
import { loadLibC } from './native-file.ts';

let syncfs: ((fd: number) => number) | undefined;

/**
 * Has the kernel write what it holds back of the file system with this st_dev that is mounted at `directory`. Does nothing when another
 * one is there, or none: then nobody can write to it by that name.
 */
export function syncFileSystem(directory: string, device: number): void {
  const library = loadLibC();
  if (library === undefined) return;
  syncfs ??= library.func('int syncfs(int)') as (fd: number) => number;
  let fd: number;
  try {
    fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  } catch {
    // Unmounted meanwhile, or covered by something that may not be opened.
    return;
  }
  try {
    if (fs.fstatSync(fd).dev === device) syncfs(fd);
  } catch (error) {
    // Its root cannot be read any more: there is nothing that could be written.
    if (!(error instanceof Error && 'syscall' in error)) throw error;
  } finally {
    fs.closeSync(fd);
  }
}
