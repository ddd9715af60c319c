import type { GrubSession } from '../../../boot/grub-legacy/session.ts';
import type { SetupHost } from '../../../boot/grub-legacy/setup.ts';

/** What the commands work on. */
export interface Shell extends SetupHost {
  readonly session: GrubSession;
  /** Opens an image for a drive; Error 15 when it cannot. */
  attach(drive: number, file: string): void;
}

export interface Command {
  readonly name: string;
  /** Behind the name, as GRUB's help shows it. */
  readonly parameters: string;
  /** What our help says of it. */
  readonly description: string;
  /** In the short list of `help`. */
  readonly listed: boolean;
  run(shell: Shell, text: string): void;
}

export function splitWords(text: string): string[] {
  return text.split(/[ \t]+/).filter((word) => word !== '');
}
