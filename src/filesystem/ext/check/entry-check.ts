import { decodeUtf8 } from '../../../bytes/utf8.ts';
import { DirectoryEntryHeader } from '../directory-block.ts';
import { ReservedInode } from '../inode.ts';
import { IncompatibleFeature } from '../superblock.ts';
import type { ExtCheck, Problem } from './context.ts';
import type { EntryArea, PathFinder } from './directory-blocks.ts';

const HEADER = 8;

/** Single entries of a directory: where they lead, their names and types. */
export class EntryCheck {
  readonly #check: ExtCheck;
  readonly #paths: PathFinder;
  readonly #hasTypes: boolean;

  constructor(check: ExtCheck, paths: PathFinder) {
    this.#check = check;
    this.#paths = paths;
    this.#hasTypes = (check.words.incompatible & IncompatibleFeature.filetype) !== 0;
  }

  check(area: EntryArea, at: number, seen: Set<string>): void {
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
    this.checkType(area, at, name, inode);
    // All names of the directory are looked at again, so that one is enough.
    if (seen.has(name) && !check.duplicates.has(directory)) {
      check.duplicates.add(directory);
      check.ask({
        ...this.basicsOf(area, at),
        code: 'ext-duplicate-name',
        field: 'name',
        found: JSON.stringify(name),
        expected: 'a name that is there once',
        meaning: `Two entries of directory inode ${directory} have the name "${name}"`,
        text: `Duplicate entry '${name}' found.\n\tMarking ${this.#paths.pathOf(directory)} (${directory}) to be rebuilt.\n\n`,
        action: 'gives them other names, as told below',
      });
    }
    seen.add(name);
    if (check.directories.get(inode)) {
      if (check.parents.get(inode) !== 0 || inode === ReservedInode.root) {
        const isMended = check.ask({
          ...this.basicsOf(area, at),
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
        ...this.basicsOf(area, at),
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
        ...this.basicsOf(area, at),
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
        ...this.basicsOf(area, at),
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
        ...this.basicsOf(area, at),
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
        ...this.basicsOf(area, at),
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
      ...this.basicsOf(area, at),
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
      ...this.basicsOf(area, at),
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
  checkType(area: EntryArea, at: number, name: string, inode: number): void {
    const check = this.#check;
    const { view, directory } = area;
    const found = DirectoryEntryHeader.file_type.get(view, at);
    const wanted = this.#hasTypes ? check.types.get(inode) : 0;
    if (found === wanted || (this.#hasTypes && (!check.usedInodes.get(inode) || found === 0))) return;
    const isMended = check.ask({
      ...this.basicsOf(area, at),
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

  basicsOf(area: EntryArea, at: number): Pick<Problem, 'structure' | 'offset' | 'path'> {
    return {
      structure: 'directory entry',
      offset: area.offset + at,
      path: this.#paths.pathOf(area.directory),
    };
  }
}
