// The tour's device and mount: the article's own lines in `userloop shell`, with the machine's programs.
import { spawnSync } from 'node:child_process';
import { command, failed, output, passed, skipped } from './console.mjs';
import { program } from './session.mjs';

/** Told before each command in the shell's output; no program prints it. */
const MARK = '\u0001';

/** Runs the lines one after the other in one `userloop shell`; false where there can be none, which is said. */
export function runInShell(session, lines) {
  const probe = userloop(session, ['shell', '--', 'true']);
  if (probe.status !== 0) {
    const [why] = `${probe.stderr}`.split('\n');
    skipped(`no shell with devices here: ${why}`);
    return false;
  }
  const script = lines.map((line) => `printf '${MARK}'; { ${line}; } 2>&1 || exit`).join('\n');
  const result = userloop(session, ['shell', '--', 'sh', '-c', script]);
  const said = result.stdout.split(MARK).slice(1);
  for (const [index, line] of lines.entries()) {
    if (said[index] === undefined) break;
    command(line);
    output(said[index]);
  }
  if (result.status === 0) passed('every command ended well, and nothing is left attached or mounted');
  else failed(`userloop shell ended with status ${result.status}: ${result.stderr}`);
  return result.status === 0;
}

function userloop(session, argv) {
  return spawnSync(process.execPath, [program, ...argv], {
    cwd: session.folder,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
