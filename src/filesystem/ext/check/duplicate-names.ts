import { viewOf } from '../../../bytes/struct.ts';
import { decodeUtf8 } from '../../../bytes/utf8.ts';
import { directoryHash, HashVersion } from '../directory-hash.ts';
import { Inode } from '../inode.ts';
import { CompatibleFeature, Superblock } from '../superblock.ts';
import { DirectoryEntryHeader } from '../directory-block.ts';
import type { ExtCheck } from './context.ts';
import { directorySeed, hasTail, lengthAt, type PathFinder, writeTail } from './directory-blocks.ts';

const HEADER = 8;
const TILDE = 0x7e;
const ZERO = 0x30;
const MAX_NAME = 255;
const UNSIGNED_HASH = 2;
/** Names that are tried for an entry: short ones do not give many. */
const MAX_TRIES = 4096;

interface Entry {
  readonly block: number;
  /** Byte in the block. */
  readonly at: number;
  inode: number;
  name: Uint8Array;
  /** The name as it is told, and compared. */
  text: string;
  /** 0 in a directory that needs no index. */
  hash: number;
}

/**
 * Gives every name of a directory that is there more than once another one, as long as an entry has room for without moving: `name~0`. Which entry
 * keeps its name, and which gets which number, is as with e2fsck. Returns whether anything was changed.
 */
export function renameDuplicates(check: ExtCheck, directory: number, paths: PathFinder): boolean {
  const hashOf = hashFor(check, directory);
  const entries = entriesOf(check, directory, hashOf);
  const taken = new Set(entries.map(({ text }) => text));
  if (taken.size === entries.length) return false;
  const renaming = new Renaming(check, directory, paths, taken, hashOf);
  let isChanged = false;
  let rest = entries;
  do {
    rest = rest.filter(({ inode }) => inode !== 0).sort(compare);
    isChanged = renaming.round(rest) || isChanged;
  } while (renaming.hasChanged);
  return isChanged;
}

/** By hash and name; of the same name the highest inode first, which is the one that keeps it. */
function compare(a: Entry, b: Entry): number {
  if (a.hash !== b.hash) return a.hash - b.hash;
  const length = Math.min(a.name.length, b.name.length);
  for (let i = 0; i < length; i++) if (a.name[i] !== b.name[i]) return a.name[i]! - b.name[i]!;
  return a.name.length - b.name.length || b.inode - a.inode;
}

class Renaming {
  /** In the last round. */
  hasChanged = false;
  readonly #check: ExtCheck;
  readonly #directory: number;
  readonly #path: string;
  readonly #taken: Set<string>;
  readonly #hashOf: HashOfName;
  /** By name, what was tried last in place of it. */
  readonly #last = new Map<string, Uint8Array>();
  /** Names for which there is no other one. */
  readonly #exhausted = new Set<string>();
  readonly #seed: number;

  constructor(check: ExtCheck, directory: number, paths: PathFinder, taken: Set<string>, hashOf: HashOfName) {
    this.#check = check;
    this.#hashOf = hashOf;
    this.#directory = directory;
    this.#path = paths.pathOf(directory);
    this.#taken = taken;
    this.#seed = check.seed === undefined ? 0 : directorySeed(check, directory);
  }

  round(entries: readonly Entry[]): boolean {
    this.hasChanged = false;
    for (let index = 1; index < entries.length; index++) {
      const entry = entries[index]!;
      const before = entries[index - 1]!;
      if (entry.text !== before.text) continue;
      const isChanged =
        (entry.inode === before.inode && this.#remove(entry)) || this.#rename(entry, before.inode);
      this.hasChanged ||= isChanged;
    }
    return this.hasChanged;
  }

  #remove(entry: Entry): boolean {
    const check = this.#check;
    const isMended = check.ask({
      ...this.#basicsOf(entry),
      meaning: `Directory inode ${this.#directory} has the name "${entry.text}" twice for inode ${entry.inode}`,
      text: `Duplicate entry '${entry.text}' in ${this.#path} (${this.#directory}) found.  `,
      question: 'Clear',
      action: 'removes one of them',
    });
    if (!isMended) return false;
    check.counted.set(entry.inode, check.counted.get(entry.inode) - 1);
    entry.inode = 0;
    this.#store(entry);
    return true;
  }

  #rename(entry: Entry, other: number): boolean {
    const name = this.#newNameOf(entry);
    if (name === undefined) return false;
    const text = decodeUtf8(name, 0, name.length);
    const isMended = this.#check.ask({
      ...this.#basicsOf(entry),
      meaning: `Directory inode ${this.#directory} has the name "${entry.text}" for inode ${entry.inode} and for inode ${other}: only one of them can be opened`,
      text: `Entry '${entry.text}' in ${this.#path} (${this.#directory}) has a non-unique filename.\n`,
      question: `Rename to ${text}`,
      action: `gives inode ${entry.inode} the name "${text}"`,
    });
    if (!isMended) return false;
    this.#last.set(entry.text, name);
    this.#taken.add(text);
    entry.name = name;
    entry.text = text;
    entry.hash = this.#hashOf(name);
    this.#store(entry);
    return true;
  }

  #basicsOf(entry: Entry): BasicsOfEntry {
    return {
      code: 'ext-duplicate-entry',
      structure: 'directory entry',
      field: 'name',
      offset: entry.block * this.#check.geometry.blockSize + entry.at,
      found: JSON.stringify(entry.text),
      expected: 'a name that is there once',
      path: this.#path,
    };
  }

  #newNameOf(entry: Entry): Uint8Array | undefined {
    if (this.#exhausted.has(entry.text)) return undefined;
    let name = nextName(this.#last.get(entry.text) ?? entry.name);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      if (!this.#taken.has(decodeUtf8(name, 0, name.length))) return name;
      name = nextName(name);
    }
    this.#exhausted.add(entry.text);
    return undefined;
  }

  #store({ block, at, inode, name }: Entry): void {
    const check = this.#check;
    const bytes = new Uint8Array(check.geometry.blockSize);
    check.readBlock(block, bytes);
    const view = viewOf(bytes);
    DirectoryEntryHeader.inode.set(view, at, inode);
    DirectoryEntryHeader.name_len.set(view, at, name.length);
    bytes.set(name, at + HEADER);
    if (check.seed !== undefined && hasTail(view)) writeTail(this.#seed, bytes);
    check.writeBlock(block, bytes);
  }
}

interface BasicsOfEntry {
  readonly code: string;
  readonly structure: string;
  readonly field: string;
  readonly offset: number;
  readonly found: string;
  readonly expected: string;
  readonly path: string;
}

/**
 * The name after this one: `name~0`, `name~1` and so on; with more digits the tilde moves to the left, over the name. It is no longer than the entry has
 * room for, which is a multiple of four bytes: where two more do not fit, the end of the name gives way.
 */
export function nextName(name: Uint8Array): Uint8Array {
  let digits = name.length;
  while (digits > 0 && isDigit(name[digits - 1]!)) digits--;
  if (digits === name.length || digits === 0 || name[digits - 1] !== TILDE) {
    const room = (name.length + 3) & ~3;
    const length = Math.max(2, Math.min(MAX_NAME, name.length + 2, room));
    const next = new Uint8Array(length);
    next.set(name.subarray(0, length));
    next[length - 2] = TILDE;
    next[length - 1] = ZERO;
    return next;
  }
  const next = name.slice();
  let at = name.length - 1;
  for (; at >= digits && next[at] === ZERO + 9; at--) next[at] = ZERO;
  if (at >= digits) next[at]!++;
  else if (at > 0) {
    next[at] = ZERO + 1;
    next[at - 1] = TILDE;
  } else next[at] = next[at] === TILDE ? 0x61 : next[at]! + 1;
  return next;
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= ZERO + 9;
}

type HashOfName = (name: Uint8Array) => number;

/** The hash by which e2fsck lays out the names of a directory of several blocks. */
function hashFor(check: ExtCheck, directory: number): HashOfName {
  const { superblock, words, geometry } = check;
  const inode = check.readInode(directory);
  const isIndexed = (words.compatible & CompatibleFeature.dir_index) !== 0;
  if (!isIndexed || Inode.i_size_lo.get(inode, 0) < 2 * geometry.blockSize) return () => 0;
  const isUnsigned = (Superblock.s_flags.get(superblock, 0) & UNSIGNED_HASH) !== 0;
  const stored = Superblock.s_def_hash_version.get(superblock, 0);
  const version = Math.min(stored, HashVersion.tea) + (isUnsigned ? HashVersion.legacyUnsigned : 0);
  const seed = Superblock.s_hash_seed.get(superblock, 0);
  return (name) => directoryHash(name, version, seed) ?? 0;
}

/** All but `.` and `..`; what cannot be read is passed over, and so is what lies in the inode. */
function entriesOf(check: ExtCheck, directory: number, hashOf: HashOfName): Entry[] {
  const { directoryBlocks, geometry } = check;
  const entries: Entry[] = [];
  for (const block of directoryBlocks.blocksOf(directory)) {
    const bytes = new Uint8Array(geometry.blockSize);
    check.readBlock(block, bytes);
    const view = viewOf(bytes);
    for (let at = 0; at + HEADER <= bytes.length;) {
      const length = lengthAt(view, at, bytes.length);
      const nameLength = DirectoryEntryHeader.name_len.get(view, at);
      if (length < 12 || length % 4 !== 0 || at + length > bytes.length || HEADER + nameLength > length)
        break;
      const inode = DirectoryEntryHeader.inode.get(view, at);
      const name = bytes.slice(at + HEADER, at + HEADER + nameLength);
      const text = decodeUtf8(name, 0, nameLength);
      if (inode !== 0 && text !== '.' && text !== '..' && nameLength > 0)
        entries.push({ block, at, inode, name, text, hash: hashOf(name) });
      at += length;
    }
  }
  return entries;
}
