import path from 'node:path';
import { threadId } from 'node:worker_threads';
import { buildSync } from 'esbuild';

const built = new Map<string, string>();

/**
 * The file of a program for a process or thread of its own, built from `test/support/NAME.ts` once for all tests of this thread. It lies where packages are
 * found from it, and goes with the run (run-folder.ts).
 */
export function builtProgram(name: string): string {
  let outfile = built.get(name);
  if (outfile === undefined) {
    const folder =
      process.env['USERLOOP_TEST_PROGRAMS'] ?? path.resolve(import.meta.dirname, '../../dist/test');
    outfile = path.join(folder, `${name}-${process.pid}-${threadId}.mjs`);
    buildSync({
      entryPoints: [path.join(import.meta.dirname, `${name}.ts`)],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20.19',
      packages: 'external',
      logLevel: 'warning',
    });
    built.set(name, outfile);
  }
  return outfile;
}
