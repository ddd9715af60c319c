import { ERRNO, type ErrnoCode, FsError, isOwnError } from '../../errors.ts';
import type { Io } from '../io.ts';

/** What an error says about a file that is named beside it: `No such file or directory`, without code and path. */
export function reasonOf(error: unknown): string {
  if (error instanceof FsError) {
    return error.detail === undefined ? error.text : capitalise(error.detail);
  }
  if (!(error instanceof Error)) return String(error);
  if ('code' in error && 'syscall' in error && String(error.code) in ERRNO) {
    return ERRNO[error.code as ErrnoCode][1];
  }
  return error.message;
}

/** What an error says where nothing is named beside it: with the file, but without the code and the call. */
export function describeFailure(error: Error): string {
  const reason = reasonOf(error);
  const file = 'path' in error ? error.path : undefined;
  return typeof file !== 'string' || reason.includes(file) ? reason : `'${file}': ${reason}`;
}

/**
 * The problems of one command that goes on after each: a line on stderr for every one, and the exit status 1 at the end.
 * Errors of the program itself are not problems; they are thrown on.
 */
export class Failures {
  count = 0;
  readonly #io: Io;
  readonly #prefix: string;

  constructor(io: Io, verb: string) {
    this.#io = io;
    this.#prefix = `userloop ${verb}`;
  }

  get status(): number {
    return this.count > 0 ? 1 : 0;
  }

  /** `what`: `cannot remove 'disk.img:/x'`, in lower case, without a full stop. */
  add(what: string, error: unknown): void {
    const expected = isOwnError(error) || (error instanceof Error && 'syscall' in error);
    if (!expected) throw error;
    this.say(`${what}: ${reasonOf(error)}`);
  }

  say(text: string): void {
    this.count++;
    this.note(text);
  }

  /** A line that does not change the exit status. */
  note(text: string): void {
    this.#io.stderr.write(`${this.#prefix}: ${printable(text)}\n`);
  }

  /** Runs `body`; an error that it throws counts as a problem. Says whether it went well. */
  try(what: string, body: () => void): boolean {
    try {
      body();
      return true;
    } catch (error) {
      this.add(what, error);
      return false;
    }
  }
}

/** Names come from images: what could steer a terminal is shown as `?`, so is a byte that is not UTF-8. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what this is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f]|\p{Surrogate}/gu, '?');
}

function capitalise(text: string): string {
  return text === '' ? text : text[0]!.toUpperCase() + text.slice(1);
}
