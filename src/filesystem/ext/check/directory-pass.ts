import { isLittleEndian } from '../../../bytes/byte-order.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { decodeUtf8 } from '../../../bytes/utf8.ts';
import { DIRECTORY_TAIL, inodeSeed } from '../checksum.ts';
import { DirectoryEntryHeader, entrySize } from '../directory-block.ts';
import { Inode, InodeFlag, ReservedInode } from '../inode.ts';
import { IncompatibleFeature } from '../superblock.ts';
import { XATTR_MAGIC, XattrEntry } from '../xattr-format.ts';
import type { ExtCheck, Problem } from './context.ts';
import {
  type EntryArea,
  hasTail,
  leafChecksum,
  lengthAt,
  PathFinder,
  setLengthAt,
  writeTail,
} from './directory-blocks.ts';
import { DirectoryReader } from './directory-reader.ts';
import { IndexCheck } from './index-check.ts';
import { PlainDirectories } from './plain-directory.ts';

const HEADER = 8;

/** Pass 2: what every directory holds. */
export function checkDirectories(check: ExtCheck): void {
  const pass = new DirectoryPass(check);
  const { directoryBlocks } = check;
  for (let index = 0; index < directoryBlocks.length; index += 3) {
    pass.checkBlock(index);
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
  readonly #hasTypes: boolean;
  #directory = 0;
  /** Of it in the list of directories. */
  #place = 0;
  #seed = 0;
  #index: IndexCheck | undefined;

  constructor(check: ExtCheck) {
    this.#check = check;
    this.#paths = new PathFinder(check);
    this.#reader = new DirectoryReader(check);
    this.#plain = new PlainDirectories(check, this.#reader.bytes);
    this.#bytes = new Uint8Array(check.geometry.blockSize);
    this.#view = viewOf(this.#bytes);
    this.#hasTypes = (check.words.incompatible & IncompatibleFeature.filetype) !== 0;
  }

  /** `index` is that of the block in the list of directory blocks. */
  checkBlock(index: number): void {
    const check = this.#check;
    const { directoryBlocks } = check;
    const directory = directoryBlocks.get(index);
    const position = directoryBlocks.get(index + 1);
    const block = directoryBlocks.get(index + 2);
    if (!check.directories.get(directory)) return;
    if (directory !== this.#directory) this.#enter(directory);
    if (block === 0) {
      this.#checkInline(directory);
      return;
    }
    const bytes = this.#bytes;
    const base = this.#reader.read(index);
    const hasIndex = this.#index !== undefined;
    if (isLittleEndian && !hasIndex && this.#plain.check(directory, position === 0, base, this.#seed)) return;
    bytes.set(this.#reader.bytes.subarray(base, base + bytes.length));
    const offset = block * check.geometry.blockSize;
    const kind = this.#index?.kindOf(position, this.#view) ?? 'leaf';
    let end = bytes.length;
    const area: EntryArea = { directory, bytes, view: this.#view, end, position, offset, isChanged: false };
    if (check.seed !== undefined && kind === 'leaf') {
      this.#checkSeal(area);
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
    // Both lists have the same order; a directory without blocks is in one of them only.
    while (check.directoryList.get(this.#place) !== directory) this.#place++;
    const flags = check.directoryTraits.get(2 * this.#place);
    const generation = check.directoryTraits.get(2 * this.#place + 1);
    if (check.seed !== undefined) this.#seed = inodeSeed(check.seed, directory, generation);
    if ((flags & InodeFlag.index) !== 0 && (flags & InodeFlag.inlineData) === 0)
      this.#index = new IndexCheck(check, directory, flags, () => this.#paths.pathOf(directory));
  }

  #checkSeal(area: EntryArea): void {
    const check = this.#check;
    const { bytes, view, directory, position, offset } = area;
    if (!hasTail(view)) {
      area.isChanged = check.ask({
        code: 'ext-directory-no-checksum',
        structure: 'directory block',
        field: 'det_checksum',
        offset: offset + bytes.length - DIRECTORY_TAIL,
        found: 'no checksum',
        expected: 'a checksum at the end of the block',
        meaning: `Block ${position} of directory inode ${directory} has no checksum`,
        text: `Directory inode ${directory}, block #${position}, offset 0: directory has no checksum.\n`,
        question: 'Fix',
        action: 'makes room for it and writes it',
      });
      if (area.isChanged) makeRoomForTail(view);
      return;
    }
    const expected = leafChecksum(this.#seed, bytes);
    const found = view.getUint32(bytes.length - 4, true);
    if (found === expected) return;
    area.isChanged = check.ask({
      code: 'ext-directory-checksum',
      structure: 'directory block',
      field: 'det_checksum',
      offset: offset + bytes.length - 4,
      found: `0x${found.toString(16)}`,
      expected: `0x${expected.toString(16)}`,
      meaning: `Block ${position} of directory inode ${directory} does not have its checksum: a name in it may be wrong`,
      text: `Directory inode ${directory}, block #${position}: directory passes checks but fails checksum.\n`,
      question: 'Fix',
      action: 'writes the checksum',
    });
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
        this.#checkDot(area, at, dots);
        if (dots === 0) length = this.#splitDot(area, at, length);
        dots++;
      } else if (DirectoryEntryHeader.inode.get(view, at) !== 0) this.#checkEntry(area, at, seen);
      at += length;
    }
    if (isFirst && dots < 2) {
      for (; dots < 2; dots++) this.#missingDot(area, dots);
    }
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

  #missingDot(area: EntryArea, which: number): void {
    const { directory } = area;
    const dot = which === 0 ? '.' : '..';
    this.#check.ask({
      ...this.#entryBasics(area, 0),
      code: 'ext-dot-entry',
      field: 'name',
      found: 'no such entry',
      expected: dot,
      meaning: `Directory inode ${directory} has no entry ${dot}`,
      text: `Missing '${dot}' in directory inode ${directory}.\n`,
      question: 'Fix',
    });
  }

  /** The first two entries of a directory. */
  #checkDot(area: EntryArea, at: number, which: number): void {
    const check = this.#check;
    const { view, directory, bytes } = area;
    const dot = which === 0 ? '.' : '..';
    const inode = DirectoryEntryHeader.inode.get(view, at);
    const nameLength = DirectoryEntryHeader.name_len.get(view, at);
    const name = decodeUtf8(bytes, at + HEADER, Math.min(at + HEADER + nameLength, area.end));
    const isNamed = name === dot && inode !== 0;
    if (!isNamed) {
      const isMended = check.ask({
        ...this.#entryBasics(area, at),
        code: 'ext-dot-entry',
        field: 'name',
        found: JSON.stringify(name),
        expected: JSON.stringify(dot),
        meaning: `Directory inode ${directory} has "${name}" where ${dot} should be`,
        text: `Missing '${dot}' in directory inode ${directory}.\n`,
        question: 'Fix',
        action: `makes the entry ${dot} there`,
      });
      if (!isMended) {
        if (inode !== 0) this.#checkEntry(area, at, new Set());
        return;
      }
      const target = which === 0 ? directory : check.parents.get(directory) || ReservedInode.root;
      writeDot(view, at, dot, target, this.#hasTypes);
      area.isChanged = true;
    } else if (which === 0 && inode !== directory) {
      const isMended = check.ask({
        ...this.#entryBasics(area, at),
        code: 'ext-dot-entry',
        field: 'inode',
        found: `${inode}`,
        expected: `${directory}`,
        meaning: `The entry . of directory inode ${directory} names inode ${inode}`,
        text: `Invalid inode number for '.' in directory inode ${directory}.\n`,
        question: 'Fix',
        action: `makes it name inode ${directory}`,
      });
      if (isMended) {
        view.setUint32(at, directory, true);
        area.isChanged = true;
      }
    }
    const target = DirectoryEntryHeader.inode.get(view, at);
    if (which === 1) check.dotdots.set(directory, target);
    if (target >= 1 && target <= check.geometry.inodeCount)
      check.counted.set(target, check.counted.get(target) + 1);
    this.#checkType(area, at, dot, target);
  }

  /** `.` takes 12 bytes, so that `..` is where it is looked for. Returns its length then. */
  #splitDot(area: EntryArea, at: number, length: number): number {
    const { view, directory } = area;
    if (length < 24) return length;
    const isMended = this.#check.ask({
      ...this.#entryBasics(area, at),
      code: 'ext-dot-entry',
      severity: 'warning',
      field: 'rec_len',
      found: `${length}`,
      expected: '12',
      meaning: `The entry . of directory inode ${directory} takes ${length} bytes, so .. is not where it should be`,
      text: `Directory entry for '.' in ${this.#paths.pathOf(directory)} (${directory}) is big.\n`,
      question: 'Split',
      action: 'splits it',
      safe: true,
    });
    if (!isMended) return length;
    area.isChanged = true;
    setLengthAt(view, at, 12);
    view.setUint32(at + 12, 0, true);
    setLengthAt(view, at + 12, length - 12);
    view.setUint16(at + 18, 0, true);
    return 12;
  }

  #checkEntry(area: EntryArea, at: number, seen: Set<string>): void {
    const check = this.#check;
    const { view, bytes, directory } = area;
    const inode = DirectoryEntryHeader.inode.get(view, at);
    const nameLength = DirectoryEntryHeader.name_len.get(view, at);
    const name = decodeUtf8(bytes, at + HEADER, at + HEADER + nameLength);
    const fault = this.#entryFault(area, at, inode, nameLength, name);
    if (fault !== undefined) {
      if (check.ask(fault)) {
        view.setUint32(at, 0, true);
        area.isChanged = true;
      }
      return;
    }
    this.#checkName(area, at, nameLength, name);
    this.#checkType(area, at, name, inode);
    if (seen.has(name)) {
      check.ask({
        ...this.#entryBasics(area, at),
        code: 'ext-duplicate-name',
        field: 'name',
        found: JSON.stringify(name),
        expected: 'a name that is there once',
        meaning: `Two entries of directory inode ${directory} have the name "${name}"`,
        text: `Duplicate entry '${name}' found.\n\tMarking ${this.#paths.pathOf(directory)} (${directory}) to be rebuilt.\n\n`,
      });
    }
    seen.add(name);
    if (check.directories.get(inode)) {
      if (check.parents.get(inode) !== 0 || inode === ReservedInode.root) {
        const isMended = check.ask({
          ...this.#entryBasics(area, at),
          code: 'ext-second-name',
          field: 'inode',
          found: `${inode}`,
          expected: 'a directory that has no other name',
          meaning: `The entry "${name}" of directory inode ${directory} is a second name of directory inode ${inode}`,
          text: `Entry '${name}' in ${this.#paths.pathOf(directory)} (${directory}) is a link to directory ${this.#paths.pathOf(inode)} (${inode}).\n`,
          question: 'Clear',
          action: 'removes the entry',
        });
        if (isMended) {
          view.setUint32(at, 0, true);
          area.isChanged = true;
          return;
        }
      } else check.parents.set(inode, directory);
    }
    const count = check.counted.get(inode);
    check.counted.set(inode, count + 1);
    if (count > 0 && !check.directories.get(inode)) check.statistics.links++;
  }

  /** Faults for which an entry is removed. */
  #entryFault(
    area: EntryArea,
    at: number,
    inode: number,
    nameLength: number,
    name: string,
  ): Problem | undefined {
    const check = this.#check;
    const { directory } = area;
    const entry = (): string => `Entry '${name}' in ${this.#paths.pathOf(directory)} (${directory})`;
    const basics = { question: 'Clear', action: 'removes the entry' } as const;
    if (
      inode > check.geometry.inodeCount ||
      (inode < check.geometry.firstInode && inode !== ReservedInode.root)
    ) {
      return {
        ...this.#entryBasics(area, at),
        ...basics,
        code: 'ext-entry-inode',
        field: 'inode',
        found: `${inode}`,
        expected: `an inode from ${check.geometry.firstInode} to ${check.geometry.inodeCount}`,
        meaning: `The entry "${name}" of directory inode ${directory} names inode ${inode}, and inodes go up to ${check.geometry.inodeCount}`,
        text: `${entry()} has invalid inode #: ${inode}.\n`,
      };
    }
    if (name === '.' || name === '..') {
      return {
        ...this.#entryBasics(area, at),
        ...basics,
        code: 'ext-dot-entry',
        field: 'name',
        found: JSON.stringify(name),
        expected: 'it is at the start of the directory only',
        meaning: `Directory inode ${directory} has a second entry ${name}`,
        text: `${entry()} is duplicate '${name}' entry.\n`,
      };
    }
    if (inode === directory) {
      return {
        ...this.#entryBasics(area, at),
        ...basics,
        code: 'ext-second-name',
        field: 'inode',
        found: `${inode}`,
        expected: 'another inode',
        meaning: `The entry "${name}" of directory inode ${directory} names the directory itself`,
        text: `${entry()} is a link to '.'  `,
      };
    }
    if (inode === ReservedInode.root) {
      return {
        ...this.#entryBasics(area, at),
        ...basics,
        code: 'ext-second-name',
        field: 'inode',
        found: '2',
        expected: 'another inode than that of the root directory',
        meaning: `The entry "${name}" of directory inode ${directory} names the root directory`,
        text: `${entry()} is a link to the root.\n`,
      };
    }
    if (nameLength === 0) {
      return {
        ...this.#entryBasics(area, at),
        ...basics,
        code: 'ext-entry-name',
        field: 'name_len',
        found: '0',
        expected: 'at least 1',
        meaning: `An entry of directory inode ${directory} has no name`,
        text: `${entry()} has a zero-length name.\n`,
      };
    }
    if (check.usedInodes.get(inode)) return undefined;
    return {
      ...this.#entryBasics(area, at),
      ...basics,
      code: 'ext-entry-unused-inode',
      field: 'inode',
      found: `${inode}`,
      expected: 'an inode that is in use',
      meaning: `The entry "${name}" of directory inode ${directory} names inode ${inode}, which is not in use: the file is gone`,
      text: `${entry()} has deleted/unused inode ${inode}.  `,
    };
  }

  #checkName(area: EntryArea, at: number, nameLength: number, name: string): void {
    const { bytes, directory } = area;
    let isBad = false;
    for (let i = at + HEADER; i < at + HEADER + nameLength; i++)
      isBad ||= bytes[i] === 0 || bytes[i] === 0x2f;
    if (!isBad) return;
    const isMended = this.#check.ask({
      ...this.#entryBasics(area, at),
      code: 'ext-entry-name',
      field: 'name',
      found: JSON.stringify(name),
      expected: 'bytes other than zero and a slash',
      meaning: `The name "${name}" in directory inode ${directory} has a zero or a slash in it, so the file cannot be opened`,
      text: `Entry '${name}' in ${this.#paths.pathOf(directory)} (${directory}) has illegal characters in its name.\n`,
      question: 'Fix',
      action: 'replaces them by dots',
      safe: true,
    });
    if (!isMended) return;
    for (let i = at + HEADER; i < at + HEADER + nameLength; i++)
      if (bytes[i] === 0 || bytes[i] === 0x2f) bytes[i] = 0x2e;
    area.isChanged = true;
  }

  /** 0 says that the type is not known, which is no fault. */
  #checkType(area: EntryArea, at: number, name: string, inode: number): void {
    const check = this.#check;
    const { view, directory } = area;
    const found = DirectoryEntryHeader.file_type.get(view, at);
    const wanted = this.#hasTypes ? check.types.get(inode) : 0;
    if (found === wanted || (this.#hasTypes && (!check.usedInodes.get(inode) || found === 0))) return;
    const isMended = check.ask({
      ...this.#entryBasics(area, at),
      code: 'ext-entry-type',
      severity: 'warning',
      field: 'file_type',
      found: `${found}`,
      expected: `${wanted}`,
      meaning: `The entry "${name}" of directory inode ${directory} gives inode ${inode} the type ${found}, and it is ${wanted}`,
      text: this.#hasTypes
        ? `Entry '${name}' in ${this.#paths.pathOf(directory)} (${directory}) has an incorrect filetype (was ${found}, should be ${wanted}).\n`
        : `Entry '${name}' in ${this.#paths.pathOf(directory)} (${directory}) has filetype set.\n`,
      question: this.#hasTypes ? 'Fix' : 'Clear',
      action: `writes ${wanted}`,
      safe: true,
    });
    if (!isMended) return;
    view.setUint8(at + 7, wanted);
    area.isChanged = true;
  }

  #entryBasics(area: EntryArea, at: number): Pick<Problem, 'structure' | 'offset' | 'path'> {
    return {
      structure: 'directory entry',
      offset: area.offset + at,
      path: this.#paths.pathOf(area.directory),
    };
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

/** The value of the attribute `system.data`, in place. */
function inlineRest(inode: DataView, inodeSize: number): Uint8Array | undefined {
  const start = 128 + Inode.i_extra_isize.get(inode, 0);
  if (start + 8 > inodeSize || inode.getUint32(start, true) !== XATTR_MAGIC) return undefined;
  for (let at = start + 4; at + 16 <= inodeSize && inode.getUint32(at, true) !== 0;) {
    const nameLength = XattrEntry.e_name_len.get(inode, at);
    const name = decodeUtf8(new Uint8Array(inode.buffer), at + 16, at + 16 + nameLength);
    if (XattrEntry.e_name_index.get(inode, at) === 7 && name === 'data') {
      const from = start + 4 + XattrEntry.e_value_offs.get(inode, at);
      const size = XattrEntry.e_value_size.get(inode, at);
      return from + size <= inodeSize ? new Uint8Array(inode.buffer, from, size) : undefined;
    }
    at += (16 + nameLength + 3) & ~3;
  }
  return undefined;
}

function writeDot(view: DataView, at: number, dot: string, inode: number, hasTypes: boolean): void {
  view.setUint32(at, inode, true);
  view.setUint8(at + 6, dot.length);
  view.setUint8(at + 7, hasTypes ? 2 : 0);
  view.setUint32(at + 8, dot === '.' ? 0x2e : 0x2e2e, true);
}

/** Shortens the last entry so that a checksum fits behind it; where its name is in the way, the name is given up. */
function makeRoomForTail(view: DataView): void {
  const end = view.byteLength - DIRECTORY_TAIL;
  for (let at = 0; at < view.byteLength;) {
    const length = lengthAt(view, at, view.byteLength);
    if (length < HEADER) return;
    if (at + length >= view.byteLength) {
      if (at >= end) return;
      const used = entrySize(DirectoryEntryHeader.name_len.get(view, at));
      if (at + used > end) view.setUint32(at, 0, true);
      setLengthAt(view, at, end - at);
      return;
    }
    if (at + length > end) {
      setLengthAt(view, at, end - at);
      return;
    }
    at += length;
  }
}
