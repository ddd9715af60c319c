import { CorruptImageError, type ErrnoCode, FsError, UnsupportedError } from '../../errors.ts';

/** libuv's texts where they differ from strerror(3)'s, as node prints them (observed with Node 20). */
const NODE_TEXT: Partial<Record<ErrnoCode, string>> = {
  EIO: 'i/o error',
  EBUSY: 'resource busy or locked',
  EEXIST: 'file already exists',
  EXDEV: 'cross-device link not permitted',
  EISDIR: 'illegal operation on a directory',
  ENFILE: 'file table overflow',
  ENAMETOOLONG: 'name too long',
  ELOOP: 'too many symbolic links encountered',
  ERANGE: 'result too large',
};

/** Which call failed, and on what: the members of node's errors. */
export interface Failure {
  readonly syscall: string;
  readonly path?: string;
  readonly dest?: string;
}

/**
 * The error as node words it: a driver's FsError with the call and the paths; damage in the image becomes EIO and what a
 * driver cannot do EOPNOTSUPP, with the driver's own error as the cause. Anything else is a programmer's error and stays as it is.
 */
export function asNodeError(error: unknown, failure: Failure): unknown {
  if (error instanceof FsError) {
    const detail = NODE_TEXT[error.code];
    return new FsError(error.code, { ...failure, ...(detail === undefined ? {} : { detail }), cause: error });
  }
  if (error instanceof CorruptImageError)
    return new FsError('EIO', { ...failure, detail: `i/o error: ${error.message}`, cause: error });
  if (error instanceof UnsupportedError)
    return new FsError('EOPNOTSUPP', { ...failure, detail: error.message, cause: error });
  return error;
}

/** Runs `body` and gives its errors node's shape. */
export function attempt<T>(failure: Failure, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw asNodeError(error, failure);
  }
}

/** A wrong argument: node's TypeError or RangeError with a `code`. */
export function argumentError(
  code: 'ERR_INVALID_ARG_TYPE' | 'ERR_INVALID_ARG_VALUE' | 'ERR_OUT_OF_RANGE',
  message: string,
): Error {
  const error = code === 'ERR_OUT_OF_RANGE' ? new RangeError(message) : new TypeError(message);
  return Object.assign(error, { code });
}

/** A refusal that node makes itself, above the system call, e.g. `ERR_FS_EISDIR`. */
export function nodeError(
  code: string,
  message: string,
  members: { syscall?: string; path?: string } = {},
): Error {
  return Object.assign(new Error(message), { code, ...members });
}
