import { hasHighChecksum, inodeChecksum } from '../checksum.ts';
import { Inode, InodeFlag, InodeKind, ReservedInode } from '../inode.ts';
import { CompatibleFeature, IncompatibleFeature, Superblock } from '../superblock.ts';
import type { ExtCheck } from './context.ts';

/** Below this, `i_dtime` of an inode without links is the next of the orphan list. */
const PAGE = 4096;

/** By type of a directory entry: those that have no content. */
const SPECIAL_NAMES: readonly (string | undefined)[] = [
  undefined,
  undefined,
  undefined,
  'character device',
  'block device',
  'FIFO',
  'socket',
];

/** Single fields of an inode: its checksum, times, mode and flags. */
export class InodeFields {
  readonly #check: ExtCheck;
  readonly #firstInode: number;
  /** The clock that wrote it was past the numbers of inodes, so that these are no times. */
  readonly #hasModernTimes: boolean;
  /** What was answered about the list of orphans. */
  #isUnlisting: boolean | undefined;

  constructor(check: ExtCheck) {
    const { superblock, geometry } = check;
    this.#check = check;
    this.#firstInode = geometry.firstInode;
    this.#hasModernTimes = (['s_wtime', 's_mtime', 's_mkfs_time'] as const).every((field) => {
      const time = Superblock[field].get(superblock, 0);
      return time === 0 || time >= geometry.inodeCount;
    });
  }

  checkUnused(number: number, mode: number, view: DataView, base: number): void {
    if (this.#checkOrphanTime(number, view, base)) {
      const copy = this.#check.readInode(number);
      Inode.i_dtime.set(copy, 0, Inode.i_dtime.get(view, base));
      this.#check.writeInode(number, copy);
    }
    if (mode === 0 || number < this.#firstInode) return;
    const deletion = Inode.i_dtime.get(view, base);
    if (deletion !== 0) return;
    const check = this.#check;
    const isMended = check.ask({
      code: 'ext-deleted-without-time',
      severity: 'warning',
      structure: 'inode',
      field: 'i_dtime',
      offset: check.inodeOffset(number) + Inode.i_dtime.offset,
      found: '0',
      expected: 'the time at which it was deleted',
      meaning: `Inode ${number} has no links, so it was deleted, but the time of that is missing`,
      text: `Deleted inode ${number} has zero dtime.  `,
      question: 'Fix',
      action: 'writes a time',
      safe: true,
    });
    if (!isMended) return;
    const copy = check.readInode(number);
    Inode.i_dtime.set(copy, 0, Math.max(PAGE, Superblock.s_wtime.get(check.superblock, 0)));
    check.writeInode(number, copy);
  }

  /** Returns false when the inode is to be written. */
  checkSeal(number: number, view: DataView, base: number): boolean {
    const check = this.#check;
    const { inodeSize } = check.geometry;
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    const isWide = hasHighChecksum(bytes, base, inodeSize);
    const expected = inodeChecksum(check.seed!, number, bytes, base, inodeSize);
    const found =
      Inode.i_checksum_lo.get(view, base) + (isWide ? Inode.i_checksum_hi.get(view, base) * 0x10000 : 0);
    const wanted = isWide ? expected : expected & 0xffff;
    if (found === wanted) return true;
    return !check.ask({
      code: 'ext-inode-checksum',
      structure: 'inode',
      field: 'i_checksum_lo',
      offset: check.inodeOffset(number) + Inode.i_checksum_lo.offset,
      found: `0x${found.toString(16)}`,
      expected: `0x${wanted.toString(16)}`,
      meaning: `Inode ${number} does not have its checksum: a field of it may be wrong`,
      text: `Inode ${number} passes checks, but checksum does not match inode.  `,
      question: 'Fix',
      action: 'writes the checksum',
    });
  }

  checkTimes(number: number, view: DataView, base: number): boolean {
    const check = this.#check;
    let isChanged = this.#checkOrphanTime(number, view, base);
    if (number === ReservedInode.root) {
      const text = 'Root inode has dtime set (probably due to old mke2fs).  ';
      isChanged = this.#checkDeletion(number, view, base, text) || isChanged;
    }
    // Of other inodes with a fixed job nobody reads it.
    if (number >= this.#firstInode || number === ReservedInode.root) {
      const text = `Inode ${number} is in use, but has dtime set.  `;
      isChanged = this.#checkDeletion(number, view, base, text) || isChanged;
    }
    if (check.geometry.inodeSize > 128) {
      const extra = Inode.i_extra_isize.get(view, base);
      if (extra !== 0 && (extra < 4 || extra > check.geometry.inodeSize - 128 || extra % 4 !== 0)) {
        const isMended = check.ask({
          code: 'ext-extra-size',
          structure: 'inode',
          field: 'i_extra_isize',
          offset: check.inodeOffset(number) + Inode.i_extra_isize.offset,
          found: `${extra}`,
          expected: `a multiple of 4 up to ${check.geometry.inodeSize - 128}`,
          meaning: `Inode ${number} has ${extra} bytes of extra fields, and there is room for ${check.geometry.inodeSize - 128}`,
          text: `Inode ${number} has a extra size (${extra}) which is invalid\n`,
          question: 'Fix',
          action: 'writes 32',
          safe: true,
        });
        if (isMended) Inode.i_extra_isize.set(view, base, 32);
        isChanged ||= isMended;
      }
    }
    return isChanged;
  }

  /** Returns whether it was mended. */
  #checkDeletion(number: number, view: DataView, base: number, text: string): boolean {
    const deletion = Inode.i_dtime.get(view, base);
    if (deletion === 0 || Inode.i_links_count.get(view, base) === 0) return false;
    const isMended = this.#check.ask({
      code: 'ext-deletion-time',
      severity: 'warning',
      structure: 'inode',
      field: 'i_dtime',
      offset: this.#check.inodeOffset(number) + Inode.i_dtime.offset,
      found: `${deletion}`,
      expected: '0',
      meaning: `Inode ${number} is in use, but has a time at which it was deleted`,
      text,
      question: 'Fix',
      action: 'writes 0',
      safe: true,
    });
    if (isMended) Inode.i_dtime.set(view, base, 0);
    return isMended;
  }

  /** A time that is no time but the number of an inode is what is left of the list of orphans. Returns whether it was mended. */
  #checkOrphanTime(number: number, view: DataView, base: number): boolean {
    const check = this.#check;
    const { inodeCount } = check.geometry;
    const deletion = Inode.i_dtime.get(view, base);
    if (deletion === 0 || deletion >= inodeCount || !this.#hasModernTimes) return false;
    this.#isUnlisting ??= check.ask({
      code: 'ext-orphan-time',
      severity: 'warning',
      structure: 'inode',
      field: 'i_dtime',
      offset: check.inodeOffset(number) + Inode.i_dtime.offset,
      found: `${deletion}`,
      expected: `0, or a time after ${inodeCount} seconds of 1970`,
      meaning: `Inode ${number} was in a list of orphans, of which inode ${deletion} was the next: the list is not whole, or it is used up`,
      text: 'Inodes that were part of a corrupted orphan linked list found.  ',
      question: 'Fix',
      action: 'takes all such inodes out of the list',
    });
    // The answer to the first one goes for all.
    const isMended = this.#isUnlisting;
    const done = isMended ? 'FIXED' : 'IGNORED';
    check.observer.tell(`Inode ${number} was part of the orphaned inode list.  ${done}.\n`);
    if (!isMended) return false;
    const isUsed = Inode.i_links_count.get(view, base) > 0;
    const time = Math.max(inodeCount, Superblock.s_wtime.get(check.superblock, 0));
    Inode.i_dtime.set(view, base, isUsed ? 0 : time);
    return true;
  }

  /** Reserved inodes are files. Returns whether the mode was mended. */
  checkReservedMode(number: number, type: number, mode: number, view: DataView, base: number): boolean {
    if (number >= this.#firstInode || number === ReservedInode.root || mode === 0 || type === 1) return false;
    const check = this.#check;
    const isMended = check.ask({
      code: 'ext-reserved-mode',
      structure: 'inode',
      field: 'i_mode',
      offset: check.inodeOffset(number),
      found: `0${mode.toString(8)}`,
      expected: `0${(InodeKind.file | 0o600).toString(8)}`,
      meaning: `Inode ${number} has a fixed job, and is something else than a file`,
      text: `Reserved inode ${number} has invalid mode.  `,
      question: 'Clear',
      action: 'makes it a file',
      safe: true,
    });
    if (isMended) Inode.i_mode.set(view, base, InodeKind.file | 0o600);
    return isMended;
  }

  /** Modes that do not exist, and devices with content. Returns whether the inode was cleared. */
  isImpossible(number: number, type: number, mode: number, flags: number): boolean {
    if (number < this.#firstInode && number !== ReservedInode.root) return false;
    const name = SPECIAL_NAMES[type];
    const hasContent =
      name !== undefined && (flags & (InodeFlag.extents | InodeFlag.index | InodeFlag.inlineData)) !== 0;
    if (type !== 0 && !hasContent) return false;
    const isMended = this.#check.ask({
      code: 'ext-mode',
      structure: 'inode',
      field: type === 0 ? 'i_mode' : 'i_flags',
      offset: this.#check.inodeOffset(number),
      found: type === 0 ? `0${mode.toString(8)}` : 'extents or an index',
      expected: type === 0 ? 'a file, a directory or another type that exists' : 'no content',
      meaning:
        type === 0
          ? `Inode ${number} has the mode 0${mode.toString(8)}, which no type of file has`
          : `Inode ${number} is a ${name!} with content, which none has`,
      text:
        type === 0
          ? `Inode ${number} has invalid mode (0${mode.toString(8)}).\n`
          : `Inode ${number} is an illegal ${name!}.\n`,
      question: 'Clear',
      action: `clears inode ${number}`,
    });
    if (isMended) this.#check.clearInode(number);
    return isMended;
  }

  /** Fragments are of a format that never came. Returns whether it was mended. */
  checkFragment(number: number, view: DataView, base: number): boolean {
    const found = Inode.i_obso_faddr.get(view, base);
    const flags = Inode.i_flags.get(view, base);
    if (found === 0 || number < this.#firstInode || (flags & InodeFlag.eaInode) !== 0) return false;
    const isMended = this.#check.ask({
      code: 'ext-fragment',
      severity: 'warning',
      structure: 'inode',
      field: 'i_obso_faddr',
      offset: this.#check.inodeOffset(number) + Inode.i_obso_faddr.offset,
      found: `${found}`,
      expected: '0',
      meaning: `Inode ${number} says that it has a fragment, and there are none`,
      text: `i_faddr for inode ${number} (...) is ${found}, should be zero.\n`,
      question: 'Clear',
      action: 'writes 0',
      safe: true,
    });
    if (isMended) Inode.i_obso_faddr.set(view, base, 0);
    return isMended;
  }

  /** A directory has a block at least, for its own names. Returns whether the inode was cleared. */
  isEmptyDirectory(number: number, blocks: number): boolean {
    if (blocks > 0) return false;
    const isMended = this.#check.ask({
      code: 'ext-empty-directory',
      structure: 'inode',
      field: 'i_block',
      offset: this.#check.inodeOffset(number) + Inode.i_block.offset,
      found: 'no block',
      expected: 'a block at least',
      meaning: `Inode ${number} is a directory without a block: nothing is left of it`,
      text: `Inode ${number} is a zero-length directory.  `,
      question: 'Clear',
      action: `clears inode ${number}`,
    });
    if (isMended) this.#check.clearInode(number);
    return isMended;
  }

  /** Only directories have an index. Returns whether the flag was taken away. */
  checkIndexFlag(number: number, type: number, view: DataView, base: number): boolean {
    const check = this.#check;
    const flags = Inode.i_flags.get(view, base);
    if ((flags & InodeFlag.index) === 0 || number < this.#firstInode) return false;
    const isDirectory = type === 2;
    if (isDirectory && (check.words.compatible & CompatibleFeature.dir_index) !== 0) return false;
    const isMended = check.ask({
      code: 'ext-index-flag',
      severity: 'warning',
      structure: 'inode',
      field: 'i_flags',
      offset: check.inodeOffset(number) + Inode.i_flags.offset,
      found: 'INDEX_FL',
      expected: isDirectory ? 'no index, since the volume has none' : 'no index, since it is no directory',
      meaning: `Inode ${number} says that it is a directory with an index, and ${isDirectory ? 'the volume has none' : 'it is no directory'}`,
      text: isDirectory
        ? `Inode ${number} has INDEX_FL flag set on filesystem without htree support.\n`
        : `Inode ${number} has INDEX_FL flag set but is not a directory.\n`,
      question: 'Clear HTree index',
      action: 'takes the flag away',
      safe: true,
    });
    if (isMended) Inode.i_flags.set(view, base, flags & ~InodeFlag.index);
    return isMended;
  }

  /** Names without regard to case are for directories. Returns whether the flag was taken away. */
  checkCasefoldFlag(number: number, type: number, view: DataView, base: number): boolean {
    const check = this.#check;
    const flags = Inode.i_flags.get(view, base);
    if ((flags & InodeFlag.casefold) === 0 || type === 2) return false;
    const basics = {
      code: 'ext-casefold-flag',
      structure: 'inode',
      field: 'i_flags',
      offset: check.inodeOffset(number) + Inode.i_flags.offset,
      found: 'CASEFOLD_FL',
      question: 'Clear flag',
      action: 'takes the flag away',
    };
    let isMended = check.ask({
      ...basics,
      expected: 'no such flag, since it is no directory',
      meaning: `Inode ${number} says that its names are compared without regard to case, and is no directory`,
      text: `Inode ${number} has the casefold flag set but is not a directory.  `,
    });
    if (!isMended && (check.words.incompatible & IncompatibleFeature.casefold) === 0) {
      isMended = check.ask({
        ...basics,
        expected: 'no such flag, since the volume does not have the feature',
        meaning: `Inode ${number} says that its names are compared without regard to case, and the volume does not know that`,
        text: `Directory <${number}> has the casefold flag, but the\ncasefold feature is not enabled.  `,
      });
    }
    if (isMended) Inode.i_flags.set(view, base, (flags & ~InodeFlag.casefold) >>> 0);
    return isMended;
  }

  reportExtentsFlag(number: number): void {
    this.#check.ask({
      code: 'ext-extents-without-feature',
      structure: 'inode',
      field: 'i_flags',
      offset: this.#check.inodeOffset(number) + Inode.i_flags.offset,
      found: 'EXTENTS_FL',
      expected: 'no extents, since the volume does not have them',
      meaning: `Inode ${number} says that it has extents, and the volume does not have them`,
      text: `Inode ${number} has EXTENTS_FL flag set on filesystem without extents support.\n`,
      question: 'Clear',
    });
  }
}
