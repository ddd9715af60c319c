// Builds dist/: the library as plain modules with types (tsc), the programs as bundles (esbuild).
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
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
};
// The command line as modules, split by command.
await build({
  ...options,
  format: 'esm',
  entryPoints: { userloop: 'src/cli/entry.ts', 'shell-process': 'src/cli/shell/shell-process.ts' },
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
});
// What starts often, one script each. For processes and threads of devices that host/program-file.ts names: they need nearly all that
// they import, and to find and link twenty files takes Node longer than to read one of the same size; scripts start sooner than
// modules. The process has two: the first only starts a thread and loads the other. And the command line once more, for which compiled code is kept.
await build({
  ...options,
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  define: { 'import.meta.url': 'importMetaUrl' },
  banner: { js: "const importMetaUrl=require('node:url').pathToFileURL(__filename).href;" },
  entryPoints: {
    userloop: 'src/cli/entry.ts',
    'compiled-script': 'src/host/compiled-script.ts',
    'early-device': 'src/attach/entries/early-device.ts',
    'device-process': 'src/attach/entries/device-process.ts',
    'device-main': 'src/attach/device-main.ts',
    'device-files-worker': 'src/attach/entries/device-files-worker.ts',
    'mount-worker': 'src/attach/entries/mount-worker.ts',
    'nbd-worker': 'src/attach/entries/nbd-worker.ts',
    'nbd-client-worker': 'src/attach/entries/nbd-client-worker.ts',
  },
});
execFileSync(process.execPath, [`${root}scripts/keep-code.mjs`], { stdio: 'inherit' });
