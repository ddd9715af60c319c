import { FsError, hasCode } from '../../../errors.ts';

const REASONS = [
  'EACCES',
  'EBUSY',
  'EINVAL',
  'EIO',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOMEDIUM',
  'ENOTDIR',
  'ENXIO',
  'EPERM',
  'ENOSPC',
  'EROFS',
] as const;

const EXPLAINED = ['EACCES', 'EBUSY', 'EPERM', 'EROFS'] as const;

/** strerror(3)'s text of what kept a disk from being opened or written; undefined for another error. */
export function failureText(error: unknown): string | undefined {
  if (error instanceof FsError) return error.text;
  const code = REASONS.find((candidate) => hasCode(error, candidate));
  return code === undefined ? undefined : new FsError(code).text;
}

/**
 * What a tool says, under its name, of a disk that it cannot open: the reason; where it is busy, who has it; where it can only be read, how.
 * Undefined for another error.
 */
export function openFailure(name: string, error: unknown): string[] | undefined {
  const reason = failureText(error);
  if (reason === undefined) return undefined;
  const told = EXPLAINED.some((code) => hasCode(error, code)) ? (error as FsError).detail : undefined;
  return [`cannot open ${name}: ${reason}`, ...(told === undefined ? [] : [told])];
}
