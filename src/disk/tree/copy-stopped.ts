import { CorruptImageError, hasCode } from '../../errors.ts';

/** The target cannot take any more; the listener has been told why. */
export class CopyStopped extends Error {
  override readonly name = 'CopyStopped';
}

/** Nothing more can be written after one of these. */
export function isFatal(error: unknown): boolean {
  return (
    error instanceof CorruptImageError ||
    ['ENOSPC', 'EROFS', 'EIO', 'EDQUOT', 'ENXIO'].some((code) => hasCode(error, code))
  );
}
