import { type CheckFinding, type Mend, unasked } from '../../check.ts';
import { deletedSlot, LAST_LONG_ENTRY, LongEntry } from '../directory-entry.ts';
import { decodeLongSlot, shortNameChecksum } from '../long-name.ts';
import { choice, type FatCheck } from './context.ts';

const STRUCTURE = 'long directory entry';
/** LDIR_Ord: bits 0 to 5 number the slots. */
const ORDINAL_MASK = 0x1f;

export interface LongName {
  readonly name: string;
  /** Byte offsets of its slots. */
  readonly offsets: readonly number[];
}

/** Follows the slots of long names through a directory, in order, and tells what does not fit. */
export class LongNameCheck {
  readonly #check: FatCheck;
  /** What the directory is called, with a slash at its end. */
  readonly #folder: string;
  /** Byte offsets of the slots so far. */
  #offsets: number[] = [];
  /** The last piece first. */
  #pieces: string[] = [];
  /** Number that the next slot should have; 0: the short entry should follow. Negative: no name is under way. */
  #expected = -1;
  #checksum = 0;

  constructor(check: FatCheck, folder: string) {
    this.#check = check;
    this.#folder = folder;
  }

  addSlot(view: DataView, base: number, offset: number): void {
    this.#checkZeroFields(view, base, offset);
    const ordinal = LongEntry.LDIR_Ord.get(view, base);
    const number = ordinal & ORDINAL_MASK;
    const checksum = LongEntry.LDIR_Chksum.get(view, base);
    const piece = decodeLongSlot(view, base);
    if ((ordinal & LAST_LONG_ENTRY) !== 0) {
      if (this.#expected >= 0) {
        const isNext = number === this.#expected && checksum === this.#checksum;
        this.#startsWithin(piece, offset, isNext);
      }
      this.#offsets = [];
      this.#pieces = [];
      this.#checksum = checksum;
    } else if (this.#expected < 0) {
      this.#fragment(piece, offset);
      return;
    } else if (number !== this.#expected) {
      this.#wrongNumber(number, piece, offset);
      return;
    }
    if (checksum !== this.#checksum) this.#wrongSlotChecksum(checksum, offset);
    this.#expected = Math.max(0, number - 1);
    this.#offsets.push(offset);
    this.#pieces.push(piece);
  }

  /** The long name of the short entry at `base`, whose name is `shortName`, or what looks like it; undefined when there is none. */
  take(view: DataView, base: number, shortName: string): LongName | undefined {
    if (this.#expected < 0) return undefined;
    const name = this.#name();
    const offsets = this.#offsets;
    if (this.#expected !== 0) {
      this.#report({
        code: 'fat-long-name-unfinished',
        field: 'LDIR_Ord',
        offset: this.#offsets[0]!,
        found: `${this.#offsets.length} slots`,
        expected: `${this.#offsets.length + this.#expected} slots`,
        meaning: `The long name "${name}" lacks its first ${this.#expected * 13} characters; the file is shown as ${shortName}`,
        toolText: `Unfinished long file name "${name}".\n  (Start may have been overwritten by ${shortName})\n`,
        mend: this.#removal(),
      });
      this.#reset();
      return undefined;
    }
    const checksum = shortNameChecksum(view, base);
    if (checksum !== this.#checksum) {
      this.#report({
        code: 'fat-long-name-checksum',
        field: 'LDIR_Chksum',
        offset: this.#offsets.at(-1)! + LongEntry.LDIR_Chksum.offset,
        found: byte(this.#checksum),
        expected: `${byte(checksum)}, that of ${shortName}`,
        meaning: `The long name "${name}" was not made for the file that follows it, which is shown as ${shortName}`,
        toolText:
          `Wrong checksum for long file name "${name}".\n` +
          `  (Short name ${shortName} may have changed without updating the long name)\n`,
        mend: this.#removal(),
      });
    }
    this.#reset();
    return { name, offsets };
  }

  /** A free slot, or the end of the directory: a name that is under way belongs to nothing. */
  end(): void {
    if (this.#expected < 0) return;
    const name = this.#name();
    const finding: CheckFinding = {
      code: 'fat-long-name-orphan',
      severity: 'damage',
      structure: STRUCTURE,
      field: 'LDIR_Name1',
      offset: this.#offsets[0]!,
      found: `${this.#offsets.length} slots of a long name`,
      expected: 'a short entry behind them',
      path: this.#folder,
      meaning: `The long name "${name}" in ${this.#folder} belongs to no file`,
      toolText: `Orphaned long file name part "${name}"\n`,
      mend: choice(
        [
          ['Delete', `removes the ${this.#offsets.length} slots`],
          ['Leave it', ''],
        ],
        0,
        '  Auto-deleting.\n',
      ),
    };
    if (this.#check.observer.report(finding) === 0) this.#delete();
    this.#reset();
  }

  /** `isNext`: but for the bit that says so, it is what was expected. */
  #startsWithin(piece: string, offset: number, isNext: boolean): void {
    const hint = isNext
      ? `  It could be that the LFN start bit is wrong here\n  if "${piece}" seems to match "${this.#name()}".\n`
      : '';
    this.#report({
      code: 'fat-long-name-order',
      field: 'LDIR_Ord',
      offset,
      found: 'a last piece',
      expected: `piece ${this.#expected}`,
      meaning: `A long name ("${piece}") begins before the one before it ("${this.#name()}") has ended`,
      toolText: `A new long file name starts within an old one.\n${hint}`,
      mend: this.#removal(),
    });
    this.#reset();
  }

  #fragment(piece: string, offset: number): void {
    this.#offsets = [offset];
    this.#report({
      code: 'fat-long-name-fragment',
      field: 'LDIR_Ord',
      offset,
      found: 'a piece of a long name',
      expected: 'a last piece before it',
      meaning: `A piece of a long name ("${piece}") in ${this.#folder} does not follow its last piece`,
      toolText:
        `Long filename fragment "${piece}" found outside a LFN sequence.\n` +
        '  (Maybe the start bit is missing on the last fragment)\n',
      mend: this.#removal(),
    });
    this.#reset();
  }

  #wrongNumber(number: number, piece: string, offset: number): void {
    this.#offsets.push(offset);
    const hint =
      this.#expected > 0
        ? `  It could be that just the number is wrong\n  if "${piece}" seems to match "${this.#name()}".\n`
        : '';
    this.#report({
      code: 'fat-long-name-order',
      field: 'LDIR_Ord',
      offset,
      found: `${number}`,
      expected: `${this.#expected}`,
      meaning: `Piece ${number} of a long name ("${piece}") follows "${this.#name()}", where piece ${this.#expected} should be`,
      toolText: `Unexpected long filename sequence number (${number} vs. expected ${this.#expected}).\n${hint}`,
      mend: this.#removal(),
    });
    this.#reset();
  }

  #wrongSlotChecksum(checksum: number, offset: number): void {
    const finding: CheckFinding = {
      code: 'fat-long-name-checksum',
      severity: 'warning',
      structure: STRUCTURE,
      field: 'LDIR_Chksum',
      offset: offset + LongEntry.LDIR_Chksum.offset,
      found: byte(checksum),
      expected: byte(this.#checksum),
      path: this.#folder,
      meaning: 'The pieces of a long name have different checksums, so they are not of one name',
      toolText:
        `Checksum in long filename part wrong (${checksum.toString(16).padStart(2, '0')} vs. expected ` +
        `${this.#checksum.toString(16).padStart(2, '0')}).\n  Not auto-correcting this.\n`,
    };
    this.#check.observer.report(finding);
  }

  #checkZeroFields(view: DataView, base: number, offset: number): void {
    const type = LongEntry.LDIR_Type.get(view, base);
    const cluster = LongEntry.LDIR_FstClusLO.get(view, base);
    if (type !== 0) {
      const text = `Reserved field in VFAT long filename slot is not 0 (but 0x${type.toString(16).padStart(2, '0')}).\n`;
      this.#zero('LDIR_Type', offset + 0x0c, 1, byte(type), text);
    }
    if (cluster !== 0) {
      const text = `Start cluster field in VFAT long filename slot is not 0 (but 0x${cluster.toString(16).padStart(4, '0')}).\n`;
      this.#zero('LDIR_FstClusLO', offset + 0x1a, 2, `${cluster}`, text);
    }
  }

  #zero(field: string, offset: number, length: number, found: string, toolText: string): void {
    const chosen = this.#check.observer.report({
      code: 'fat-long-name-reserved',
      severity: 'warning',
      structure: STRUCTURE,
      field,
      offset,
      found,
      expected: '0',
      path: this.#folder,
      meaning: `${field} of a piece of a long name is ${found}, expected 0`,
      toolText: `${toolText}Auto-setting to 0.\n`,
      mend: unasked('writes 0'),
    });
    if (chosen >= 0) this.#check.device.write(offset, new Uint8Array(length));
  }

  #report(finding: Omit<CheckFinding, 'severity' | 'structure' | 'path'>): void {
    const whole: CheckFinding = {
      severity: 'warning',
      structure: STRUCTURE,
      path: this.#folder,
      ...finding,
    };
    if (this.#check.observer.report(whole) === 0) this.#delete();
  }

  #removal(): Mend {
    return choice(
      [
        ['Delete LFN', `removes ${this.#offsets.length} slots of the long name; the short name stays`],
        ['Leave it as it is', ''],
      ],
      1,
      '  Not auto-correcting this.\n',
      false,
    );
  }

  #delete(): void {
    for (const offset of this.#offsets) this.#check.device.write(offset, deletedSlot());
  }

  #name(): string {
    return this.#pieces.toReversed().join('');
  }

  #reset(): void {
    this.#expected = -1;
    this.#offsets = [];
    this.#pieces = [];
  }
}

function byte(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}
