import type { Io } from '../../io.ts';
import { parseLastSector } from './last-sector.ts';

export interface NumberQuestion {
  readonly prompt: string;
  readonly low: number;
  readonly high: number;
  readonly fallback: number | undefined;
  /** What `(low-high)` shows, when the numbers are not a plain range. */
  readonly range?: string;
  /** The numbers stand for letters: 1 for a. */
  readonly letters?: boolean;
}

export interface LastSectorQuestion {
  readonly prompt: string;
  readonly low: number;
  readonly high: number;
  readonly fallback: number | undefined;
  /** Where `+10M` counts from. */
  readonly base: number;
  /** Bytes a unit of the answer. */
  readonly unitSize: number;
}

export interface Choice {
  readonly key: string;
  readonly label: string;
}

/** Thrown where the input ends in the middle of a question: the command is given up. */
export class EndOfInput extends Error {
  override readonly name = 'EndOfInput';
}

/**
 * The conversation with whoever types, or with the pipe that does: prompts and information on standard output, complaints on
 * standard error. An empty line is put before information that does not follow other information directly.
 */
export class Dialog {
  readonly #io: Io;
  #afterInformation = true;

  constructor(io: Io) {
    this.#io = io;
  }

  /** Text as it is. */
  print(text: string): void {
    this.#io.stdout.write(text);
  }

  info(message: string): void {
    this.print(`${this.#afterInformation ? '' : '\n'}${message}\n`);
    this.#afterInformation = true;
  }

  warn(message: string): void {
    this.#io.stderr.write(`${message}\n`);
    this.#afterInformation = false;
  }

  /** The answer without surrounding blanks; undefined when the input has ended. */
  reply(prompt: string): string | undefined {
    this.print(prompt);
    return this.#io.stdin.readLine()?.replace(/^[^!-~]+/, '');
  }

  ask(prompt: string): string {
    const answer = this.reply(prompt);
    this.#afterInformation = false;
    if (answer === undefined) throw new EndOfInput();
    return answer;
  }

  askYesNo(question: string): boolean {
    this.print('\n');
    for (;;) {
      const answer = this.ask(`${question} [Y]es/[N]o: `);
      if (/^y(es)?$/i.test(answer)) return true;
      if (/^n(o)?$/i.test(answer)) return false;
    }
  }

  askNumber(question: NumberQuestion): number {
    const { low, high } = question;
    const fallback = inRange(question);
    const { letters = false } = question;
    const name = (number: number): string => (letters ? String.fromCharCode(0x60 + number) : String(number));
    const range = question.range ?? `${name(low)}-${name(high)}`;
    const prompt = `${question.prompt} (${range}${fallback === undefined ? '' : `, default ${name(fallback)}`}): `;
    for (;;) {
      const answer = this.ask(prompt);
      if (answer === '' && fallback !== undefined) return fallback;
      const isLetter = letters && /^[a-z]/i.test(answer);
      const number = isLetter
        ? answer.toLowerCase().charCodeAt(0) - 0x60
        : /^\d+$/.test(answer)
          ? Number(answer)
          : Number.NaN;
      // What has more than 64 bits is not even a value to the tool.
      if (number >= 2 ** 64) continue;
      if (number >= low && number <= high) return number;
      this.warn('Value out of range.');
    }
  }

  /** The last sector, and whether it came from a size (`+10M`), which is then aligned. */
  askLastSector(question: LastSectorQuestion): { sector: number; fromSize: boolean } {
    const { low, high } = question;
    const fallback = inRange(question);
    const prompt = `${question.prompt} (${low}-${high}${fallback === undefined ? '' : `, default ${fallback}`}): `;
    for (;;) {
      const answer = this.ask(prompt);
      if (answer === '') {
        if (fallback !== undefined) return { sector: fallback, fromSize: false };
        continue;
      }
      const parsed = parseLastSector(answer, question.base, high, question.unitSize);
      if (parsed === undefined) continue;
      if (parsed.sector >= low && parsed.sector <= high) return parsed;
      this.warn('Value out of range.');
    }
  }

  askChoice(title: string, choices: readonly Choice[], fallback: string): string {
    this.print(`${title}\n`);
    for (;;) {
      for (const { key, label } of choices) this.print(`   ${key}   ${label}\n`);
      const answer = this.ask(`Select (default ${fallback}): `);
      if (answer === '') {
        this.info(`Using default response ${fallback}.`);
        return fallback;
      }
      const chosen = choices.find(({ key }) => key === answer[0]!.toLowerCase());
      if (chosen !== undefined) return chosen.key;
      this.warn('Value out of range.');
    }
  }
}

/** The default of a question; one that could not be typed is none. */
function inRange(question: Pick<NumberQuestion, 'low' | 'high' | 'fallback'>): number | undefined {
  const { low, high, fallback } = question;
  return fallback !== undefined && fallback >= low && fallback <= high ? fallback : undefined;
}
