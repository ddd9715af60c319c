// npm test: installs, builds, fetches the reference tools where it may, checks style and types, runs every test.
// Arguments go to vitest (`npm test -- test/unit`). The last line is `N passed, N failed, N skipped`.
import { spawnSync } from 'node:child_process';
import { prepare, root } from './prepare.mjs';
import { fetchReferenceTools } from './reference-tools.mjs';

prepare();
fetchReferenceTools();

const bin = `${root}node_modules/.bin/`;
const filters = process.argv.slice(2);
const checks = [
  ['format', `${bin}prettier`, ['--check', '--log-level', 'warn', '.']],
  ['lint', `${bin}oxlint`, ['--type-aware', '--quiet']],
  ['types of the core (no Node, no DOM)', `${bin}tsc`, ['-p', 'tsconfig.core.json']],
  ['types of the tests', `${bin}tsc`, ['-p', 'tsconfig.test.json']],
];
let failedChecks = 0;
if (filters.length === 0) {
  for (const [name, command, args] of checks) {
    const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
    console.log(status === 0 ? 'ok  ' : 'FAIL', name);
    if (status !== 0) failedChecks++;
  }
}
const { status } = spawnSync(`${bin}vitest`, ['run', ...filters], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, USERLOOP_FAILED_CHECKS: String(failedChecks) },
});
process.exitCode = status === 0 && failedChecks === 0 ? 0 : 1;
