import type { OptionSpec } from './getopt.ts';
import type { Io } from './io.ts';

/**
 * A command: data plus `run`. The data prints `--help`, the man page (docs/man/) and the shell completion, so the three
 * cannot disagree; `run` is a thin layer over the library and returns the exit status.
 */
export interface Applet {
  readonly name: string;
  /** Other names for the same command: `mkdosfs` for `mkfs.fat`. */
  readonly aliases?: readonly string[];
  /** `verb`: only as `userloop NAME`. `applet`: a classic tool's name, also through a link of that name. */
  readonly kind: 'verb' | 'applet';
  /** One line, lower case, no full stop: the NAME section. */
  readonly summary: string;
  /** Command lines without the leading `userloop`: `mkfs.fat [OPTION]... DEVICE [BLOCK-COUNT]`. */
  readonly usage: readonly string[];
  /** Paragraphs of plain text. */
  readonly description: readonly string[];
  readonly options: readonly OptionSpec[];
  readonly examples: readonly Example[];
  /** Exit status and what it means. */
  readonly exitStatus?: Readonly<Record<number, string>>;
  /** What the classic tool has and this one refuses; shown in the man page. */
  readonly notSupported?: readonly string[];
  /**
   * `argv` is without the command's name. `--help` as the only argument is answered before `run` is called.
   * `calledAs` is the name or alias that was typed. A thrown error of the four families is printed as
   * `NAME: message` and ends with status 1, or with the UsageError's own.
   */
  run(io: Io, argv: readonly string[], calledAs: string): number | Promise<number>;
}

export interface Example {
  /** Without the leading `userloop` for applets, with it for verbs: as a person types it. */
  readonly command: string;
  readonly explanation: string;
}

/** Gives the object its type and nothing else; keeps declarations uniform. */
export function defineApplet(applet: Applet): Applet {
  return applet;
}
