import { ERRNO, FsError } from '../../../errors.ts';

/** Ends mkfs.fat with `NAME: message` on stderr and status 1. */
export class Failure extends Error {}

/** An error of the host's, or one of ours in the same shape. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && 'syscall' in error;
}

/** strerror(3)'s text. */
export function systemErrorText(error: NodeJS.ErrnoException): string {
  // That the image is attached and what to name instead, or which partitions there are, no error number says.
  if (error instanceof FsError && (error.code === 'EBUSY' || error.code === 'ENXIO'))
    return error.detail ?? error.text;
  if (error instanceof FsError) return error.text;
  const known: Readonly<Record<string, readonly [number, string] | undefined>> = ERRNO;
  return known[error.code ?? '']?.[1] ?? error.message;
}
