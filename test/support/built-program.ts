import path from 'node:path';

/** Programs for processes and threads of their own, of which the source is in test/support. */
export const PROGRAMS = [
  'block-thread',
  'nbd-server-process',
  'overlay-writer',
  'program-starter',
  'serve-device-files',
] as const;

/** The file of such a program. It was built when the run began (run-folder.ts), so that it is of the same source as the tests. */
export function builtProgram(name: (typeof PROGRAMS)[number]): string {
  return path.join(process.env['USERLOOP_TEST_PROGRAMS']!, `${name}.js`);
}
