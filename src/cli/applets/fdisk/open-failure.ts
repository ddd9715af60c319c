import { FsError, hasCode } from '../../../errors.ts';

const REASONS = [
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOENT',
  'ENOTDIR',
  'EISDIR',
  'EINVAL',
  'ENXIO',
  'ELOOP',
  'ENAMETOOLONG',
] as const;

/** strerror(3)'s text of what kept a file from being opened. */
export function openFailure(error: unknown): string | undefined {
  const code = REASONS.find((candidate) => hasCode(error, candidate));
  return code === undefined ? undefined : new FsError(code).text;
}
