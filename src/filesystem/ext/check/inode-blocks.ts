import { viewOf } from '../../../bytes/struct.ts';
import { crc32c } from '../../../bytes/crc32c.ts';
import { extentTail, inodeSeed } from '../checksum.ts';
import {
  ExtentHeader,
  isUnwritten,
  keyOf,
  lengthOf,
  childOf,
  MAX_EXTENT_DEPTH,
  startOf,
} from '../extent-node.ts';
import { Inode, InodeFlag, ReservedInode } from '../inode.ts';
import { type BlockTally, emptyTally } from './block-tally.ts';
import { ClusterTrail } from './cluster-trail.ts';
import type { ExtCheck } from './context.ts';
import { headerFault } from './extent-header.ts';
import { extentFault, extentProblem, nodeProblem, reportMisaligned } from './extent-problems.ts';

const NO_BLOCK = -1;
/** Pointers to data in an inode; then come the single, the double and the triple indirect block. */
const DIRECT = 12;
/** Illegal blocks that are told of one inode: more of them say nothing new. */
const MAX_ILLEGAL = 12;

/** Blocks of maps that are entered although they are in use already: without a bound, a few could be entered for ever. */
const MAX_REENTRIES = 2000;

/**
 * Walks over the blocks of inodes and claims them. One walker serves all inodes: it has a buffer for each level. Blocks of maps
 * that are met again are entered a few times only, so that the time is bounded by the size of the device.
 */
export class BlockWalker {
  readonly #check: ExtCheck;
  readonly #buffers: Uint8Array[] = [];
  #reentries = 0;
  #number = 0;
  #isDirectory = false;
  #previous = NO_BLOCK;
  #seed = 0;
  /** With clusters: which of them the inode has claimed. */
  #trail: ClusterTrail | undefined;
  /** Mends were made in the inode itself. */
  isInodeChanged = false;
  tally: BlockTally = emptyTally();

  constructor(check: ExtCheck) {
    this.#check = check;
  }

  /** `view` is of the inode at `base`; it is changed where a mend is in it. */
  walk(number: number, view: DataView, base: number): BlockTally {
    this.#number = number;
    this.#isDirectory = this.#check.directories.get(number);
    this.#previous = NO_BLOCK;
    const { blocksPerCluster } = this.#check.geometry;
    this.#trail = blocksPerCluster === 1 ? undefined : new ClusterTrail(blocksPerCluster);
    this.isInodeChanged = false;
    this.tally = emptyTally();
    const start = base + Inode.i_block.offset;
    if ((Inode.i_flags.get(view, base) & InodeFlag.extents) !== 0) {
      const { seed } = this.#check;
      if (seed !== undefined) this.#seed = inodeSeed(seed, number, Inode.i_generation.get(view, base));
      this.#walkExtents(view, start);
    } else this.#walkMap(view, start);
    return this.tally;
  }

  #walkExtents(view: DataView, start: number): void {
    const fault = headerFault(view, start, 60, undefined);
    if (fault !== undefined) {
      this.tally.isHopeless = this.#check.ask({
        code: 'ext-extent-header',
        structure: 'extent header',
        field: fault.field,
        offset: this.#check.inodeOffset(this.#number) + Inode.i_block.offset,
        found: fault.found,
        expected: fault.expected,
        meaning: `Inode ${this.#number} has an extent header that cannot be: where its content lies is lost`,
        text: `Inode ${this.#number} has corrupt extent header.  `,
        question: 'Clear inode',
        action: `clears inode ${this.#number}`,
      });
      return;
    }
    const depth = ExtentHeader.eh_depth.get(view, start);
    this.tally.depth = depth;
    this.#node(view, start, depth, 0, NO_BLOCK, 0x1_0000_0000);
  }

  /** One node; `from` and `to` bound the positions that it may hold. */
  #node(view: DataView, start: number, depth: number, from: number, block: number, to: number): void {
    let count = ExtentHeader.eh_entries.get(view, start);
    let next = from;
    for (let index = 0; index < count; index++) {
      const at = start + 12 * (index + 1);
      const key = keyOf(view, start, index);
      if (depth === 0) {
        const length = lengthOf(view, at);
        const physical = startOf(view, at);
        const fault = extentFault(this.#check, key, length, physical, next, to);
        if (fault !== undefined) {
          this.#badExtent(fault, key, physical, length, view, start, index, block);
          if (this.#removed) {
            index--;
            count--;
          }
          continue;
        }
        this.#data(key, physical, length, isUnwritten(view, at));
        next = key + length;
        continue;
      }
      const child = childOf(view, at);
      const end = index + 1 < count ? keyOf(view, start, index + 1) : to;
      if (key < next || !this.#check.isDataBlock(child) || end <= key) {
        this.#badNode(child, key, index, block, depth);
        continue;
      }
      this.#descend(child, key, depth - 1, end);
      next = key + 1;
    }
  }

  #removed = false;
  /** Illegal blocks of this inode are made holes. */
  #isClearing = false;

  #descend(child: number, key: number, depth: number, to: number): void {
    const check = this.#check;
    const { blockSize, blocksPerCluster } = check.geometry;
    const isShared = check.claim(child);
    this.tally.blocks += blocksPerCluster;
    if (isShared && this.#reentries++ >= MAX_REENTRIES) return;
    const bytes = this.#buffer(depth);
    check.readBlock(child, bytes);
    const view = viewOf(bytes);
    const fault = headerFault(view, 0, blockSize, depth);
    if (fault !== undefined || (keyOf(view, 0, 0) !== key && ExtentHeader.eh_entries.get(view, 0) > 0)) {
      const isKey = fault === undefined;
      const isMended = check.ask({
        code: 'ext-extent-node',
        structure: 'extent header',
        field: fault?.field ?? 'ei_block',
        offset: child * blockSize,
        found: fault?.found ?? `${keyOf(view, 0, 0)}`,
        expected: fault?.expected ?? `${key}, as the node above has it`,
        meaning: `Block ${child} of inode ${this.#number} should be a node of its extent tree for what starts at block ${key} of it`,
        text: isKey
          ? `Interior extent node level ${this.tally.depth - depth - 1} of inode ${this.#number}:\nLogical start ${key} does not match logical start ${keyOf(view, 0, 0)} at next level.  `
          : `Inode ${this.#number} has an invalid extent node (blk ${child}, lblk ${key})\n`,
        question: isKey ? 'Fix' : 'Clear',
        action: `clears inode ${this.#number}`,
      });
      this.tally.isHopeless ||= isMended;
      if (fault !== undefined) return;
    }
    if (check.seed !== undefined) {
      const tail = extentTail(view);
      const expected = crc32c(this.#seed, bytes, 0, tail);
      const found = view.getUint32(tail, true);
      if (found !== expected) {
        const isMended = check.ask({
          code: 'ext-extent-checksum',
          structure: 'extent tail',
          field: 'et_checksum',
          offset: child * blockSize + tail,
          found: `0x${found.toString(16)}`,
          expected: `0x${expected.toString(16)}`,
          meaning: `Block ${child}, a node of the extent tree of inode ${this.#number}, does not have its checksum`,
          text: `Inode ${this.#number} extent block passes checks, but checksum does not match extent\n\t(logical block ${key}, physical block ${child}, len ${ExtentHeader.eh_entries.get(view, 0)})\n`,
          question: 'Fix',
          action: 'writes the checksum',
        });
        if (isMended) {
          view.setUint32(tail, expected, true);
          check.writeBlock(child, bytes);
        }
      }
    }
    this.#node(view, 0, depth, key, child, to);
  }

  #badExtent(
    fault: string,
    key: number,
    physical: number,
    length: number,
    view: DataView,
    start: number,
    index: number,
    block: number,
  ): void {
    const offset = this.#offsetOf(block, index);
    this.#removed = this.#check.ask(
      extentProblem(this.#check, this.#number, fault, { key, physical, length, offset }),
    );
    this.tally.illegal++;
    if (!this.#removed) return;
    const count = ExtentHeader.eh_entries.get(view, start);
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    bytes.copyWithin(start + 12 * (index + 1), start + 12 * (index + 2), start + 12 * (count + 1));
    bytes.fill(0, start + 12 * count, start + 12 * (count + 1));
    ExtentHeader.eh_entries.set(view, start, count - 1);
    this.#store(view, block);
  }

  #badNode(child: number, key: number, index: number, block: number, depth: number): void {
    const offset = this.#offsetOf(block, index);
    this.tally.isHopeless ||= this.#check.ask(
      nodeProblem(this.#check, this.#number, { child, key, depth, offset }),
    );
    this.tally.illegal++;
  }

  /** Byte on the device of an entry of a node. */
  #offsetOf(block: number, index: number): number {
    const { blockSize } = this.#check.geometry;
    const isRoot = block === NO_BLOCK;
    const node = isRoot ? this.#check.inodeOffset(this.#number) + Inode.i_block.offset : block * blockSize;
    return node + 12 * (index + 1);
  }

  /** A node was changed: those in blocks of their own are written with their checksum. */
  #store(view: DataView, block: number): void {
    if (block === NO_BLOCK) {
      this.isInodeChanged = true;
      return;
    }
    const bytes = new Uint8Array(view.buffer, view.byteOffset, this.#check.geometry.blockSize);
    if (this.#check.seed !== undefined) {
      const tail = extentTail(view);
      view.setUint32(tail, crc32c(this.#seed, bytes, 0, tail), true);
    }
    this.#check.writeBlock(block, bytes);
  }

  #data(key: number, physical: number, length: number, unwritten: boolean): void {
    const { tally } = this;
    const check = this.#check;
    tally.last = Math.max(tally.last, key + length - 1);
    if (!unwritten) tally.lastWritten = Math.max(tally.lastWritten, key + length - 1);
    if (this.#previous !== NO_BLOCK && this.#previous + 1 !== physical) tally.isFragmented = true;
    this.#previous = physical + length - 1;
    if (this.#trail !== undefined) {
      this.#dataInClusters(this.#trail, key, physical, length);
      return;
    }
    tally.blocks += length;
    if (!this.#isDirectory) {
      check.claimRange(physical, length);
      return;
    }
    for (let i = 0; i < length; i++) {
      if (!check.claim(physical + i)) this.#directoryBlock(key + i, physical + i);
    }
  }

  #dataInClusters(trail: ClusterTrail, key: number, physical: number, length: number): void {
    const check = this.#check;
    const { first, count, isMisaligned } = trail.next(key, physical, length);
    for (let bit = first; bit < first + count; bit++) check.claim(check.blockOf(bit));
    this.tally.blocks += count * check.geometry.blocksPerCluster;
    if (isMisaligned) reportMisaligned(check, this.#number, key, physical, length);
    if (!this.#isDirectory) return;
    for (let i = 0; i < length; i++)
      if (!check.isShared(physical + i)) this.#directoryBlock(key + i, physical + i);
  }

  #directoryBlock(position: number, block: number): void {
    this.#check.directoryBlocks.add(this.#number, position, block);
  }

  #walkMap(view: DataView, start: number): void {
    const perBlock = this.#check.geometry.blockSize / 4;
    let position = 0;
    for (let slot = 0; slot < DIRECT + 3; slot++) {
      const at = start + 4 * slot;
      const level = slot < DIRECT ? 0 : slot - DIRECT + 1;
      const block = view.getUint32(at, true);
      if (block !== 0 && !this.#pointer(block, level, position, view, at, undefined))
        this.isInodeChanged ||= view.getUint32(at, true) === 0;
      position += perBlock ** level;
    }
  }

  /** A pointer to data (level 0) or to an indirect block. Returns false where it was illegal. */
  #pointer(
    block: number,
    level: number,
    position: number,
    view: DataView,
    at: number,
    holder: number | undefined,
  ): boolean {
    const check = this.#check;
    const { blocksPerCluster } = check.geometry;
    const { tally } = this;
    if (!check.isDataBlock(block)) {
      this.#illegal(block, level, position, view, at, holder);
      return false;
    }
    if (level === 0) {
      tally.last = Math.max(tally.last, position);
      tally.lastWritten = tally.last;
      if (this.#previous !== NO_BLOCK && this.#previous + 1 !== block) tally.isFragmented = true;
      this.#previous = block;
      // The blocks that the resize inode leads to belong to the descriptors.
      if (this.#number === ReservedInode.resize) {
        tally.blocks += blocksPerCluster;
        return true;
      }
      if (this.#trail !== undefined) {
        this.#dataInClusters(this.#trail, position, block, 1);
        return true;
      }
      tally.blocks++;
      if (!check.claim(block) && this.#isDirectory) this.#directoryBlock(position, block);
      return true;
    }
    tally.depth = Math.max(tally.depth, level);
    tally.blocks += blocksPerCluster;
    // Indirect blocks lie between those of the data.
    if (this.#previous !== NO_BLOCK && this.#previous + 1 !== block) tally.isFragmented = true;
    this.#previous = block;
    const isReservedMap = this.#number === ReservedInode.resize && level === 1;
    if (!isReservedMap && check.claim(block) && this.#reentries++ >= MAX_REENTRIES) return true;
    const bytes = this.#buffer(level + MAX_EXTENT_DEPTH);
    check.readBlock(block, bytes);
    const map = viewOf(bytes);
    const step = (check.geometry.blockSize / 4) ** (level - 1);
    let isChanged = false;
    for (let index = 0, end = bytes.length / 4; index < end; index++) {
      const child = map.getUint32(index * 4, true);
      if (child === 0) continue;
      if (!this.#pointer(child, level - 1, position + index * step, map, index * 4, block))
        isChanged ||= map.getUint32(index * 4, true) === 0;
      if (tally.isHopeless) break;
    }
    if (isChanged) check.writeBlock(block, bytes);
    return true;
  }

  #illegal(
    block: number,
    level: number,
    position: number,
    view: DataView,
    at: number,
    holder: number | undefined,
  ): void {
    const check = this.#check;
    const { tally } = this;
    tally.illegal++;
    if (tally.illegal > MAX_ILLEGAL) {
      if (tally.illegal === MAX_ILLEGAL + 1) {
        tally.isHopeless = check.ask({
          code: 'ext-many-illegal-blocks',
          structure: 'inode',
          field: 'i_block',
          offset: check.inodeOffset(this.#number) + Inode.i_block.offset,
          found: `more than ${MAX_ILLEGAL} blocks that are not on the device`,
          expected: 'none',
          meaning: `Inode ${this.#number} has more than ${MAX_ILLEGAL} blocks that do not exist: it is hardly an inode`,
          text: `Too many illegal blocks in inode ${this.#number}.\n`,
          question: 'Clear inode',
          action: `clears inode ${this.#number}`,
        });
      }
      return;
    }
    const what = level === 0 ? `#${position}` : ['(IND)', '(DIND)', '(TIND)'][level - 1]!;
    const isFirst = tally.illegal === 1;
    if (isFirst) {
      this.#isClearing = check.ask({
        code: 'ext-illegal-block',
        structure: holder === undefined ? 'inode' : 'indirect block',
        field: 'i_block',
        offset:
          holder === undefined
            ? check.inodeOffset(this.#number) + (at % check.geometry.inodeSize)
            : holder * check.geometry.blockSize + at,
        found: `${block}`,
        expected: `0, or a block from ${check.geometry.firstDataBlock} to ${check.geometry.blockCount - 1}`,
        meaning: `Inode ${this.#number} should have block ${block} as its block ${position}, and blocks go up to ${check.geometry.blockCount - 1}`,
        text: `Inode ${this.#number} has illegal block(s).  `,
        question: 'Clear',
        action: 'leaves a hole there',
      });
    }
    const isMended = this.#isClearing;
    check.observer.tell(
      `Illegal block ${what} (${block}) in inode ${this.#number}.  ${isMended ? 'CLEARED' : 'IGNORED'}.\n`,
    );
    if (isMended) view.setUint32(at, 0, true);
  }

  #buffer(level: number): Uint8Array {
    return (this.#buffers[level] ??= new Uint8Array(this.#check.geometry.blockSize));
  }
}
