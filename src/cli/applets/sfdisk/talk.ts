import type { Speaker } from '../../../partition/partition-template.ts';
import type { Io } from '../../io.ts';

/** What sfdisk says: information on standard output, unless it is to be quiet, complaints on standard error. */
export class Talk implements Speaker {
  readonly quiet: boolean;
  readonly #io: Io;

  constructor(io: Io, quiet: boolean) {
    this.#io = io;
    this.quiet = quiet;
  }

  info(message: string): void {
    if (!this.quiet) this.print(`${message}\n`);
  }

  warn(message: string): void {
    this.#io.stderr.write(`${message}\n`);
  }

  /** Text as it is, also when quiet. */
  print(text: string): void {
    this.#io.stdout.write(text);
  }

  /** The next line, after a prompt; undefined when the input has ended. */
  ask(prompt: string): string | undefined {
    this.print(prompt);
    return this.#io.stdin.readLine();
  }

  /** No, also where the input has ended. */
  askYesNo(question: string): boolean {
    this.print('\n');
    for (;;) {
      const answer = this.ask(`${question} [Y]es/[N]o: `)?.trim();
      if (answer === undefined || /^n(o)?$/i.test(answer)) return false;
      if (/^y(es)?$/i.test(answer)) return true;
    }
  }
}
