import { ERRNO, FsError, UnsupportedError, UsageError } from '../../../errors.ts';
import type { Io } from '../../io.ts';
import { isSystemError, systemErrorText } from '../mkfs-fat/failure.ts';

/** Turns what the system or we refuse into the tool's line, `WHAT: REASON`, and a second line where we know more; other errors pass. */
export function failureOf(error: unknown, what: string): UsageError {
  if (error instanceof FsError) {
    const text = `${what}: ${error.text}`;
    return new UsageError(error.detail === undefined ? text : `${text}\n${error.detail}`, 1);
  }
  if (error instanceof UnsupportedError) {
    return new UsageError(`${what}: ${ERRNO.EOPNOTSUPP[1]}\n${error.message}`, 1);
  }
  if (isSystemError(error)) return new UsageError(`${what}: ${systemErrorText(error)}`, 1);
  throw error;
}

/** In the tool's own form: errors of getopt point to the help, all others stand alone, and an empty one is no line at all. */
export function complain(io: Io, { message }: UsageError): void {
  for (const line of message === '' ? [] : message.split('\n')) io.stderr.write(`losetup: ${line}\n`);
  if (/^(invalid option|unrecognized option|option )/.test(message)) {
    io.stderr.write("Try 'losetup --help' for more information.\n");
  }
}
