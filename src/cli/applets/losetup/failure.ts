import { ERRNO, FsError, UnsupportedError, UsageError } from '../../../errors.ts';
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
