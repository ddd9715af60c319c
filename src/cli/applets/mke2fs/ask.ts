import { FsError } from '../../../errors.ts';
import type { Io } from '../../io.ts';
import { Failure } from '../e2fsprogs/failure.ts';

/** Runs the core; what it says of wrong options becomes the tool's message. */
export function attempt<T>(work: () => T, message: (detail: string) => string): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof FsError && error.detail !== undefined && error.syscall === undefined)
      throw new Failure(message(error.detail));
    throw error;
  }
}

/** Goes on only when the answer begins with a y. */
export function proceedOrFail(io: Io): void {
  io.stdout.write('Proceed anyway? (y,N) ');
  if (!/^y/i.test(io.stdin.readLine() ?? '')) throw new Failure('\n', 'stdout');
}
