import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/**
 * Vitest's global setup: one folder for all files of a run, removed when the run ends. Worker threads are ended without
 * an `exit` event, so none of them could do it.
 */
export function setup(): () => void {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'userloop-test-'));
  process.env['USERLOOP_TEST_FOLDER'] = folder;
  // Some tests give files to other users; they must be able to reach them.
  fs.chmodSync(folder, 0o711);
  return () => fs.rmSync(folder, { recursive: true, force: true });
}
