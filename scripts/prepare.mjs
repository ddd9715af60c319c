// Makes a fresh checkout ready: dependencies and build. Uses nothing but Node and npm, so that it can run first.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

export function prepare() {
  if (isOlder('node_modules/.package-lock.json', ['package-lock.json'])) {
    console.log('Installing dependencies (npm ci) …');
    execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: root,
      stdio: 'inherit',
    });
  }
  if (
    isOlder('dist/cli/userloop.js', [
      'src',
      'scripts/build.mjs',
      'scripts/keep-code.mjs',
      'package.json',
      'tsconfig.json',
    ])
  ) {
    console.log('Building …');
    execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: root, stdio: 'inherit' });
  }
}

/** Is the product absent, or older than the newest of its sources? */
function isOlder(product, sources) {
  const file = path.join(root, product);
  if (!existsSync(file)) return true;
  const made = statSync(file).mtimeMs;
  return sources.some((source) => newest(path.join(root, source)) > made);
}

function newest(file) {
  const stats = statSync(file);
  if (!stats.isDirectory()) return stats.mtimeMs;
  return Math.max(stats.mtimeMs, ...readdirSync(file).map((name) => newest(path.join(file, name))));
}
