import { crc32cWords } from '../../../bytes/crc32c.ts';
import { DIRECTORY_TAIL } from '../checksum.ts';
import { IncompatibleFeature } from '../superblock.ts';
import type { ExtCheck } from './context.ts';

const HEADER = 8;
/** `rec_len`, `name_len` and type of the entry that holds a checksum. */
const TAIL_WORD = 0xde00_000c;
/** `rec_len` 12 and `name_len` 1; the type is in the upper byte. */
const DOT_WORD = 0x0001_000c;
const ONES = 0x0101_0101;
const TOPS = 0x8080_8080;
const SLASHES = 0x2f2f_2f2f;
/** Places for names, by their hash: twice as many as the largest block has entries. */
const PLACES = 1 << 14;
/** 2^32 divided by the golden ratio, which spreads bits upwards. */
const SPREAD = 0x9e37_79b1;

/**
 * Blocks of directories in which everything is as it should be, which nearly all are: told word by word, by the same rules as those of the
 * pass. A block that departs in anything is left to the pass, and nothing of it is noted here.
 */
export class PlainDirectories {
  readonly #check: ExtCheck;
  readonly #words: Uint32Array;
  readonly #blockSize: number;
  readonly #firstInode: number;
  readonly #inodeCount: number;
  readonly #hasTypes: boolean;
  readonly #hasSeals: boolean;
  /** The hash of a name of this block, and in `#turns` which block that was. */
  readonly #hashes = new Int32Array(PLACES);
  readonly #turns = new Int32Array(PLACES);
  #turn = 0;

  /** `bytes` holds the blocks that are looked at. */
  constructor(check: ExtCheck, bytes: Uint8Array) {
    this.#check = check;
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
    const { blockSize, firstInode, inodeCount } = check.geometry;
    this.#blockSize = blockSize;
    this.#firstInode = firstInode;
    this.#inodeCount = inodeCount;
    this.#hasTypes = (check.words.incompatible & IncompatibleFeature.filetype) !== 0;
    this.#hasSeals = check.seed !== undefined;
  }

  /** Notes the names of the leaf at byte `base` if it is plain; returns whether it was. `seed` is that of the directory. */
  check(directory: number, isFirst: boolean, base: number, seed: number): boolean {
    // Lengths of whole blocks of 64 KiB are written in another way.
    if (this.#blockSize > 0x8000) return false;
    const words = this.#words;
    const start = base >>> 2;
    let end = start + (this.#blockSize >>> 2);
    if (this.#hasSeals) {
      end -= DIRECTORY_TAIL >>> 2;
      if (words[end] !== 0 || words[end + 1] !== TAIL_WORD) return false;
      if (crc32cWords(seed, words, start, end) !== words[end + 2]) return false;
    }
    let first = start;
    if (isFirst) {
      first = this.#afterDots(directory, start, end);
      if (first === 0) return false;
    }
    const stop = this.#stopOf(directory, first, end);
    if (stop < end) {
      this.#forgetParents(first, stop);
      return false;
    }
    if (isFirst) this.#noteDots(directory, start);
    this.#note(first, end);
    return true;
  }

  /** Where the entry behind `..` is; 0 when the two are not plain. */
  #afterDots(directory: number, start: number, end: number): number {
    const words = this.#words;
    const type = this.#hasTypes ? 2 : 0;
    if (words[start] !== directory || words[start + 1] !== DOT_WORD + type * 0x100_0000) return 0;
    // Their names end with a NUL byte.
    if ((words[start + 2]! & 0xffff) !== 0x2e) return 0;
    const parent = words[start + 3]!;
    const head = words[start + 4]!;
    const length = head & 0xffff;
    if (parent === 0 || parent > this.#inodeCount || !this.#check.directories.get(parent)) return 0;
    if (((head >>> 16) & 0xff) !== 2 || head >>> 24 !== type || (words[start + 5]! & 0xff_ffff) !== 0x2e2e)
      return 0;
    const next = start + 3 + (length >>> 2);
    return length < 12 || (length & 3) !== 0 || next > end ? 0 : next;
  }

  /** `end`, or the entry that is not plain. Parents of directories are noted on the way. */
  #stopOf(directory: number, first: number, end: number): number {
    const words = this.#words;
    const { usedInodes, types, parents } = this.#check;
    const turn = ++this.#turn;
    for (let at = first; at < end;) {
      if (at + 3 > end) return at;
      const head = words[at + 1]!;
      const length = head & 0xffff;
      const nameLength = (head >>> 16) & 0xff;
      const next = at + (length >>> 2);
      if (length < 12 || (length & 3) !== 0 || next > end || HEADER + nameLength > length) return at;
      const inode = words[at]!;
      if (inode !== 0) {
        if (inode < this.#firstInode || inode > this.#inodeCount || inode === directory || nameLength === 0)
          return at;
        const type = types.get(inode);
        const told = head >>> 24;
        if (type === 0 || !usedInodes.get(inode)) return at;
        if (this.#hasTypes ? told !== type && told !== 0 : told !== 0) return at;
        if (nameLength <= 2 && (words[at + 2]! & 0xff) === 0x2e) return at;
        if (!this.#isNewName(at + 2, nameLength, turn)) return at;
        if (type === 2) {
          if (parents.get(inode) !== 0) return at;
          parents.set(inode, directory);
        }
      }
      at = next;
    }
    return end;
  }

  /** No zero and no slash in it, and as far as a hash tells, no second time in the block. */
  #isNewName(at: number, nameLength: number, turn: number): boolean {
    const words = this.#words;
    let hash = nameLength;
    let left = nameLength;
    for (let index = at; left > 0; index++, left -= 4) {
      let word = words[index]! | 0;
      // What is behind the end counts as other letters do.
      if (left < 4) word = (word & ((1 << (8 * left)) - 1)) | (ONES << (8 * left));
      const slash = word ^ SLASHES;
      if (((((word - ONES) | 0) & ~word) | (((slash - ONES) | 0) & ~slash)) & TOPS) return false;
      hash = Math.imul(hash ^ word, SPREAD);
      hash ^= hash >>> 15;
    }
    let place = Math.imul(hash, SPREAD) >>> 18;
    while (this.#turns[place] === turn) {
      if (this.#hashes[place] === hash) return false;
      place = (place + 1) & (PLACES - 1);
    }
    this.#turns[place] = turn;
    this.#hashes[place] = hash;
    return true;
  }

  /** Takes back what was noted before the block turned out not to be plain. */
  #forgetParents(first: number, stop: number): void {
    const words = this.#words;
    const { types, parents } = this.#check;
    for (let at = first; at < stop; at += (words[at + 1]! & 0xffff) >>> 2) {
      const inode = words[at]!;
      if (inode !== 0 && types.get(inode) === 2) parents.set(inode, 0);
    }
  }

  #noteDots(directory: number, start: number): void {
    const { counted, dotdots } = this.#check;
    const parent = this.#words[start + 3]!;
    counted.add(directory, 1);
    dotdots.set(directory, parent);
    counted.add(parent, 1);
  }

  #note(first: number, end: number): void {
    const words = this.#words;
    const { counted, types, statistics } = this.#check;
    for (let at = first; at < end; at += (words[at + 1]! & 0xffff) >>> 2) {
      const inode = words[at]!;
      if (inode === 0) continue;
      const count = counted.add(inode, 1);
      if (count > 1 && types.get(inode) !== 2) statistics.links++;
    }
  }
}
