/**
 * What the checkers of file systems have in common. A checker reads a file system with readers of its own, which take anything for
 * possible, and tells each departure from the format as a finding. It works on a staging device: what it mends is seen by the rest of the
 * check, but nothing is written until somebody has seen the whole plan and applies it.
 */

export type CheckSeverity =
  /** Odd, and harmless to go on. */
  | 'note'
  /** Wrong, but nothing is lost or will be. */
  | 'warning'
  /** Data is lost, or will be when the file system is written. */
  | 'damage'
  /** The check cannot go on. */
  | 'fatal';

export interface CheckFinding {
  /** Stable, for scripts: `fat-cross-link`. */
  readonly code: string;
  readonly severity: CheckSeverity;
  /** The format's own name of the structure and the field. */
  readonly structure: string;
  readonly field: string;
  /** Byte offset of the field on the device, where one can be named. */
  readonly offset?: number;
  readonly found: string;
  readonly expected: string;
  /** The file that it is about. */
  readonly path?: string;
  /** What it means, in a sentence for a person, with numbers. */
  readonly meaning: string;
  /** The reference tool's words, with newlines; empty where it says nothing. */
  readonly toolText: string;
  /** What it writes to its standard error before that, if anything. */
  readonly toolErrorText?: string;
  readonly mend?: Mend;
}

/** What can be done about a finding. */
export interface Mend {
  readonly choices: readonly MendChoice[];
  /** The choice that is made where nobody is asked; `LEAVE` where only a person should decide. */
  readonly automatic: number;
  /** Does a person have a say, or does the reference tool do it unasked? */
  readonly asks: boolean;
  /** No data is given up by it: `-p` may do it. */
  readonly safe: boolean;
  /** What the reference tool says when it makes the automatic choice. */
  readonly automaticText: string;
}

export interface MendChoice {
  /** The reference tool's words for it: `Auto-rename`. */
  readonly label: string;
  /** For a person: `gives the file a new name`; empty when it leaves everything as it is. */
  readonly action: string;
}

/** The answer that changes nothing. */
export const LEAVE = -1;

/** Whoever started the check: is told what is found and decides what is mended. */
export interface CheckObserver {
  /** Returns the index of the choice to make, or `LEAVE`. */
  report(finding: CheckFinding): number;
  /** What the reference tool says beside its findings, with newlines. */
  tell(text: string): void;
}

/** Ends a check: the finding was reported, and what follows from it cannot be checked. */
export class CheckEnd extends Error {
  override readonly name = 'CheckEnd';
}

/** A mend that is made without asking. */
export function unasked(action: string, safe = true): Mend {
  return { choices: [{ label: '', action }], automatic: 0, asks: false, safe, automaticText: '' };
}

/** `1 cluster`, `2 clusters`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
