import type { CodePage } from './code-page.ts';
import { DELETED, ESCAPED_E5, NtCase } from './directory-entry.ts';
import { upperCase } from './file-name.ts';

/** A name that is its own 8.3 name, so that no long name is needed. */
const PLAIN = /^[A-Z0-9!#$%&'()\-@^_`{}~]{1,8}(?:\.[A-Z0-9!#$%&'()\-@^_`{}~]{1,3})?$/;
const MAX_TAIL = 999_999;

export function isPlainShortName(name: string): boolean {
  return PLAIN.test(name);
}

/** What becomes of a long name before a tail is put on it. */
export interface ShortNameBasis {
  /** Upper case, characters of the code page, at most 8. */
  readonly base: string;
  /** At most 3. */
  readonly extension: string;
  /** Nothing was lost: the basis is the alias, without a tail. */
  readonly exact: boolean;
}

/** Microsoft FAT specification 1.03, section 7.3 ("basis-name generation"). */
export function shortNameBasis(name: string, codePage: CodePage): ShortNameBasis {
  // Leading dots and spaces are dropped, so that ".profile" has a base and no extension.
  let start = 0;
  while (name[start] === '.' || name[start] === ' ') start++;
  const dot = name.lastIndexOf('.');
  const hasExtension = dot > start && dot < name.length - 1;
  const base = shortPart(name, start, hasExtension ? dot : name.length, 8, codePage);
  const extension = hasExtension ? shortPart(name, dot + 1, name.length, 3, codePage) : NO_PART;
  return {
    base: base.text,
    extension: extension.text,
    exact: start === 0 && base.exact && extension.exact,
  };
}

const NO_PART = { text: '', exact: true } as const;

function shortPart(
  name: string,
  start: number,
  end: number,
  limit: number,
  codePage: CodePage,
): { text: string; exact: boolean } {
  let text = '';
  let exact = true;
  for (let i = start; i < end; i++) {
    let character = name[i]!;
    if (character === '.' || character === ' ') {
      exact = false;
      continue;
    }
    if (text.length === limit) return { text, exact: false };
    character = upperCase(character);
    if ('+,;=[]'.includes(character) || codePage.encode(character) === undefined) {
      character = '_';
      exact = false;
    }
    text += character;
  }
  return { text, exact };
}

/** The alias with numeric tail `n`: the base gives way to `~n`. */
export function withTail(basis: ShortNameBasis, n: number): string {
  const tail = `~${n}`;
  return joinShortName(basis.base.slice(0, 8 - tail.length) + tail, basis.extension);
}

export function joinShortName(base: string, extension: string): string {
  return extension === '' ? base : `${base}.${extension}`;
}

/** Where the search for a free tail of one basis goes on. */
interface TailSearch {
  /** All below were taken when they were looked at. */
  next: number;
  /** Bit n: `~n` came free since, for the nine tails that leave the base alone. */
  freed: number;
}

/**
 * The tails of one directory, so that ten thousand names with one beginning do not look at all tails each time. Tails
 * from ~10 on that come free are used again only after the directory was read afresh.
 */
export class TailSearches {
  /** By the part of the basis that its tails share. */
  readonly #searches = new Map<string, TailSearch>();

  /** The first alias of `basis` with a tail that nobody has. */
  find(basis: ShortNameBasis, isTaken: (alias: string) => boolean): string {
    const key = joinShortName(basis.base.slice(0, 6), basis.extension);
    let search = this.#searches.get(key);
    if (search === undefined) {
      search = { next: 1, freed: 0 };
      this.#searches.set(key, search);
    }
    for (let n = 1; search.freed !== 0; n++) {
      if ((search.freed & (1 << n)) === 0) continue;
      search.freed &= ~(1 << n);
      const alias = withTail(basis, n);
      if (!isTaken(alias)) return alias;
    }
    for (let count = 0; count < MAX_TAIL; count++) {
      const n = search.next;
      search.next = n === MAX_TAIL ? 1 : n + 1;
      const alias = withTail(basis, n);
      if (!isTaken(alias)) return alias;
    }
    // A directory has at most 65,536 entries.
    throw new RangeError(`All of ${MAX_TAIL} aliases are taken`);
  }

  /** An alias is nobody's any more. */
  release(alias: string): void {
    const match = SHORT_TAIL.exec(alias);
    if (match === null) return;
    const search = this.#searches.get(match[1]! + (match[3] ?? ''));
    if (search !== undefined) search.freed |= 1 << Number(match[2]);
  }
}

/** Base, tail and extension with its dot. */
const SHORT_TAIL = /^(.*)~([1-9])(\..*)?$/;

/** The 8.3 alias for `name`, in upper case: its basis when nothing was lost, else the first free of `~1`, `~2`, … */
export function makeAlias(
  name: string,
  codePage: CodePage,
  isTaken: (alias: string) => boolean,
  tails: TailSearches,
): string {
  const basis = shortNameBasis(name, codePage);
  return basis.exact ? joinShortName(basis.base, basis.extension) : tails.find(basis, isTaken);
}

/** Writes the 11 bytes of DIR_Name for an alias such as `README.TXT` at byte `offset`. */
export function encodeShortName(shortName: string, codePage: CodePage, into: Uint8Array, offset = 0): void {
  into.fill(0x20, offset, offset + 11);
  const dot = shortName.lastIndexOf('.');
  const baseEnd = dot < 0 ? shortName.length : dot;
  for (let i = 0; i < baseEnd; i++) into[offset + i] = codePage.encode(shortName[i]!)!;
  for (let i = baseEnd + 1; i < shortName.length; i++)
    into[offset + 8 + i - baseEnd - 1] = codePage.encode(shortName[i]!)!;
  if (into[offset] === DELETED) into[offset] = ESCAPED_E5;
}

/** The name that 11 bytes of DIR_Name spell; empty when they are all spaces. `ntCase` is DIR_NTRes. */
export function decodeShortName(raw: Uint8Array, codePage: CodePage, ntCase = 0): string {
  const base = decodePart(raw, 0, 8, codePage, (ntCase & NtCase.lowerBase) !== 0);
  const extension = decodePart(raw, 8, 11, codePage, (ntCase & NtCase.lowerExtension) !== 0);
  return joinShortName(base, extension);
}

function decodePart(raw: Uint8Array, start: number, end: number, codePage: CodePage, lower: boolean): string {
  let last = end;
  while (last > start && raw[last - 1] === 0x20) last--;
  let text = '';
  for (let i = start; i < last; i++) {
    const byte = i === 0 && raw[0] === ESCAPED_E5 ? DELETED : raw[i]!;
    // Neither may be in a name here: a path could not name it.
    const character = byte === 0 || byte === 0x2f ? '_' : codePage.decode(byte);
    text += lower ? character.toLowerCase() : character;
  }
  return text;
}

/** True for the 11 bytes of `.` and `..`. */
export function isDotEntry(raw: Uint8Array): boolean {
  if (raw[0] !== 0x2e) return false;
  if (raw[1] !== 0x20 && raw[1] !== 0x2e) return false;
  for (let i = 2; i < 11; i++) {
    if (raw[i] !== 0x20) return false;
  }
  return true;
}
