import { decodeUtf8 } from '../../../bytes/utf8.ts';
import { DirectoryEntryHeader } from '../directory-block.ts';
import { ReservedInode } from '../inode.ts';
import { IncompatibleFeature } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import { type EntryArea, type PathFinder, setLengthAt } from './directory-blocks.ts';
import type { EntryCheck } from './entry-check.ts';

const HEADER = 8;

/** The entries `.` and `..`, the first two of a directory. */
export class DotCheck {
  readonly #check: ExtCheck;
  readonly #paths: PathFinder;
  readonly #entries: EntryCheck;
  readonly #hasTypes: boolean;

  constructor(check: ExtCheck, paths: PathFinder, entries: EntryCheck) {
    this.#check = check;
    this.#paths = paths;
    this.#entries = entries;
    this.#hasTypes = (check.words.incompatible & IncompatibleFeature.filetype) !== 0;
  }

  reportMissing(area: EntryArea, which: number): void {
    const { directory } = area;
    const dot = which === 0 ? '.' : '..';
    this.#check.ask({
      ...this.#entries.basicsOf(area, 0),
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
  check(area: EntryArea, at: number, which: number): void {
    const check = this.#check;
    const { view, directory, bytes } = area;
    const dot = which === 0 ? '.' : '..';
    const inode = DirectoryEntryHeader.inode.get(view, at);
    const nameLength = DirectoryEntryHeader.name_len.get(view, at);
    const name = decodeUtf8(bytes, at + HEADER, Math.min(at + HEADER + nameLength, area.end));
    const isNamed = name === dot && inode !== 0;
    if (!isNamed) {
      const isMended = check.ask({
        ...this.#entries.basicsOf(area, at),
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
        if (inode !== 0) this.#entries.check(area, at, new Set());
        return;
      }
      const target = which === 0 ? directory : check.parents.get(directory) || ReservedInode.root;
      writeDot(view, at, dot, target, this.#hasTypes);
      area.isChanged = true;
    } else if (which === 0 && inode !== directory) {
      const isMended = check.ask({
        ...this.#entries.basicsOf(area, at),
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
    if (isNamed) this.#checkEnd(area, at, dot);
    const target = DirectoryEntryHeader.inode.get(view, at);
    if (which === 1) check.dotdots.set(directory, target);
    if (target >= 1 && target <= check.geometry.inodeCount)
      check.counted.set(target, check.counted.get(target) + 1);
    this.#entries.checkType(area, at, dot, target);
  }

  /** Unlike other names these two end with a NUL byte. */
  #checkEnd(area: EntryArea, at: number, dot: string): void {
    const { view, directory } = area;
    const end = at + HEADER + dot.length;
    const found = view.getUint8(end);
    if (found === 0) return;
    const isMended = this.#check.ask({
      ...this.#entries.basicsOf(area, at),
      code: 'ext-dot-entry',
      severity: 'warning',
      field: 'name',
      found: `${found} behind it`,
      expected: '0',
      meaning: `The entry ${dot} of directory inode ${directory} does not end with a NUL byte`,
      text: `'${dot}' directory entry in directory inode ${directory} is not NULL terminated\n`,
      question: 'Fix',
      action: 'writes a NUL byte there',
      safe: true,
    });
    if (!isMended) return;
    view.setUint8(end, 0);
    area.isChanged = true;
  }

  /** `.` takes 12 bytes, so that `..` is where it is looked for. Returns its length then. */
  split(area: EntryArea, at: number, length: number): number {
    const { view, directory } = area;
    if (length < 24) return length;
    const isMended = this.#check.ask({
      ...this.#entries.basicsOf(area, at),
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
}

function writeDot(view: DataView, at: number, dot: string, inode: number, hasTypes: boolean): void {
  view.setUint32(at, inode, true);
  view.setUint8(at + 6, dot.length);
  view.setUint8(at + 7, hasTypes ? 2 : 0);
  view.setUint32(at + 8, dot === '.' ? 0x2e : 0x2e2e, true);
}
