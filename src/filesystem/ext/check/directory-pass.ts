import { isLittleEndian } from '../../../bytes/byte-order.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { DIRECTORY_TAIL, inodeSeed } from '../checksum.ts';
import { DirectoryEntryHeader } from '../directory-block.ts';
import { Inode, InodeFlag } from '../inode.ts';
import type { ExtCheck } from './context.ts';
import { type EntryArea, hasTail, lengthAt, PathFinder, setLengthAt, writeTail } from './directory-blocks.ts';
import { DirectoryReader } from './directory-reader.ts';
import { DotCheck } from './dot-check.ts';
import { EntryCheck } from './entry-check.ts';
import { inlineRest } from './inline-check.ts';
import { IndexCheck } from './index-check.ts';
import { checkLeafSeal } from './leaf-seal-check.ts';
import { PlainDirectories } from './plain-directory.ts';

const HEADER = 8;

/** Pass 2: what every directory holds. */
export function checkDirectories(check: ExtCheck): void {
  const pass = new DirectoryPass(check);
  const { directoryBlocks } = check;
  const total = directoryBlocks.blockCount;
  let done = 0;
  check.step(2, done, total);
  for (let index = 0; index < directoryBlocks.runCount; index++) {
    const { directory, position, block, length } = directoryBlocks.run(index);
    for (let within = 0; within < length; within++) {
      pass.checkBlock(index, directory, position + within, block + within);
      check.step(2, ++done, total);
    }
  }
  pass.end();
}

class DirectoryPass {
  readonly #check: ExtCheck;
  readonly #paths: PathFinder;
  readonly #reader: DirectoryReader;
  readonly #plain: PlainDirectories;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #entries: EntryCheck;
  readonly #dots: DotCheck;
  #directory = 0;
  /** Of it in the list of directories. */
  #place = 0;
  #seed = 0;
  /** The position that comes next. */
  #expected = 0;
  #index: IndexCheck | undefined;

  constructor(check: ExtCheck) {
    this.#check = check;
    this.#paths = new PathFinder(check);
    this.#reader = new DirectoryReader(check);
    this.#plain = new PlainDirectories(check, this.#reader.bytes);
    this.#bytes = new Uint8Array(check.geometry.blockSize);
    this.#view = viewOf(this.#bytes);
    this.#entries = new EntryCheck(check, this.#paths);
    this.#dots = new DotCheck(check, this.#paths, this.#entries);
  }

  /** `index` is that of the run in the list of directory blocks that the block is of. */
  checkBlock(index: number, directory: number, position: number, block: number): void {
    const check = this.#check;
    if (!check.directories.get(directory)) return;
    if (directory !== this.#directory) this.#enter(directory);
    if (block === 0) {
      this.#checkInline(directory);
      return;
    }
    if (position > this.#expected) this.#reportHole(directory, this.#expected);
    this.#expected = position + 1;
    const bytes = this.#bytes;
    const base = this.#reader.read(index, block);
    const hasIndex = this.#index !== undefined;
    if (isLittleEndian && !hasIndex && this.#plain.check(directory, position === 0, base, this.#seed)) return;
    bytes.set(this.#reader.bytes.subarray(base, base + bytes.length));
    const offset = block * check.geometry.blockSize;
    const kind = this.#index?.kindOf(position, this.#view) ?? 'leaf';
    let end = bytes.length;
    const area: EntryArea = { directory, bytes, view: this.#view, end, position, offset, isChanged: false };
    if (check.seed !== undefined && kind === 'leaf') {
      checkLeafSeal(check, this.#seed, area);
      if (hasTail(this.#view)) end -= DIRECTORY_TAIL;
    }
    const entries: EntryArea = { ...area, end };
    if (kind !== 'node') this.#checkEntries(entries, position === 0);
    if (kind === 'leaf') this.#index?.addLeaf(position, bytes, end);
    else this.#index?.addNode(position, bytes, offset, this.#seed);
    if (area.isChanged || entries.isChanged) {
      if (check.seed !== undefined && kind === 'leaf') writeTail(this.#seed, bytes);
      check.writeBlock(block, bytes);
    }
  }

  end(): void {
    this.#index?.end();
    this.#index = undefined;
  }

  #enter(directory: number): void {
    this.end();
    const check = this.#check;
    this.#directory = directory;
    this.#expected = 0;
    // Both lists have the same order; a directory without blocks is in one of them only.
    while (check.directoryList.get(this.#place) !== directory) this.#place++;
    const flags = check.directoryTraits.get(2 * this.#place);
    const generation = check.directoryTraits.get(2 * this.#place + 1);
    if (check.seed !== undefined) this.#seed = inodeSeed(check.seed, directory, generation);
    if ((flags & InodeFlag.index) !== 0 && (flags & InodeFlag.inlineData) === 0)
      this.#index = new IndexCheck(check, directory, flags, () => this.#paths.pathOf(directory));
  }

  #checkEntries(area: EntryArea, isFirst: boolean): void {
    const { view, end } = area;
    const seen = new Set<string>();
    let dots = isFirst ? 0 : 2;
    for (let at = 0; at < end;) {
      let length = at + HEADER <= end ? lengthAt(view, at, area.bytes.length) : 0;
      const nameLength = length < HEADER ? 0 : DirectoryEntryHeader.name_len.get(view, at);
      if (length < 12 || length % 4 !== 0 || at + length > end || HEADER + nameLength > length) {
        if (!this.#salvage(area, at)) return;
        length = end - at;
      }
      if (dots < 2) {
        this.#dots.check(area, at, dots);
        if (dots === 0) length = this.#dots.split(area, at, length);
        dots++;
      } else if (DirectoryEntryHeader.inode.get(view, at) !== 0) this.#entries.check(area, at, seen);
      at += length;
    }
    if (isFirst && dots < 2) {
      for (; dots < 2; dots++) this.#dots.reportMissing(area, dots);
    }
  }

  /** A block that is not there: the names of those that are can be laid out anew. */
  #reportHole(directory: number, position: number): void {
    const check = this.#check;
    const isMended = check.ask({
      code: 'ext-directory-hole',
      structure: 'inode',
      field: 'i_block',
      offset: check.inodeOffset(directory) + Inode.i_block.offset,
      found: `no block at position ${position}`,
      expected: 'blocks without holes',
      path: this.#paths.pathOf(directory),
      meaning: `Directory inode ${directory} has no block ${position}: the names that were there are lost`,
      text: `Directory inode ${directory} has an unallocated block #${position}.  `,
      question: 'Allocate',
      action: 'lays out the names that are left without it',
    });
    if (!isMended) return;
    check.holed.set(directory, position === 0 || check.holed.get(directory) === true);
    // Its `.`, which it gets.
    if (position === 0) check.counted.set(directory, check.counted.get(directory) + 1);
  }

  /** What follows `at` becomes one unused entry. */
  #salvage(area: EntryArea, at: number): boolean {
    const { view, directory, position, offset, end } = area;
    const isMended = this.#check.ask({
      code: 'ext-directory-corrupted',
      structure: 'directory entry',
      field: 'rec_len',
      offset: offset + at + 4,
      found: `${DirectoryEntryHeader.rec_len.get(view, Math.min(at, view.byteLength - HEADER))}`,
      expected: `a multiple of 4 from 12 to ${end - at}`,
      path: this.#paths.pathOf(directory),
      meaning: `Names in block ${position} of directory inode ${directory} cannot be read from byte ${at} on`,
      text: `Directory inode ${directory}, block #${position}, offset ${at}: directory corrupted\n`,
      question: 'Salvage',
      action: 'gives up the names that follow; their files go to lost+found',
    });
    if (!isMended) return false;
    area.isChanged = true;
    if (end - at < 12) {
      // Too short for an entry: the one before takes it.
      let before = 0;
      for (let next = 0; next < at; next += lengthAt(view, next, view.byteLength)) before = next;
      setLengthAt(view, before, end - before);
      return false;
    }
    view.setUint32(at, 0, true);
    setLengthAt(view, at, end - at);
    view.setUint16(at + 6, 0, true);
    return true;
  }

  /** A directory in its inode: the number of `..`, then entries; what does not fit lies among the attributes. */
  #checkInline(directory: number): void {
    const check = this.#check;
    const inode = check.readInode(directory);
    const whole = new Uint8Array(inode.buffer, 0, check.geometry.inodeSize);
    const start = Inode.i_block.offset;
    const parent = inode.getUint32(start, true);
    check.dotdots.set(directory, parent);
    check.counted.set(directory, check.counted.get(directory) + 1);
    if (parent >= 1 && parent <= check.geometry.inodeCount)
      check.counted.set(parent, check.counted.get(parent) + 1);
    const areas = [whole.subarray(start + 4, start + 60)];
    const rest = inlineRest(inode, check.geometry.inodeSize);
    if (rest !== undefined && rest.length > 0) areas.push(rest);
    let isChanged = false;
    for (const bytes of areas) {
      const area: EntryArea = {
        directory,
        bytes,
        view: viewOf(bytes),
        end: bytes.length,
        position: 0,
        offset: check.inodeOffset(directory) + bytes.byteOffset,
        isChanged: false,
      };
      this.#checkEntries(area, false);
      isChanged ||= area.isChanged;
    }
    if (isChanged) check.writeInode(directory, inode);
  }
}
