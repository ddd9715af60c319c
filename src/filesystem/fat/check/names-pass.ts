import { type CheckFinding, LEAVE } from '../../check.ts';
import { DosAttribute } from '../../file-system.ts';
import { ESCAPED_E5, ShortEntry } from '../directory-entry.ts';
import { choice, type FatCheck } from './context.ts';
import {
  type CheckedDirectory,
  type CheckedEntry,
  dropEntry,
  joinPath,
  nameOf,
  removeLongName,
  shortNameOf,
  writeEntry,
} from './directory-reader.ts';

const VOLUME = 0x08;
/** Microsoft FAT specification 1.03, section 6.1, but for those that DOS itself has used all the same. */
const FORBIDDEN = new Set(Array.from('*?<>|":/\\.', (character) => character.charCodeAt(0)));
/** Files of OS/2, whose names break the rule about spaces. */
const KNOWN_NAMES = new Set(['EA DATA  SF', 'WP ROOT  SF']);
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Short names that cannot be, and those that are there twice. */
export function checkNames(
  check: FatCheck,
  directory: CheckedDirectory,
  entries: readonly CheckedEntry[],
): void {
  const files = entries.filter((entry) => !isDot(directory, entry));
  const named = files.filter((entry) => (ShortEntry.DIR_Attr.get(entry.view, 0) & VOLUME) === 0);
  const badCount = named.filter((entry) => isBadName(check, entry.raw)).length;
  // A cluster that is no directory at all shows in most of its names.
  if (files.length > 4 && badCount > (files.length - badCount) / 2)
    reportMany(check, directory, badCount, files.length);
  const taken = new Map<string, CheckedEntry>();
  for (const entry of named) taken.set(keyOf(entry), entry);
  const seen = new Map<string, CheckedEntry>();
  for (const entry of named) {
    if (isBadName(check, entry.raw)) reportBadName(check, directory, entry, taken);
    if (entry.isDropped) continue;
    const key = keyOf(entry);
    const first = seen.get(key);
    if (first === undefined) seen.set(key, entry);
    else reportDuplicate(check, directory, { first, second: entry, taken, seen });
  }
}

/** `.` and `..` where they belong: not in the root. */
export function isDot(directory: CheckedDirectory, entry: CheckedEntry): boolean {
  return directory.parent !== undefined && isDotName(entry.raw);
}

export function isDotName(raw: Uint8Array): boolean {
  const key = text(raw);
  return key === '.          ' || key === '..         ';
}

function isBadName(check: FatCheck, raw: Uint8Array): boolean {
  if (raw[0] === 0x20) return true;
  if (KNOWN_NAMES.has(text(raw))) return false;
  if (isDotName(raw)) return true;
  for (let i = 0; i < 11; i++) {
    const byte = raw[i]!;
    if ((byte < 0x20 && !(i === 0 && byte === ESCAPED_E5)) || byte === 0x7f || FORBIDDEN.has(byte))
      return true;
  }
  return check.options.noSpacesInNames === true && (hasInnerSpace(raw, 0, 8) || hasInnerSpace(raw, 8, 11));
}

function hasInnerSpace(raw: Uint8Array, start: number, end: number): boolean {
  let ended = false;
  for (let i = start; i < end; i++) {
    if (raw[i] === 0x20) ended = true;
    else if (ended) return true;
  }
  return false;
}

function reportMany(check: FatCheck, directory: CheckedDirectory, bad: number, all: number): void {
  const isRoot = directory.parent === undefined;
  check.observer.report({
    code: 'fat-many-bad-names',
    severity: 'warning',
    structure: 'directory',
    field: 'DIR_Name',
    found: `${bad} of ${all} names that cannot be`,
    expected: 'none',
    path: directory.path,
    meaning: `${bad} of ${all} names in ${directory.path} cannot be: it may not be a directory at all`,
    toolText:
      `${directory.path}\n  Has a large number of bad entries. (${bad}/${all})\n` +
      `  ${isRoot ? 'Not dropping root directory.' : 'Not dropping it in auto-mode.'}\n`,
  });
}

function reportBadName(
  check: FatCheck,
  directory: CheckedDirectory,
  entry: CheckedEntry,
  taken: Map<string, CheckedEntry>,
): void {
  const shortName = shortNameOf(entry.raw, check.codePage);
  const path = joinPath(directory.path, nameOf(entry, check.codePage));
  const chosen = check.observer.report({
    code: 'fat-bad-name',
    severity: 'damage',
    structure: 'directory entry',
    field: 'DIR_Name',
    offset: entry.offset,
    found: JSON.stringify(shortName),
    expected: 'a name of permitted characters',
    path,
    meaning: `The short name "${shortName}" in ${directory.path} cannot be: other systems will not open the file`,
    toolText: `${path}\n  Bad short file name (${shortName}).\n`,
    mend: choice(
      [
        ['Drop file', 'removes the file'],
        ['Auto-rename', 'gives the file a name of the form FSCK0000.000'],
        ['Keep it', ''],
      ],
      1,
      '  Auto-renaming it.\n',
    ),
  });
  if (chosen === 0) dropEntry(check, entry);
  if (chosen === 1) rename(check, entry, taken);
}

interface Duplicate {
  readonly first: CheckedEntry;
  readonly second: CheckedEntry;
  readonly taken: Map<string, CheckedEntry>;
  readonly seen: Map<string, CheckedEntry>;
}

function reportDuplicate(check: FatCheck, directory: CheckedDirectory, duplicate: Duplicate): void {
  const { first, second, taken, seen } = duplicate;
  const path = joinPath(directory.path, nameOf(first, check.codePage));
  const finding: CheckFinding = {
    code: 'fat-duplicate-name',
    severity: 'damage',
    structure: 'directory entry',
    field: 'DIR_Name',
    offset: second.offset,
    found: JSON.stringify(shortNameOf(second.raw, check.codePage)),
    expected: 'a name that is there once',
    path,
    meaning: `Two entries of ${directory.path} have the short name ${shortNameOf(second.raw, check.codePage)}: only one can be opened`,
    toolText: `${path}\n  Duplicate directory entry.\n  First  ${describe(first)}\n  Second ${describe(second)}\n`,
    mend: choice(
      [
        ['Drop first', 'removes the first'],
        ['Drop second', 'removes the second'],
        ['Auto-rename first', 'gives the first a name of the form FSCK0000.000'],
        ['Auto-rename second', 'gives the second a name of the form FSCK0000.000'],
      ],
      3,
      '  Auto-renaming second.\n',
    ),
  };
  const chosen = check.observer.report(finding);
  if (chosen === LEAVE) return;
  const key = keyOf(second);
  if (chosen === 0) dropEntry(check, first);
  if (chosen === 1) dropEntry(check, second);
  if (chosen === 2) rename(check, first, taken);
  if (chosen === 3) rename(check, second, taken);
  if (chosen === 0 || chosen === 2) seen.set(key, second);
}

/** `  Size 3000 bytes, date 19:04:52 Nov 22 2026`, as the tool writes it. */
function describe({ view }: CheckedEntry): string {
  const time = ShortEntry.DIR_WrtTime.get(view, 0);
  const date = ShortEntry.DIR_WrtDate.get(view, 0);
  const two = (value: number): string => `${value}`.padStart(2, '0');
  const month = MONTHS[Math.min(11, Math.max(0, ((date >> 5) & 15) - 1))]!;
  return (
    `  Size ${ShortEntry.DIR_FileSize.get(view, 0)} bytes, date ` +
    `${two(time >> 11)}:${two((time >> 5) & 63)}:${two((time & 31) * 2)} ${month} ${two(date & 31)} ${1980 + (date >> 9)}`
  );
}

function rename(check: FatCheck, entry: CheckedEntry, taken: Map<string, CheckedEntry>): void {
  removeLongName(check, entry);
  for (let number = 0; number < 10_000_000; number++) {
    const key = `FSCK${`${number}`.padStart(7, '0')}`;
    if (taken.has(key)) continue;
    for (let i = 0; i < 11; i++) entry.raw[i] = key.charCodeAt(i);
    taken.set(key, entry);
    break;
  }
  ShortEntry.DIR_NTRes.set(entry.view, 0, ShortEntry.DIR_NTRes.get(entry.view, 0) & ~0x18);
  writeEntry(check, entry);
  check.observer.tell(`  Renamed to ${shortNameOf(entry.raw, check.codePage)}\n`);
}

function keyOf(entry: CheckedEntry): string {
  return text(entry.raw);
}

function text(raw: Uint8Array): string {
  return String.fromCharCode(...raw.subarray(0, 11));
}

export function isDirectory(entry: CheckedEntry): boolean {
  return (ShortEntry.DIR_Attr.get(entry.view, 0) & DosAttribute.directory) !== 0;
}
