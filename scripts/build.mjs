// Builds dist/: the library as plain modules with types (tsc), the command line as one bundle split by command (esbuild).
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = `${root}node_modules/.bin/`;

rmSync(`${root}dist`, { recursive: true, force: true });
execFileSync(`${bin}tsc`, ['-p', 'tsconfig.json'], { cwd: root, stdio: 'inherit' });
await build({
  absWorkingDir: root,
  entryPoints: {
    userloop: 'src/cli/entry.ts',
    // What a process or a thread starts with; host/program-file.ts names them.
    'shell-process': 'src/cli/shell/shell-process.ts',
    'device-process': 'src/attach/entries/device-process.ts',
    'device-files-worker': 'src/attach/entries/device-files-worker.ts',
    'mount-worker': 'src/attach/entries/mount-worker.ts',
    'nbd-worker': 'src/attach/entries/nbd-worker.ts',
    'nbd-client-worker': 'src/attach/entries/nbd-client-worker.ts',
  },
  outdir: 'dist/cli',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  chunkNames: 'chunks/[name]-[hash]',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
});
