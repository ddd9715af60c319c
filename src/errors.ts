/**
 * The four families of errors, by what the reader should do about one (see docs/architecture.md, "Errors"):
 * the image is wrong (CorruptImageError), the image is fine but a feature is missing (UnsupportedError),
 * the operation cannot be done here and now (FsError, errno-shaped like node's), or the command line is wrong
 * (UsageError). Programmer errors are the built-in TypeError and RangeError.
 *
 * Messages: sentence case, no full stop at the end, no contractions, both numbers named:
 * `Superblock magic is 0x0000, expected 0xef53 at byte 1080`.
 */

/** Where and how an image departs from its format. */
export interface Finding {
  /** `refuse`: the structure cannot be used. `note`: odd, but harmless to go on. */
  readonly severity: 'refuse' | 'note';
  /** The format's own name of the structure, e.g. `boot sector` or `ext4_super_block`. */
  readonly structure: string;
  /** The format's own name of the field, e.g. `BPB_BytsPerSec`. */
  readonly field: string;
  /** Byte offset of the field on the device, where one can be named. */
  readonly offset?: number;
  readonly found: string;
  readonly expected: string;
}

export type CorruptImageDetails = Omit<Finding, 'severity'>;

/** The image is damaged or is not what it claims to be. */
export class CorruptImageError extends Error {
  override readonly name = 'CorruptImageError';
  readonly structure: string;
  readonly field: string;
  readonly offset: number | undefined;
  readonly found: string;
  readonly expected: string;

  constructor(details: CorruptImageDetails, options?: ErrorOptions) {
    super(describeFinding(details), options);
    this.structure = details.structure;
    this.field = details.field;
    this.offset = details.offset;
    this.found = details.found;
    this.expected = details.expected;
  }
}

/** The image is fine, but something that it needs is not supported; `features` lists what, in the format's words. */
export class UnsupportedError extends Error {
  override readonly name = 'UnsupportedError';
  readonly features: readonly string[];

  constructor(message: string, features: readonly string[] = [], options?: ErrorOptions) {
    super(message, options);
    this.features = features;
  }
}

/** The command line cannot be understood. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly exitStatus: number;

  constructor(message: string, exitStatus = 2) {
    super(message);
    this.exitStatus = exitStatus;
  }
}

/** Linux errno numbers (asm-generic/errno.h) and strerror(3) texts of the codes that this project raises. */
export const ERRNO = {
  EPERM: [1, 'Operation not permitted'],
  ENOENT: [2, 'No such file or directory'],
  EIO: [5, 'Input/output error'],
  ENXIO: [6, 'No such device or address'],
  EBADF: [9, 'Bad file descriptor'],
  EAGAIN: [11, 'Resource temporarily unavailable'],
  ENOMEM: [12, 'Cannot allocate memory'],
  EACCES: [13, 'Permission denied'],
  ENOTBLK: [15, 'Block device required'],
  EBUSY: [16, 'Device or resource busy'],
  EEXIST: [17, 'File exists'],
  EXDEV: [18, 'Invalid cross-device link'],
  ENODEV: [19, 'No such device'],
  ENOTDIR: [20, 'Not a directory'],
  EISDIR: [21, 'Is a directory'],
  EINVAL: [22, 'Invalid argument'],
  ENFILE: [23, 'Too many open files in system'],
  EMFILE: [24, 'Too many open files'],
  ENOTTY: [25, 'Inappropriate ioctl for device'],
  EFBIG: [27, 'File too large'],
  ENOSPC: [28, 'No space left on device'],
  EROFS: [30, 'Read-only file system'],
  EMLINK: [31, 'Too many links'],
  ERANGE: [34, 'Numerical result out of range'],
  ENAMETOOLONG: [36, 'File name too long'],
  ENOSYS: [38, 'Function not implemented'],
  ENOTEMPTY: [39, 'Directory not empty'],
  ELOOP: [40, 'Too many levels of symbolic links'],
  ENODATA: [61, 'No data available'],
  EBADMSG: [74, 'Bad message'],
  EOVERFLOW: [75, 'Value too large for defined data type'],
  EILSEQ: [84, 'Invalid or incomplete multibyte or wide character'],
  EOPNOTSUPP: [95, 'Operation not supported'],
  ESTALE: [116, 'Stale file handle'],
  EUCLEAN: [117, 'Structure needs cleaning'],
  EDQUOT: [122, 'Disk quota exceeded'],
  ENOMEDIUM: [123, 'No medium found'],
  ETIMEDOUT: [110, 'Connection timed out'],
} as const satisfies Record<string, readonly [errno: number, text: string]>;

export type ErrnoCode = keyof typeof ERRNO;

/** The code of a positive errno number; undefined for one that is not in the table. */
export function errnoCode(errno: number): ErrnoCode | undefined {
  return (Object.keys(ERRNO) as ErrnoCode[]).find((code) => ERRNO[code][0] === errno);
}

/** What strerror(3) says of an error with a code that is in the table; its own message where it has none. */
export function hostErrorText(error: Error): string {
  const code = 'code' in error ? String(error.code) : '';
  return code in ERRNO ? ERRNO[code as ErrnoCode][1] : error.message;
}

export interface FsErrorDetails {
  readonly syscall?: string;
  readonly path?: string;
  readonly dest?: string;
  /** Says more than strerror's text, e.g. the numbers that matter. */
  readonly detail?: string;
  readonly cause?: unknown;
}

/**
 * An operation on a file system, a device or the host failed; shaped like node's SystemError:
 * `ENOENT: no such file or directory, open '/x'`, with `code`, `errno` (negative), `syscall`, `path`, `dest`.
 */
export class FsError extends Error {
  override readonly name = 'FsError';
  readonly code: ErrnoCode;
  /** Negative, as node gives it. */
  readonly errno: number;
  declare readonly syscall?: string;
  declare readonly path?: string;
  declare readonly dest?: string;
  /** strerror(3)'s text, for tools that print `tool: file: text`. */
  readonly text: string;
  declare readonly detail?: string;

  constructor(code: ErrnoCode, details: FsErrorDetails = {}) {
    const [errno, text] = ERRNO[code];
    const lower = text.startsWith('Input') ? text.toLowerCase() : text[0]!.toLowerCase() + text.slice(1);
    let message = `${code}: ${details.detail ?? lower}`;
    if (details.syscall !== undefined) message += `, ${details.syscall}`;
    if (details.path !== undefined) message += ` '${details.path}'`;
    if (details.dest !== undefined) message += ` -> '${details.dest}'`;
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.errno = -errno;
    this.text = text;
    // Absent members stay absent, as on node's own errors.
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.path !== undefined) this.path = details.path;
    if (details.dest !== undefined) this.dest = details.dest;
    if (details.detail !== undefined) this.detail = details.detail;
  }
}

/** One finding as a sentence: `Superblock s_magic is 0x0000, expected 0xef53 at byte 1080`. */
export function describeFinding(finding: CorruptImageDetails): string {
  const at = finding.offset === undefined ? '' : ` at byte ${finding.offset}`;
  const subject = finding.structure[0]!.toUpperCase() + finding.structure.slice(1);
  return `${subject} ${finding.field} is ${finding.found}, expected ${finding.expected}${at}`;
}

/** Throws the first finding that refuses; notes pass. */
export function refuseOn(findings: Iterable<Finding>): void {
  for (const finding of findings) {
    if (finding.severity === 'refuse') throw new CorruptImageError(finding);
  }
}

/** True for the errors of the four families: those that say what is wrong with the input, not with the program. */
export function isOwnError(
  error: unknown,
): error is CorruptImageError | UnsupportedError | FsError | UsageError {
  return (
    error instanceof CorruptImageError ||
    error instanceof UnsupportedError ||
    error instanceof FsError ||
    error instanceof UsageError
  );
}

/** Does this error, ours or node's, carry this errno code? */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
