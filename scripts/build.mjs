// Builds dist/: the library as plain modules with types (tsc), the command line as one bundle split by command (esbuild).
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = `${root}node_modules/.bin/`;

rmSync(`${root}dist`, { recursive: true, force: true });
execFileSync(`${bin}tsc`, ['-p', 'tsconfig.json'], { cwd: root, stdio: 'inherit' });
const options = {
  absWorkingDir: root,
  outdir: 'dist/cli',
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
};
await build({
  ...options,
  entryPoints: { userloop: 'src/cli/entry.ts', 'shell-process': 'src/cli/shell/shell-process.ts' },
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
});
// What a device's process starts with; host/program-file.ts names it and those below. Its first file only starts a thread, the second is all the rest.
await build({
  ...options,
  entryPoints: { 'device-process': 'src/attach/entries/device-process.ts' },
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
});
// What threads start with. One file each: they need nearly all that they import, and to find
// and link twenty files takes Node longer than to read one of the same size.
await build({
  ...options,
  entryPoints: {
    'device-files-worker': 'src/attach/entries/device-files-worker.ts',
    'mount-worker': 'src/attach/entries/mount-worker.ts',
    'nbd-worker': 'src/attach/entries/nbd-worker.ts',
    'nbd-client-worker': 'src/attach/entries/nbd-client-worker.ts',
  },
});
