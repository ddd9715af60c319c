import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const PROGRAMS = path.resolve(import.meta.dirname, '../../dist/test');

/**
 * Vitest's global setup: one folder for all files of a run, and one for programs that it builds (built-program.ts), removed when
 * the run ends. Worker threads are ended without an `exit` event, so none of them could do it.
 */
export function setup(): () => void {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'userloop-test-'));
  process.env['USERLOOP_TEST_FOLDER'] = folder;
  // Some tests give files to other users; they must be able to reach them.
  fs.chmodSync(folder, 0o711);
  fs.mkdirSync(PROGRAMS, { recursive: true });
  const programs = fs.mkdtempSync(path.join(PROGRAMS, 'run-'));
  process.env['USERLOOP_TEST_PROGRAMS'] = programs;
  fs.chmodSync(programs, 0o711);
  return () => {
    for (const each of [folder, programs]) fs.rmSync(each, { recursive: true, force: true });
  };
}
