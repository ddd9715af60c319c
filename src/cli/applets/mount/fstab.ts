import type { MountOption } from './option-list.ts';
import { parseOptionList } from './option-list.ts';

/** A line of fstab(5). */
export interface FstabEntry {
  readonly source: string;
  /** Where it is to be mounted; `none` for swap. */
  readonly target: string;
  /** May be a list, or `auto`. */
  readonly type: string;
  readonly options: readonly MountOption[];
  /** For dump(8). */
  readonly frequency: number;
  /** For fsck(8). */
  readonly pass: number;
}

export interface Fstab {
  readonly entries: readonly FstabEntry[];
  /** Numbers, from 1, of lines that are neither entry nor comment. */
  readonly badLines: readonly number[];
}

export function parseFstab(text: string): Fstab {
  const entries: FstabEntry[] = [];
  const badLines: number[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const fields = line
      .trim()
      .split(/[ \t]+/)
      .filter((field) => field !== '');
    if (fields.length === 0 || fields[0]!.startsWith('#')) continue;
    const entry = entryOf(fields);
    if (entry === undefined) badLines.push(index + 1);
    else entries.push(entry);
  }
  return { entries, badLines };
}

/** What is left out behind the type has its default; what follows the two numbers is no matter. */
function entryOf(fields: readonly string[]): FstabEntry | undefined {
  const [source, target, type, options = 'defaults', frequency = '0', pass = '0'] = fields;
  if (source === undefined || target === undefined || type === undefined) return undefined;
  if (!/^-?\d+$/.test(frequency) || !/^-?\d+$/.test(pass)) return undefined;
  return {
    source: unescapeField(source),
    target: unescapeField(target),
    type: unescapeField(type),
    options: parseOptionList(unescapeField(options)),
    frequency: Number(frequency),
    pass: Number(pass),
  };
}

/** `\040` is a space: the octal escapes of fstab and of the kernel's tables. They stand for bytes. */
export function unescapeField(field: string): string {
  if (!field.includes('\\')) return field;
  const bytes = Buffer.from(field.replace(/\\([0-7]{3})/g, '\0$1')).toString('latin1');
  // Bytes above 127 come one by one, so the text is put together as bytes.
  const decoded = bytes.replace(/\0([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8) & 0xff),
  );
  return Buffer.from(decoded, 'latin1').toString();
}

/** The other way: what the kernel escapes in /proc/self/mounts (fs/proc_namespace.c). */
export function escapeField(field: string): string {
  return field.replace(/[ \t\n\\#]/g, (letter) => `\\${letter.charCodeAt(0).toString(8).padStart(3, '0')}`);
}
