import { ERRNO, FsError } from '../../../errors.ts';

/** Ends mkfs.fat with `NAME: message` on stderr and status 1. */
export class Failure extends Error {}

/** An error of the host's, or one of ours in the same shape. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && 'syscall' in error;
}

/** strerror(3)'s text. */
export function systemErrorText(error: NodeJS.ErrnoException): string {
  // That the image is attached, and what to name instead, no error number says.
  if (error instanceof FsError) return error.code === 'EBUSY' ? (error.detail ?? error.text) : error.text;
  const known: Readonly<Record<string, readonly [number, string] | undefined>> = ERRNO;
  return known[error.code ?? '']?.[1] ?? error.message;
}
