import { isLittleEndian } from '../../../bytes/byte-order.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { hasHighChecksum, inodeChecksum } from '../checksum.ts';
import { Inode, InodeFlag, InodeKind, ReservedInode } from '../inode.ts';
import {
  CompatibleFeature,
  IncompatibleFeature,
  ReadOnlyCompatibleFeature,
  Superblock,
} from '../superblock.ts';
import { checkAttributeBlock, checkAttributeUses, checkInodeAttributes } from './attribute-check.ts';
import type { ExtCheck } from './context.ts';
import { checkInline } from './inline-check.ts';
import { type BlockTally, BlockWalker } from './inode-blocks.ts';
import { PlainInodes } from './plain-inode.ts';
import { checkSymlink, hasNoBlocks } from './symlink-check.ts';

/** Bytes of an inode table that are read at once. */
const CHUNK = 1 << 17;
/** Below this, `i_dtime` of an inode without links is the next of the orphan list. */
const PAGE = 4096;
/** By the upper four bits of `i_mode`: the type of a directory entry. */
const TYPES = new Uint8Array([0, 5, 3, 0, 2, 0, 4, 0, 1, 0, 7, 0, 6, 0, 0, 0]);

/** Reserved inodes of which the size means something. */
const SIZED: ReadonlySet<number> = new Set([ReservedInode.root, ReservedInode.resize, ReservedInode.journal]);

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

/** Pass 1: every inode by itself, and which blocks belong to whom. */
export function checkInodes(check: ExtCheck): void {
  markOwnBlocks(check);
  const { geometry, groups } = check;
  const { inodesPerGroup, inodeSize, blockSize } = geometry;
  const pass = new InodePass(check);
  const perChunk = Math.max(1, Math.floor(CHUNK / inodeSize));
  const chunk = new Uint8Array(perChunk * inodeSize + 160);
  const view = viewOf(chunk);
  const plain = new PlainInodes(check, chunk);
  for (let group = 0; group < groups.count; group++) {
    if (groups.hasFlag(group, 'inodesUninitialised')) continue;
    const count = inodesPerGroup - Math.min(inodesPerGroup, groups.unusedInodes(group));
    const table = groups.inodeTable(group) * blockSize;
    for (let first = 0; first < count; first += perChunk) {
      const length = Math.min(perChunk, count - first);
      check.device.read(table + first * inodeSize, chunk.subarray(0, length * inodeSize));
      for (let index = 0; index < length; index++) {
        const number = group * inodesPerGroup + first + index + 1;
        const base = index * inodeSize;
        if (!isLittleEndian || !(plain.isBlank(number, base) || plain.check(number, base)))
          pass.check(number, view, base);
      }
    }
  }
  checkAttributeUses(check);
}

/** Superblocks, descriptors, bitmaps and tables are in use, too. */
function markOwnBlocks(check: ExtCheck): void {
  const { groups, geometry } = check;
  const mark = (start: number, length: number): void => check.claimRange(start, length);
  for (let group = 0; group < groups.count; group++) {
    mark(groups.inodeTable(group), geometry.inodeTableBlocks);
    mark(groups.blockBitmap(group), 1);
    mark(groups.inodeBitmap(group), 1);
  }
  for (let group = 0; group < groups.count; group++) groups.ownRuns(group, mark);
  if ((check.words.incompatible & IncompatibleFeature.mmp) !== 0) {
    const block = Number(Superblock.s_mmp_block.get(check.superblock, 0));
    if (check.isDataBlock(block)) mark(block, 1);
  }
}

class InodePass {
  readonly #check: ExtCheck;
  readonly #walker: BlockWalker;
  readonly #firstInode: number;
  readonly #special: ReadonlySet<number>;
  readonly #hasExtents: boolean;
  readonly #hasHugeFiles: boolean;
  readonly #maxMapped: number;

  constructor(check: ExtCheck) {
    this.#check = check;
    this.#walker = new BlockWalker(check);
    const { superblock, words, geometry } = check;
    this.#firstInode = geometry.firstInode;
    this.#special = new Set([
      Superblock.s_orphan_file_inum.get(superblock, 0),
      Superblock.s_prj_quota_inum.get(superblock, 0),
      Superblock.s_usr_quota_inum.get(superblock, 0),
      Superblock.s_grp_quota_inum.get(superblock, 0),
    ]);
    this.#hasExtents = (words.incompatible & IncompatibleFeature.extent) !== 0;
    this.#hasHugeFiles = (words.readOnlyCompatible & ReadOnlyCompatibleFeature.huge_file) !== 0;
    const perBlock = geometry.blockSize / 4;
    this.#maxMapped = (12 + perBlock + perBlock ** 2 + perBlock ** 3) * geometry.blockSize;
  }

  check(number: number, view: DataView, base: number): void {
    const check = this.#check;
    const links = Inode.i_links_count.get(view, base);
    const mode = Inode.i_mode.get(view, base);
    const isReserved = number < this.#firstInode || this.#special.has(number);
    if (
      links === 0 &&
      !(isReserved && number !== ReservedInode.root && this.#isReservedInUse(number, view, base))
    ) {
      this.#checkUnused(number, mode, view, base);
      return;
    }
    let isChanged = false;
    if (check.seed !== undefined && !this.#checkSeal(number, view, base)) isChanged = true;
    check.usedInodes.set(number);
    check.links.set(number, links);
    isChanged = this.#checkTimes(number, view, base) || isChanged;
    const isOrdinary = number >= this.#firstInode || number === ReservedInode.root;
    const type = TYPES[mode >>> 12]!;
    check.types.set(number, type);
    const flags = Inode.i_flags.get(view, base);
    if ((flags & InodeFlag.extents) !== 0 && !this.#hasExtents) this.#reportExtentsFlag(number);
    if (isOrdinary) this.#count(type, view, base, flags);
    if ((type === 2 && isOrdinary) || number === ReservedInode.root) {
      check.directories.set(number);
      check.directoryList.push(number);
      check.directoryTraits.push(flags);
      check.directoryTraits.push(Inode.i_generation.get(view, base));
    }
    isChanged = this.#checkReservedMode(number, type, mode, view, base) || isChanged;
    if (this.#isImpossible(number, type, mode, flags)) return;
    isChanged = this.#checkContent(number, type, view, base) || isChanged;
    if (isChanged && check.usedInodes.get(number)) {
      const bytes = new Uint8Array(
        view.buffer,
        view.byteOffset + base,
        Math.max(160, check.geometry.inodeSize),
      );
      check.writeInode(number, viewOf(bytes.slice()));
    }
  }

  /** Reserved inodes have no names, so links say nothing of them. */
  #isReservedInUse(number: number, view: DataView, base: number): boolean {
    if (number === ReservedInode.badBlocks || number === ReservedInode.resize)
      return Inode.i_block.get(view, base).some((byte) => byte !== 0);
    return false;
  }

  #checkUnused(number: number, mode: number, view: DataView, base: number): void {
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
  #checkSeal(number: number, view: DataView, base: number): boolean {
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

  #checkTimes(number: number, view: DataView, base: number): boolean {
    const check = this.#check;
    const deletion = Inode.i_dtime.get(view, base);
    let isChanged = false;
    if (deletion !== 0 && Inode.i_links_count.get(view, base) > 0) {
      isChanged = check.ask({
        code: 'ext-deletion-time',
        severity: 'warning',
        structure: 'inode',
        field: 'i_dtime',
        offset: check.inodeOffset(number) + Inode.i_dtime.offset,
        found: `${deletion}`,
        expected: '0',
        meaning: `Inode ${number} is in use, but has a time at which it was deleted`,
        text: `Inode ${number} is in use, but has dtime set.  `,
        question: 'Fix',
        action: 'writes 0',
        safe: true,
      });
      if (isChanged) Inode.i_dtime.set(view, base, 0);
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

  /** Reserved inodes are files. Returns whether the mode was mended. */
  #checkReservedMode(number: number, type: number, mode: number, view: DataView, base: number): boolean {
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
  #isImpossible(number: number, type: number, mode: number, flags: number): boolean {
    if (number < this.#firstInode && number !== ReservedInode.root) return false;
    const name = SPECIAL_NAMES[type];
    const hasContent = name !== undefined && (flags & (InodeFlag.extents | InodeFlag.index)) !== 0;
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

  /** Only directories have an index. Returns whether the flag was taken away. */
  #checkIndexFlag(number: number, type: number, view: DataView, base: number): boolean {
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

  #reportExtentsFlag(number: number): void {
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

  #count(type: number, view: DataView, base: number, flags: number): void {
    const { statistics } = this.#check;
    switch (type) {
      case 1:
        statistics.regularFiles++;
        break;
      case 2:
        statistics.directories++;
        break;
      case 3:
        statistics.characterDevices++;
        break;
      case 4:
        statistics.blockDevices++;
        break;
      case 5:
        statistics.fifos++;
        break;
      case 6:
        statistics.sockets++;
        break;
      case 7:
        statistics.symlinks++;
        if (hasNoBlocks(view, base, flags)) statistics.fastSymlinks++;
    }
  }

  /** Blocks, size, attributes. Returns whether the inode was changed. */
  #checkContent(number: number, type: number, view: DataView, base: number): boolean {
    const check = this.#check;
    const inner = checkInodeAttributes(check, number, view, base);
    let isChanged = inner.isRemoved;
    const attributeBlock =
      Inode.i_file_acl_lo.get(view, base) +
      ((check.words.incompatible & IncompatibleFeature['64bit']) === 0
        ? 0
        : Inode.i_file_acl_high.get(view, base) * 0x1_0000_0000);
    let extraBlocks = inner.charge;
    if (attributeBlock !== 0) {
      const outer = checkAttributeBlock(check, number, attributeBlock);
      if (outer.isRemoved) {
        Inode.i_file_acl_lo.set(view, base, 0);
        Inode.i_file_acl_high.set(view, base, 0);
        isChanged = true;
      } else extraBlocks += 1 + outer.charge;
    }
    isChanged = checkInline(check, number, view, base) || isChanged;
    isChanged = this.#checkIndexFlag(number, type, view, base) || isChanged;
    const flags = Inode.i_flags.get(view, base);
    const isInline = (flags & InodeFlag.inlineData) !== 0;
    const isReserved = number < this.#firstInode && number !== ReservedInode.root;
    const hasContent =
      !isInline &&
      (type === 1 || type === 2 || (type === 7 && !hasNoBlocks(view, base, flags)) || isReserved);
    if (isInline && type === 2) {
      check.directoryBlocks.push(number);
      check.directoryBlocks.push(0);
      check.directoryBlocks.push(0);
    }
    let tally: BlockTally | undefined;
    if (hasContent) {
      tally = this.#walker.walk(number, view, base);
      isChanged ||= this.#walker.isInodeChanged;
      if (tally.isHopeless) {
        check.clearInode(number);
        return false;
      }
      this.#countBlocks(type, tally, flags, number);
    }
    if (type === 7) checkSymlink(check, number, view, base, flags);
    if (isInline) return isChanged;
    isChanged = this.#checkSize(number, type, view, base, flags, tally) || isChanged;
    if (tally !== undefined || type === 0 || type > 2) {
      const isMended = this.#checkBlockCount(number, view, base, flags, (tally?.blocks ?? 0) + extraBlocks);
      isChanged ||= isMended;
    }
    return isChanged;
  }

  #countBlocks(type: number, tally: BlockTally, flags: number, number: number): void {
    const check = this.#check;
    const { statistics } = check;
    const hasExtents = (flags & InodeFlag.extents) !== 0;
    if (tally.isFragmented && (hasExtents || number >= this.#firstInode)) {
      if (type === 2) check.fragmentedDirectories++;
      else check.fragmentedFiles++;
    }
    if (hasExtents) {
      statistics.extentDepths[tally.depth] = (statistics.extentDepths[tally.depth] ?? 0) + 1;
      return;
    }
    if (number < this.#firstInode) return;
    if (tally.depth >= 1) statistics.singleIndirect++;
    if (tally.depth >= 2) statistics.doubleIndirect++;
    if (tally.depth >= 3) statistics.tripleIndirect++;
  }

  #checkSize(
    number: number,
    type: number,
    view: DataView,
    base: number,
    flags: number,
    tally: BlockTally | undefined,
  ): boolean {
    const check = this.#check;
    const { blockSize } = check.geometry;
    const size = Inode.i_size_lo.get(view, base) + Inode.i_size_high.get(view, base) * 0x1_0000_0000;
    if (type === 1 && size >= 0x8000_0000) check.statistics.largeFiles++;
    if (type >= 3 && type <= 6 && size !== 0) return this.#checkSpecialSize(number, view, base, size);
    if (tally === undefined) return false;
    if (number < this.#firstInode && !SIZED.has(number)) return false;
    const after = (tally.last + 1) * blockSize;
    let isWrong: boolean;
    if (type === 2) isWrong = size !== after;
    else if (type === 7) return false;
    else {
      const perPage = Math.max(1, PAGE / blockSize);
      const last = tally.lastWritten;
      const pageStart = Math.floor(last / perPage) * perPage;
      isWrong =
        last >= 0 &&
        size < last * blockSize &&
        (pageStart !== last || size < pageStart * blockSize) &&
        (flags & InodeFlag.verity) === 0;
      if ((flags & InodeFlag.extents) === 0) isWrong ||= size > this.#maxMapped;
      else isWrong ||= size > 0x1_0000_0000 * blockSize;
    }
    if (!isWrong) return false;
    const isMended = check.ask({
      code: 'ext-size',
      structure: 'inode',
      field: 'i_size_lo',
      offset: check.inodeOffset(number) + Inode.i_size_lo.offset,
      found: `${size}`,
      expected: `${after}`,
      meaning: `Inode ${number} has ${size} bytes by its size, and ${after} by its blocks`,
      text: `Inode ${number}, i_size is ${size}, should be ${after}.  `,
      question: 'Fix',
      action: `writes ${after}`,
      safe: true,
    });
    if (!isMended) return false;
    Inode.i_size_lo.set(view, base, after % 0x1_0000_0000);
    Inode.i_size_high.set(view, base, Math.floor(after / 0x1_0000_0000));
    return true;
  }

  #checkSpecialSize(number: number, view: DataView, base: number, size: number): boolean {
    const isMended = this.#check.ask({
      code: 'ext-special-size',
      severity: 'warning',
      structure: 'inode',
      field: 'i_size_lo',
      offset: this.#check.inodeOffset(number) + Inode.i_size_lo.offset,
      found: `${size}`,
      expected: '0',
      meaning: `Inode ${number} is a device, a socket or a FIFO with a size of ${size} bytes`,
      text: `Special (device/socket/fifo) inode ${number} has non-zero size.  `,
      question: 'Fix',
      action: 'writes 0',
      safe: true,
    });
    if (!isMended) return false;
    Inode.i_size_lo.set(view, base, 0);
    Inode.i_size_high.set(view, base, 0);
    return true;
  }

  #checkBlockCount(number: number, view: DataView, base: number, flags: number, blocks: number): boolean {
    const check = this.#check;
    const isHuge = this.#hasHugeFiles && (flags & InodeFlag.hugeFile) !== 0;
    const found =
      Inode.i_blocks_lo.get(view, base) +
      (this.#hasHugeFiles ? Inode.i_blocks_high.get(view, base) * 0x1_0000_0000 : 0);
    const expected = isHuge ? blocks : blocks * check.geometry.sectorsPerBlock;
    if (found === expected) return false;
    const isMended = check.ask({
      code: 'ext-block-count',
      severity: 'warning',
      structure: 'inode',
      field: 'i_blocks_lo',
      offset: check.inodeOffset(number) + Inode.i_blocks_lo.offset,
      found: `${found}`,
      expected: `${expected}`,
      meaning: `Inode ${number} counts ${found} sectors of 512 bytes, and has ${expected}`,
      text: `Inode ${number}, i_blocks is ${found}, should be ${expected}.  `,
      question: 'Fix',
      action: `writes ${expected}`,
      safe: true,
    });
    if (!isMended) return false;
    Inode.i_blocks_lo.set(view, base, expected % 0x1_0000_0000);
    if (this.#hasHugeFiles) Inode.i_blocks_high.set(view, base, Math.floor(expected / 0x1_0000_0000));
    return true;
  }
}

/** Inodes that need no name: those with a fixed job. */
export function isNameless(check: ExtCheck, number: number): boolean {
  if (number === ReservedInode.root) return false;
  if (number < check.geometry.firstInode) return true;
  const { superblock, words } = check;
  if (
    (words.compatible & CompatibleFeature.orphan_file) !== 0 &&
    number === Superblock.s_orphan_file_inum.get(superblock, 0)
  )
    return true;
  if (number === Superblock.s_prj_quota_inum.get(superblock, 0)) return true;
  return (
    number === Superblock.s_journal_inum.get(superblock, 0) ||
    number === Superblock.s_usr_quota_inum.get(superblock, 0) ||
    number === Superblock.s_grp_quota_inum.get(superblock, 0)
  );
}
