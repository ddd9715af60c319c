// Runs commands in the tour's folder: ours through bin/userloop, the reference tools where the machine has them.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { root } from '../prepare.mjs';
import { command, failed, output } from './console.mjs';

export const program = path.join(root, 'bin', 'userloop');

const FOLDERS = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/local/sbin'];

export function findTool(name) {
  return FOLDERS.map((folder) => path.join(folder, name)).find((file) => existsSync(file));
}

export class Session {
  constructor(folder) {
    this.folder = folder;
  }

  /**
   * Runs `userloop ARGV…`. `classic` is the line that is shown for it: what a person types for the classic tool.
   * `expect` is text that must be in the output.
   */
  run(argv, { classic = argv.join(' '), input, lines, quiet = false, expect = [] } = {}) {
    const ours = `userloop ${argv.join(' ')}`;
    command(classic, classic === argv.join(' ') ? undefined : ours);
    const result = spawnSync(process.execPath, [program, ...argv], {
      cwd: this.folder,
      input: input ?? '',
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    const said = `${result.stdout}${result.stderr}`;
    if (!quiet || result.status !== 0) output(said, lines);
    if (result.status !== 0) failed(`${ours} ended with status ${result.status}`);
    for (const text of expect) {
      if (!said.includes(text)) failed(`${ours} did not say "${text}"`);
    }
    return said;
  }

  /** Runs a reference tool that must agree; undefined where the machine does not have it. */
  judge(name, args) {
    const tool = findTool(name);
    if (tool === undefined) return undefined;
    const { status, stdout, stderr } = spawnSync(tool, args, {
      cwd: this.folder,
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C.UTF-8', MTOOLS_SKIP_CHECK: '1' },
    });
    return { status, text: `${stdout}${stderr}` };
  }
}
