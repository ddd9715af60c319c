import type { ChildProcess } from 'node:child_process';
import { adoptEarlyDevice } from '../attach/early-device.ts';
import { programArguments } from '../host/program-arguments.ts';
import { main } from './main.ts';

export { main };

/** What bin/userloop does; `early` is the process that it has started for a device, if any. */
export function run(early?: ChildProcess): void {
  if (early !== undefined) adoptEarlyDevice(early);
  void main(process.argv[1] ?? 'userloop', programArguments()).then(
    (status) => {
      process.exitCode = status;
    },
    (error: unknown) => {
      // Node would print the line of the source with it, which is as long as the program.
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      process.stderr.write(`userloop: a fault of its own, please report it:\n${text}\n`);
      process.exitCode = 1;
    },
  );
}
