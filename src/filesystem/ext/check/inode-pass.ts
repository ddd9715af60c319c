import { isLittleEndian } from '../../../bytes/byte-order.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { CheckEnd } from '../../check.ts';
import { Inode, InodeFlag, ReservedInode } from '../inode.ts';
import { CompatibleFeature, IncompatibleFeature, Superblock } from '../superblock.ts';
import { checkAttributeBlock, checkAttributeUses, checkInodeAttributes } from './attribute-check.ts';
import { listedBlocks } from './bad-blocks.ts';
import type { ExtCheck } from './context.ts';
import { checkInline, inlineRest } from './inline-check.ts';
import type { BlockTally } from './block-tally.ts';
import { BlockWalker } from './inode-blocks.ts';
import { InodeFields } from './inode-fields.ts';
import { InodeSizes } from './inode-size.ts';
import { PlainInodes } from './plain-inode.ts';
import { checkQuotaInode, isQuotaInode } from './quota-inode.ts';
import { SparseBitmap } from './sparse.ts';
import { checkSymlink, hasNoBlocks } from './symlink-check.ts';

/** Bytes of an inode table that are read at once. */
const CHUNK = 1 << 17;
/** By the upper four bits of `i_mode`: the type of a directory entry. */
const TYPES = new Uint8Array([0, 5, 3, 0, 2, 0, 4, 0, 1, 0, 7, 0, 6, 0, 0, 0]);

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
  check.step(1, 0, groups.count);
  for (let group = 0; group < groups.count; group++) {
    if (group > 0) check.step(1, group, groups.count);
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
  check.step(1, groups.count, groups.count);
  checkAttributeUses(check);
}

/** Superblocks, descriptors, bitmaps and tables are in use, too. */
function markOwnBlocks(check: ExtCheck): void {
  const { groups, geometry } = check;
  const mark = ownMarker(check);
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
  if (check.sharedCount > 0) refuseConflict(check);
}

/** What of the format itself lies on something else of it: nothing may be written where nobody knows whose it is. */
function refuseConflict(check: ExtCheck): void {
  const { groups, geometry } = check;
  const seen = new SparseBitmap();
  const taken: [group: number, what: string, field: string, block: number][] = [];
  const claims = (start: number, length: number): boolean => {
    let isShared = false;
    seen.setRange(start, length, () => (isShared = true));
    return isShared;
  };
  for (let group = 0; group < groups.count; group++)
    groups.ownRuns(group, (start, length) => void claims(start, length));
  for (let group = 0; group < groups.count; group++) {
    const table = groups.inodeTable(group);
    const [blockBitmap, inodeBitmap] = [groups.blockBitmap(group), groups.inodeBitmap(group)];
    if (claims(blockBitmap, 1)) taken.push([group, 'block bitmap', 'bg_block_bitmap_lo', blockBitmap]);
    if (claims(inodeBitmap, 1)) taken.push([group, 'inode bitmap', 'bg_inode_bitmap_lo', inodeBitmap]);
    if (claims(table, geometry.inodeTableBlocks))
      taken.push([group, 'inode table', 'bg_inode_table_lo', table]);
  }
  for (const [group, what, field, block] of taken) {
    check.ask({
      code: 'ext-group-place',
      severity: 'fatal',
      structure: 'group descriptor',
      field,
      offset: groups.offsetOf(group),
      found: `${block}`,
      expected: 'blocks that nothing else of the format has',
      meaning: `The ${what} of group ${group} should lie in block ${block}, where something else of the format lies: -b with a copy of the superblock may help`,
      text: `Group ${group}'s ${what} at ${block} conflicts with some other fs block.\n`,
      question: 'Relocate',
    });
  }
  if (taken.length > 0) throw new CheckEnd('structures that lie on each other');
}

/** The structures of the format may lie together in a cluster, each in blocks of its own. */
function ownMarker(check: ExtCheck): (start: number, length: number) => void {
  if (check.geometry.blocksPerCluster === 1) return (start, length) => check.claimRange(start, length);
  const blocks = new SparseBitmap();
  const shareBlock = (block: number): void => check.share(check.bitOf(block));
  return (start, length) => {
    blocks.setRange(start, length, shareBlock);
    const first = check.bitOf(start);
    check.foundBlocks.setRange(first, check.bitOf(start + length - 1) + 1 - first);
  };
}

class InodePass {
  readonly #check: ExtCheck;
  readonly #walker: BlockWalker;
  readonly #firstInode: number;
  readonly #special: ReadonlySet<number>;
  readonly #hasExtents: boolean;
  readonly #fields: InodeFields;
  readonly #sizes: InodeSizes;

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
    this.#fields = new InodeFields(check);
    this.#sizes = new InodeSizes(check);
  }

  check(number: number, view: DataView, base: number): void {
    const check = this.#check;
    if (isQuotaInode(check, number) && checkQuotaInode(check, number, view, base)) return;
    const links = Inode.i_links_count.get(view, base);
    const mode = Inode.i_mode.get(view, base);
    const isReserved = number < this.#firstInode || this.#special.has(number);
    if (
      links === 0 &&
      !(isReserved && number !== ReservedInode.root && this.#isReservedInUse(number, view, base))
    ) {
      this.#fields.checkUnused(number, mode, view, base);
      return;
    }
    let isChanged = false;
    if (check.seed !== undefined && !this.#fields.checkSeal(number, view, base)) isChanged = true;
    check.usedInodes.set(number);
    check.links.set(number, links);
    isChanged = this.#fields.checkTimes(number, view, base) || isChanged;
    const isOrdinary = number >= this.#firstInode || number === ReservedInode.root;
    const type = TYPES[mode >>> 12]!;
    check.types.set(number, type);
    if (isOrdinary) isChanged = this.#fields.checkCasefoldFlag(number, type, view, base) || isChanged;
    const flags = Inode.i_flags.get(view, base);
    if ((flags & InodeFlag.extents) !== 0 && !this.#hasExtents) this.#fields.reportExtentsFlag(number);
    if (isOrdinary) this.#count(type, view, base, flags);
    if ((type === 2 && isOrdinary) || number === ReservedInode.root) {
      check.directories.set(number);
      check.directoryList.push(number);
      check.directoryTraits.push(flags);
      check.directoryTraits.push(Inode.i_generation.get(view, base));
    }
    isChanged = this.#fields.checkReservedMode(number, type, mode, view, base) || isChanged;
    if (this.#fields.isImpossible(number, type, mode, flags)) return;
    isChanged = this.#fields.checkFragment(number, view, base) || isChanged;
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
    if (
      number === ReservedInode.badBlocks ||
      number === ReservedInode.resize ||
      isQuotaInode(this.#check, number)
    )
      return Inode.i_block.get(view, base).some((byte) => byte !== 0);
    return false;
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
    let valueCount = inner.values;
    if (attributeBlock !== 0) {
      const outer = checkAttributeBlock(check, number, attributeBlock);
      if (outer.isRemoved) {
        Inode.i_file_acl_lo.set(view, base, 0);
        Inode.i_file_acl_high.set(view, base, 0);
        isChanged = true;
      } else {
        extraBlocks += check.geometry.blocksPerCluster + outer.charge;
        valueCount += outer.values;
      }
    }
    isChanged = checkInline(check, number, view, base) || isChanged;
    isChanged = this.#fields.checkIndexFlag(number, type, view, base) || isChanged;
    const flags = Inode.i_flags.get(view, base);
    const isInline = (flags & InodeFlag.inlineData) !== 0;
    const isReserved = number < this.#firstInode && number !== ReservedInode.root;
    const hasContent =
      !isInline &&
      (type === 1 || type === 2 || (type === 7 && !hasNoBlocks(view, base, flags)) || isReserved);
    if (isInline && type === 2) check.directoryBlocks.add(number, 0, 0);
    let tally: BlockTally | undefined;
    if (hasContent) {
      tally = this.#walker.walk(number, view, base);
      isChanged ||= this.#walker.isInodeChanged;
      if (tally.isHopeless) {
        check.clearInode(number);
        return false;
      }
      if (type === 2 && !isReserved && this.#fields.isEmptyDirectory(number, tally.blocks)) return false;
      this.#countBlocks(type, tally, flags, number);
      if (number === ReservedInode.badBlocks) {
        const inode = new DataView(view.buffer, view.byteOffset + base);
        check.statistics.badBlocks = listedBlocks(check, inode).length;
      }
    }
    // e2fsck does not count symbolic links whose target is inline data.
    if (check.quota.kinds.length > 0 && (flags & InodeFlag.eaInode) === 0 && !(isInline && type === 7)) {
      const space = ((tally?.blocks ?? 0) + extraBlocks) * check.geometry.blockSize;
      check.quota.add(number, view, base, space, 1 + valueCount);
    }
    if (type === 7) checkSymlink(check, number, view, base, flags);
    // The size and count of the list of bad blocks say nothing: its map is not counted.
    if (number === ReservedInode.badBlocks) return isChanged;
    if (isInline) {
      const end = base + check.geometry.inodeSize;
      const rest = inlineRest(new DataView(view.buffer, view.byteOffset + base, end - base), end - base);
      const inlineSize = Inode.i_block.length + (rest?.length ?? 0);
      isChanged = this.#sizes.checkSize(number, type, view, base, flags, undefined, inlineSize) || isChanged;
      return this.#sizes.checkBlockCount(number, view, base, flags, extraBlocks) || isChanged;
    }
    isChanged = this.#sizes.checkSize(number, type, view, base, flags, tally) || isChanged;
    if (tally !== undefined || type === 0 || type > 2) {
      const isMended = this.#sizes.checkBlockCount(
        number,
        view,
        base,
        flags,
        (tally?.blocks ?? 0) + extraBlocks,
      );
      isChanged ||= isMended;
    }
    return isChanged;
  }

  #countBlocks(type: number, tally: BlockTally, flags: number, number: number): void {
    const check = this.#check;
    const { statistics } = check;
    const hasExtents = (flags & InodeFlag.extents) !== 0;
    // A file that no group can hold cannot be in one piece.
    const isInGroup = tally.blocks / check.geometry.blocksPerCluster < check.geometry.blocksPerGroup;
    if (
      tally.isFragmented &&
      isInGroup &&
      (hasExtents || number >= this.#firstInode || check.quota.isFile(number))
    ) {
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
