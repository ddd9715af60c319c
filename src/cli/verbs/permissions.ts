import { UsageError } from '../../errors.ts';
import type { NodeKind } from '../../filesystem/file-system.ts';

/** Permission bits as people write and read them: `0644`, `u+rwX,go-w`, `drwxr-xr-x`. */

const KIND_LETTERS: Readonly<Record<NodeKind, string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  'character-device': 'c',
  'block-device': 'b',
  fifo: 'p',
  socket: 's',
};

/** As `ls -l` shows it. */
export function formatMode(kind: NodeKind, mode: number): string {
  const bit = (mask: number, letter: string): string => ((mode & mask) === 0 ? '-' : letter);
  const execute = (mask: number, special: number, letter: string): string => {
    if ((mode & special) === 0) return bit(mask, 'x');
    return (mode & mask) === 0 ? letter.toUpperCase() : letter;
  };
  return (
    KIND_LETTERS[kind] +
    bit(0o400, 'r') +
    bit(0o200, 'w') +
    execute(0o100, 0o4000, 's') +
    bit(0o040, 'r') +
    bit(0o020, 'w') +
    execute(0o010, 0o2000, 's') +
    bit(0o004, 'r') +
    bit(0o002, 'w') +
    execute(0o001, 0o1000, 't')
  );
}

/** `0644`. */
export function formatOctal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

/** A change of a mode; gets the mode that is there. */
export type ModeChange = (mode: number, isDirectory: boolean) => number;

/** An octal number or chmod(1)'s symbolic clauses. `umask` counts for clauses without `u`, `g`, `o` or `a`. UsageError. */
export function parseMode(text: string, umask = 0o022): ModeChange {
  if (/^[0-7]{1,5}$/.test(text)) {
    const mode = Number.parseInt(text, 8);
    if (mode > 0o7777) throw new UsageError(`mode ${text} is larger than 7777`);
    // As chmod(1): fewer than five digits leave setuid and setgid of directories alone unless they name them.
    return (old, isDirectory) => (isDirectory && text.length < 5 ? mode | (old & 0o6000) : mode);
  }
  const clauses = text.split(',').map((clause) => parseClause(clause, text, umask));
  return (mode, isDirectory) => clauses.reduce((current, change) => change(current, isDirectory), mode);
}

const WHO: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o1007, a: 0o7777 };

function parseClause(clause: string, whole: string, umask: number): ModeChange {
  const match = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/.exec(clause);
  if (match === null) throw new UsageError(`"${whole}" is not a mode`);
  const who = match[1]!.split('').reduce((mask, letter) => mask | WHO[letter]!, 0);
  const affected = who === 0 ? 0o7777 & ~umask : who;
  const steps = [...match[2]!.matchAll(/([-+=])([rwxXst]*|[ugo])(?=[-+=]|$)/g)].map(
    ([, operator, letters]) => ({
      operator: operator!,
      letters: letters!,
    }),
  );
  return (mode, isDirectory) => {
    let current = mode;
    for (const { operator, letters } of steps) {
      const bits = bitsOf(letters, current, isDirectory) & affected;
      if (operator === '+') current |= bits;
      else if (operator === '-') current &= ~bits;
      else {
        // `=` leaves setuid and setgid of directories alone unless they are named.
        const cleared = (who === 0 ? 0o7777 : who) & (isDirectory && !letters.includes('s') ? ~0o6000 : ~0);
        current = (current & ~cleared) | bits;
      }
    }
    return current;
  };
}

function bitsOf(letters: string, mode: number, isDirectory: boolean): number {
  if (letters === 'u' || letters === 'g' || letters === 'o') {
    const three = (mode >> { u: 6, g: 3, o: 0 }[letters]) & 7;
    return three * 0o111;
  }
  let bits = 0;
  for (const letter of letters) {
    if (letter === 'r') bits |= 0o444;
    else if (letter === 'w') bits |= 0o222;
    else if (letter === 'x') bits |= 0o111;
    else if (letter === 'X') bits |= isDirectory || (mode & 0o111) !== 0 ? 0o111 : 0;
    else if (letter === 's') bits |= 0o6000;
    else bits |= 0o1000;
  }
  return bits;
}
