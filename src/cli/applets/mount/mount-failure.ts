import { FsError } from '../../../errors.ts';
import { reasonOf } from '../../verbs/failure.ts';

/** Exit status of mount(8) and umount(8); several failures add up as bits. */
export const MountExit = {
  success: 0,
  /** Wrong call, or no permission. */
  usage: 1,
  system: 2,
  internal: 4,
  interrupted: 8,
  /** The table of mounts could not be written or locked. */
  table: 16,
  failed: 32,
  /** Of several mounts some succeeded. */
  someSucceeded: 64,
} as const;

/** Ends one mount or unmount with `mount: MESSAGE` on stderr. */
export class MountFailure extends Error {
  readonly status: number;
  /** Further lines; they are indented. */
  readonly hints: readonly string[];

  constructor(
    message: string,
    status: number = MountExit.failed,
    hints: readonly string[] = [],
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.status = status;
    this.hints = hints;
  }
}

/** `mount: MESSAGE` and its hints as they are printed. */
export function failureText(program: string, failure: MountFailure): string {
  return [`${program}: ${failure.message}`, ...failure.hints.map((hint) => `       ${hint}`), ''].join('\n');
}

/** What an error says beside the tool's own words: names in it begin as they are written. */
export function whyOf(error: unknown): string {
  if (error instanceof FsError) return error.detail ?? error.text;
  return reasonOf(error);
}

/** What the kernel had to say may be in its log. */
export const DMESG_HINT = 'dmesg(1) may have more information after failed mount system call.';
