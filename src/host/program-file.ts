import fs from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The programs that processes and threads of ours start with; scripts/build.mjs makes one file of each. */
export type ProgramName =
  | 'userloop'
  | 'shell-process'
  | 'device-process'
  | 'device-main'
  | 'device-files-worker'
  | 'mount-worker'
  | 'nbd-worker'
  | 'nbd-client-worker';

/** Those that are modules; the rest are scripts, which Node starts sooner. */
const COMMAND_LINE: ReadonlySet<ProgramName> = new Set(['userloop', 'shell-process']);

let folder: string | undefined;

/** Absolute path of a built program, wherever in the package this module runs from: a bundle, dist/ or src/. */
export function programFile(name: ProgramName): string {
  folder ??= findFolder();
  return `${folder}/${name}.${COMMAND_LINE.has(name) ? 'js' : 'cjs'}`;
}

function findFolder(): string {
  let at = fileURLToPath(new URL('.', import.meta.url)).replace(/\/$/, '');
  while (!fs.existsSync(`${at}/package.json`)) {
    const above = at.slice(0, at.lastIndexOf('/'));
    if (above === '') throw new Error(`No package.json above ${import.meta.url}`);
    at = above;
  }
  return `${at}/dist/cli`;
}
