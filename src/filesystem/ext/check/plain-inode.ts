import { viewOf } from '../../../bytes/struct.ts';
import { crc32cWord, crc32cWords } from '../../../bytes/crc32c.ts';
import { EXTENT_MAGIC, MAX_WRITTEN } from '../extent-node.ts';
import { Inode, InodeFlag, ReservedInode } from '../inode.ts';
import { IncompatibleFeature, Superblock } from '../superblock.ts';
import { XATTR_MAGIC } from '../xattr-format.ts';
import { areAttributesPeculiar } from './attribute-check.ts';
import type { ExtCheck } from './context.ts';

const MODE = Inode.i_mode.offset >>> 1;
const LINKS = Inode.i_links_count.offset >>> 1;
const SIZE = Inode.i_size_lo.offset >>> 2;
const SIZE_HIGH = Inode.i_size_high.offset >>> 2;
const DELETION = Inode.i_dtime.offset >>> 2;
const SECTORS = Inode.i_blocks_lo.offset >>> 2;
const FLAGS = Inode.i_flags.offset >>> 2;
const BLOCKS = Inode.i_block.offset >>> 2;
const GENERATION = Inode.i_generation.offset >>> 2;
const ATTRIBUTES = Inode.i_file_acl_lo.offset >>> 2;
const FRAGMENT = Inode.i_obso_faddr.offset >>> 2;
/** The high halves of `i_blocks` and `i_file_acl`. */
const HIGH_HALVES = Inode.i_blocks_high.offset >>> 2;
/** The word of which `i_checksum_lo` is the low half, and that of `i_extra_isize` and `i_checksum_hi`. */
const CHECKSUM = Inode.i_checksum_lo.offset >>> 2;
const EXTRA = Inode.i_extra_isize.offset >>> 2;
/** Root of an extent tree without levels: the magic, how many entries it has, four at most. */
const ROOT_ENTRIES = 4;
const DIRECT = 12;
/** Flags of files whose content lies elsewhere or is counted in another way. */
const PECULIAR =
  InodeFlag.encrypted |
  InodeFlag.index |
  InodeFlag.hugeFile |
  InodeFlag.verity |
  InodeFlag.eaInode |
  InodeFlag.inlineData |
  InodeFlag.casefold;

/**
 * Regular files that are as they should be and whose map is in the inode, which nearly all are: told from a few words, by the same rules as
 * those of the pass. Whatever departs in anything is left to the pass, and nothing of it is noted here. On a machine whose words have the other
 * order of bytes, that is all of them.
 */
export class PlainInodes {
  readonly #check: ExtCheck;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #words: Uint32Array;
  readonly #halves: Uint16Array;
  readonly #inodeSize: number;
  readonly #blockSize: number;
  readonly #sectorsPerBlock: number;
  readonly #firstDataBlock: number;
  readonly #blockCount: number;
  readonly #firstInode: number;
  readonly #seed: number | undefined;
  readonly #hasExtents: boolean;
  /** It has to be there. */
  readonly #projectFile: number;
  /** Journals and the like, whose number is not a reserved one. */
  readonly #special: readonly number[];

  /** `chunk` is the piece of the inode table that is looked at. */
  constructor(check: ExtCheck, chunk: Uint8Array) {
    const { geometry, words, superblock } = check;
    this.#check = check;
    this.#bytes = chunk;
    this.#view = viewOf(chunk);
    this.#words = new Uint32Array(chunk.buffer, chunk.byteOffset, chunk.length >>> 2);
    this.#halves = new Uint16Array(chunk.buffer, chunk.byteOffset, chunk.length >>> 1);
    this.#inodeSize = geometry.inodeSize;
    this.#blockSize = geometry.blockSize;
    this.#sectorsPerBlock = geometry.sectorsPerBlock;
    this.#firstDataBlock = geometry.firstDataBlock;
    this.#blockCount = geometry.blockCount;
    this.#firstInode = Math.max(geometry.firstInode, ReservedInode.journal + 1);
    this.#seed = check.seed;
    this.#hasExtents = (words.incompatible & IncompatibleFeature.extent) !== 0;
    this.#projectFile = Superblock.s_prj_quota_inum.get(superblock, 0);
    this.#special = [
      Superblock.s_orphan_file_inum.get(superblock, 0),
      Superblock.s_prj_quota_inum.get(superblock, 0),
      Superblock.s_usr_quota_inum.get(superblock, 0),
      Superblock.s_grp_quota_inum.get(superblock, 0),
      Superblock.s_journal_inum.get(superblock, 0),
    ];
  }

  /** Never used: no mode, no links, no time of deletion. `base` is the byte in the chunk. */
  isBlank(number: number, base: number): boolean {
    const halves = this.#halves;
    return (
      halves[(base >>> 1) + MODE] === 0 &&
      halves[(base >>> 1) + LINKS] === 0 &&
      this.#words[(base >>> 2) + DELETION] === 0 &&
      number >= this.#firstInode &&
      number !== this.#projectFile
    );
  }

  /** Notes what an inode has if it is plain; returns whether it was. With clusters none is: what is shared within a file takes a closer look. */
  check(number: number, base: number): boolean {
    if (this.#check.geometry.blocksPerCluster > 1) return false;
    const words = this.#words;
    const halves = this.#halves;
    const at = base >>> 2;
    const half = base >>> 1;
    const links = halves[half + LINKS]!;
    const flags = words[at + FLAGS]!;
    if (
      halves[half + MODE]! >>> 12 !== 8 ||
      links === 0 ||
      number < this.#firstInode ||
      (flags & PECULIAR) !== 0 ||
      words[at + DELETION] !== 0 ||
      words[at + SIZE_HIGH] !== 0 ||
      words[at + SIZE]! >= 0x8000_0000 ||
      words[at + ATTRIBUTES] !== 0 ||
      words[at + HIGH_HALVES] !== 0 ||
      words[at + FRAGMENT] !== 0 ||
      this.#special.includes(number)
    )
      return false;
    if (this.#inodeSize > 128 && !this.#isExtraPlain(base)) return false;
    const isMapped = (flags & InodeFlag.extents) === 0;
    if (!isMapped && !this.#hasExtents) return false;
    const blocks = isMapped ? this.#countPointers(at) : this.#countExtents(at);
    if (blocks < 0 || words[at + SECTORS] !== blocks * this.#sectorsPerBlock) return false;
    if (this.#last >= 0 && words[at + SIZE]! < this.#last * this.#blockSize) return false;
    if (this.#seed !== undefined && !this.#isSealed(number, at)) return false;
    this.#note(number, links, at, isMapped);
    if (this.#check.quota.kinds.length > 0)
      this.#check.quota.add(number, this.#view, base, blocks * this.#blockSize, 1);
    return true;
  }

  /** Of the last written block, as the last count came across it. */
  #last = -1;
  #isFragmented = false;

  #isExtraPlain(base: number): boolean {
    const extra = this.#halves[(base >>> 1) + (Inode.i_extra_isize.offset >>> 1)]!;
    const room = this.#inodeSize - 128;
    if ((extra & 3) !== 0 || extra > room) return false;
    if (128 + extra + 8 > this.#inodeSize) return true;
    if (this.#words[(base + 128 + extra) >>> 2] !== XATTR_MAGIC) return true;
    const start = base + 128 + extra + 4;
    return !areAttributesPeculiar(this.#bytes.subarray(start, base + this.#inodeSize));
  }

  /** Blocks of an extent tree without levels; -1 when it is not plain. */
  #countExtents(at: number): number {
    const words = this.#words;
    const root = at + BLOCKS;
    const count = words[root]! >>> 16;
    if ((words[root]! & 0xffff) !== EXTENT_MAGIC || count > ROOT_ENTRIES || words[root + 1] !== ROOT_ENTRIES)
      return -1;
    let blocks = 0;
    let next = 0;
    let previous = -1;
    this.#last = -1;
    this.#isFragmented = false;
    for (let entry = root + 3, end = root + 3 + 3 * count; entry < end; entry += 3) {
      const key = words[entry]!;
      const stored = words[entry + 1]! & 0xffff;
      const length = stored > MAX_WRITTEN ? stored - MAX_WRITTEN : stored;
      const start = words[entry + 2]! + (words[entry + 1]! >>> 16) * 0x1_0000_0000;
      if (length === 0 || key < next || start < this.#firstDataBlock || start + length > this.#blockCount)
        return -1;
      next = key + length;
      if (next > 0xffff_ffff) return -1;
      blocks += length;
      if (stored <= MAX_WRITTEN) this.#last = next - 1;
      if (previous >= 0 && previous + 1 !== start) this.#isFragmented = true;
      previous = start + length - 1;
    }
    // A file that no group can hold cannot be in one piece.
    if (blocks >= this.#check.geometry.blocksPerGroup) this.#isFragmented = false;
    return blocks;
  }

  /** Blocks of a map without indirect blocks; -1 when it is not plain. */
  #countPointers(at: number): number {
    const words = this.#words;
    const map = at + BLOCKS;
    if (words[map + DIRECT] !== 0 || words[map + DIRECT + 1] !== 0 || words[map + DIRECT + 2] !== 0)
      return -1;
    let blocks = 0;
    let previous = -1;
    this.#last = -1;
    this.#isFragmented = false;
    for (let slot = 0; slot < DIRECT; slot++) {
      const block = words[map + slot]!;
      if (block === 0) continue;
      if (block < this.#firstDataBlock || block >= this.#blockCount) return -1;
      blocks++;
      this.#last = slot;
      if (previous >= 0 && previous + 1 !== block) this.#isFragmented = true;
      previous = block;
    }
    return blocks;
  }

  #isSealed(number: number, at: number): boolean {
    const words = this.#words;
    const seed = crc32cWord(crc32cWord(this.#seed!, number), words[at + GENERATION]!);
    const size = this.#inodeSize >>> 2;
    const low = words[at + CHECKSUM]!;
    words[at + CHECKSUM] = low & 0xffff_0000;
    if (size === 32) {
      const value = crc32cWords(seed, words, at, at + size);
      words[at + CHECKSUM] = low;
      return (low & 0xffff) === (value & 0xffff);
    }
    const high = words[at + EXTRA]!;
    const isWide = (high & 0xffff) >= 4;
    if (isWide) words[at + EXTRA] = high & 0xffff;
    const value = crc32cWords(seed, words, at, at + size);
    words[at + CHECKSUM] = low;
    words[at + EXTRA] = high;
    return (low & 0xffff) === (value & 0xffff) && (!isWide || high >>> 16 === value >>> 16);
  }

  #note(number: number, links: number, at: number, isMapped: boolean): void {
    const check = this.#check;
    const { statistics } = check;
    check.usedInodes.set(number);
    check.links.set(number, links);
    check.types.set(number, 1);
    statistics.regularFiles++;
    if (this.#isFragmented) check.fragmentedFiles++;
    const words = this.#words;
    if (isMapped) {
      for (let slot = at + BLOCKS; slot < at + BLOCKS + DIRECT; slot++)
        if (words[slot] !== 0) check.claim(words[slot]!);
      return;
    }
    statistics.extentDepths[0] = (statistics.extentDepths[0] ?? 0) + 1;
    const root = at + BLOCKS;
    for (let entry = root + 3, end = root + 3 + 3 * (words[root]! >>> 16); entry < end; entry += 3) {
      const stored = words[entry + 1]! & 0xffff;
      const length = stored > MAX_WRITTEN ? stored - MAX_WRITTEN : stored;
      check.claimRange(words[entry + 2]! + (words[entry + 1]! >>> 16) * 0x1_0000_0000, length);
    }
  }
}
