import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { PROGRAMS } from './built-program.ts';
import { newFolder } from './new-folder.ts';

/** From where packages are found. */
const BUILT = path.resolve(import.meta.dirname, '../../dist/test');

/** Files that are in memory only. */
const MEMORY = '/dev/shm';
/** Tests that run at once need much less. */
const MEMORY_NEEDED = 1 << 30;

/**
 * Vitest's global setup: one folder for all files of a run, one for those that need not be on a disk, and one with the programs that tests start, removed when the run ends. Worker
 * threads are ended without an `exit` event, so none of them could do it.
 */
export async function setup(): Promise<() => void> {
  // Each project of vitest.config.ts has this called.
  if (process.env['USERLOOP_TEST_FOLDER'] !== undefined) return () => {};
  const folder = newFolder(path.join(os.tmpdir(), 'userloop-test-'));
  process.env['USERLOOP_TEST_FOLDER'] = folder;
  const inMemory = hasRoomInMemory() ? newFolder(`${MEMORY}/userloop-test-`) : folder;
  process.env['USERLOOP_TEST_MEMORY_FOLDER'] = inMemory;
  // Some tests give files to other users; they must be able to reach them.
  fs.chmodSync(folder, 0o711);
  fs.mkdirSync(BUILT, { recursive: true });
  const programs = newFolder(path.join(BUILT, 'run-'));
  process.env['USERLOOP_TEST_PROGRAMS'] = programs;
  fs.chmodSync(programs, 0o711);
  await build({
    entryPoints: PROGRAMS.map((name) => path.join(import.meta.dirname, `${name}.ts`)),
    outdir: programs,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    packages: 'external',
    logLevel: 'warning',
  });
  return () => {
    for (const each of [folder, inMemory, programs]) fs.rmSync(each, { recursive: true, force: true });
  };
}

function hasRoomInMemory(): boolean {
  if (!fs.existsSync(MEMORY)) return false;
  const { bavail, bsize } = fs.statfsSync(MEMORY);
  return bavail * bsize >= MEMORY_NEEDED && os.freemem() >= MEMORY_NEEDED;
}
