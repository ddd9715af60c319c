import { crc32c } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { extentTail, inodeSeed } from '../checksum.ts';
import { entryAt, MAX_WRITTEN, nodeCapacity, writeExtent, writeHeader, writeIndex } from '../extent-node.ts';
import { Inode, InodeFlag } from '../inode.ts';
import { IncompatibleFeature } from '../superblock.ts';
import type { ExtCheck } from './context.ts';
import { eachRun } from './file-runs.ts';

const DIRECT = 12;
const MAP_SIZE = 60;

interface Run {
  readonly block: number;
  readonly length: number;
}

/**
 * A new content for a file with a fixed job, planned before anybody is asked: where the blocks that it has do not suit, it gets others, and those it
 * had become free. The bitmaps are left to pass 5 of the next round.
 */
export class FileRewrite {
  readonly #check: ExtCheck;
  readonly #number: number;
  readonly #inode: DataView;
  readonly #content: Uint8Array;
  /** Of the content, in order; then those of the map. */
  readonly #blocks: readonly number[];
  readonly #mapBlocks: readonly number[];
  readonly #isInPlace: boolean;

  private constructor(
    check: ExtCheck,
    number: number,
    inode: DataView,
    content: Uint8Array,
    blocks: readonly number[],
    mapBlocks: readonly number[],
    isInPlace: boolean,
  ) {
    this.#check = check;
    this.#number = number;
    this.#inode = inode;
    this.#content = content;
    this.#blocks = blocks;
    this.#mapBlocks = mapBlocks;
    this.#isInPlace = isInPlace;
  }

  /** `inode` is as the file is to be, but for size and map. Undefined when there is no room. */
  static plan(
    check: ExtCheck,
    number: number,
    inode: DataView,
    content: Uint8Array,
  ): FileRewrite | undefined {
    const count = Math.ceil(content.length / check.geometry.blockSize);
    const own = ownBlocks(check, inode);
    if (own?.length === count && !own.some((block) => isShared(check, block)))
      return new FileRewrite(check, number, inode, content, own, [], true);
    const usable = new Set((own ?? []).filter((block) => !isShared(check, block)));
    const hasExtents = (check.words.incompatible & IncompatibleFeature.extent) !== 0;
    // Each run of blocks is an extent at worst.
    const reserve = hasExtents ? Math.ceil(count / 8) : Math.ceil(count / 64) + 2;
    const free = findFree(check, count + reserve, usable);
    if (free.length < count) return undefined;
    const blocks = free.slice(0, count);
    const needed = hasExtents ? nodesFor(check, runsOf(blocks).length) : pointersFor(check, count);
    if (needed === undefined || free.length < count + needed) return undefined;
    return new FileRewrite(check, number, inode, content, blocks, free.slice(count, count + needed), false);
  }

  carryOut(): void {
    const check = this.#check;
    const { blockSize, firstDataBlock, sectorsPerBlock } = check.geometry;
    const inode = this.#inode;
    const bytes = new Uint8Array(blockSize);
    for (const [index, block] of this.#blocks.entries()) {
      bytes.fill(0);
      bytes.set(this.#content.subarray(index * blockSize, (index + 1) * blockSize));
      check.writeBlock(block, bytes);
    }
    Inode.i_size_lo.set(inode, 0, this.#content.length);
    Inode.i_size_high.set(inode, 0, 0);
    if (!this.#isInPlace) {
      for (const block of [...this.#blocks, ...this.#mapBlocks])
        check.foundBlocks.set(block - firstDataBlock);
      Inode.i_block.set(inode, 0, new Uint8Array(MAP_SIZE));
      const hasExtents = (check.words.incompatible & IncompatibleFeature.extent) !== 0;
      const flags = Inode.i_flags.get(inode, 0) & ~(InodeFlag.extents | InodeFlag.inlineData);
      Inode.i_flags.set(inode, 0, hasExtents ? flags | InodeFlag.extents : flags);
      if (hasExtents) this.#writeExtents();
      else this.#writePointers();
      const sectors = (this.#blocks.length + this.#mapBlocks.length) * sectorsPerBlock;
      Inode.i_blocks_lo.set(inode, 0, sectors);
      Inode.i_blocks_high.set(inode, 0, 0);
    }
    check.writeInode(this.#number, inode);
  }

  #writeExtents(): void {
    const check = this.#check;
    const { blockSize } = check.geometry;
    const runs = runsOf(this.#blocks);
    const rootView = new DataView(
      this.#inode.buffer,
      this.#inode.byteOffset + Inode.i_block.offset,
      MAP_SIZE,
    );
    const nodes = this.#mapBlocks;
    if (nodes.length === 0) {
      writeLeaf(rootView, runs, 0);
      return;
    }
    const perNode = nodeCapacity(blockSize);
    writeHeader(rootView, 0, nodes.length, nodeCapacity(MAP_SIZE), 1);
    let position = 0;
    for (const [index, block] of nodes.entries()) {
      writeIndex(rootView, entryAt(0, index), position, block);
      const part = runs.slice(index * perNode, (index + 1) * perNode);
      const bytes = new Uint8Array(blockSize);
      const view = viewOf(bytes);
      position = writeLeaf(view, part, position);
      if (check.seed !== undefined) {
        const seed = inodeSeed(check.seed, this.#number, Inode.i_generation.get(this.#inode, 0));
        const tail = extentTail(view);
        view.setUint32(tail, crc32c(seed, bytes, 0, tail), true);
      }
      check.writeBlock(block, bytes);
    }
  }

  /** Direct pointers, a block of them, and one of such blocks. */
  #writePointers(): void {
    const check = this.#check;
    const perBlock = check.geometry.blockSize / 4;
    const blocks = this.#blocks;
    const inode = this.#inode;
    const start = Inode.i_block.offset;
    for (let i = 0; i < Math.min(DIRECT, blocks.length); i++)
      inode.setUint32(start + 4 * i, blocks[i]!, true);
    const maps = [...this.#mapBlocks];
    if (blocks.length <= DIRECT) return;
    const single = maps.shift()!;
    inode.setUint32(start + 4 * DIRECT, single, true);
    this.#writeMap(single, blocks.slice(DIRECT, DIRECT + perBlock));
    const rest = blocks.slice(DIRECT + perBlock);
    if (rest.length === 0) return;
    const double = maps.shift()!;
    inode.setUint32(start + 4 * (DIRECT + 1), double, true);
    this.#writeMap(double, maps);
    for (const [index, map] of maps.entries())
      this.#writeMap(map, rest.slice(index * perBlock, (index + 1) * perBlock));
  }

  #writeMap(block: number, pointers: readonly number[]): void {
    const bytes = new Uint8Array(this.#check.geometry.blockSize);
    const view = viewOf(bytes);
    for (const [index, pointer] of pointers.entries()) view.setUint32(4 * index, pointer, true);
    this.#check.writeBlock(block, bytes);
  }
}

/** All blocks of a file in its order; undefined with holes or what is not written yet, or where the map cannot be. */
function ownBlocks(check: ExtCheck, inode: DataView): number[] | undefined {
  const blocks: number[] = [];
  let isWhole = true;
  const isSound = eachRun(check, inode, (position, start, length, isUnwritten) => {
    isWhole &&= !isUnwritten && position === blocks.length && blocks.length + length <= MAX_BLOCKS;
    if (isWhole) for (let block = start; block < start + length; block++) blocks.push(block);
  });
  return isSound && isWhole ? blocks : undefined;
}

/** Of a file that is held in memory. */
const MAX_BLOCKS = 1 << 18;

function isShared(check: ExtCheck, block: number): boolean {
  return check.sharedBlocks.get(block - check.geometry.firstDataBlock);
}

/** The first free blocks, and `usable` as if they were. */
function findFree(check: ExtCheck, count: number, usable: ReadonlySet<number>): number[] {
  const { firstDataBlock, blockCount } = check.geometry;
  const found: number[] = [];
  for (let block = firstDataBlock; block < blockCount && found.length < count; block++)
    if (!check.foundBlocks.get(block - firstDataBlock) || usable.has(block)) found.push(block);
  return found;
}

function runsOf(blocks: readonly number[]): Run[] {
  const runs: { block: number; length: number }[] = [];
  for (const block of blocks) {
    const last = runs.at(-1);
    if (last !== undefined && last.block + last.length === block && last.length < MAX_WRITTEN) last.length++;
    else runs.push({ block, length: 1 });
  }
  return runs;
}

/** Nodes below a root of four entries; undefined when they are not enough. */
function nodesFor(check: ExtCheck, runCount: number): number | undefined {
  const inRoot = nodeCapacity(MAP_SIZE);
  if (runCount <= inRoot) return 0;
  const nodes = Math.ceil(runCount / nodeCapacity(check.geometry.blockSize));
  return nodes <= inRoot ? nodes : undefined;
}

function pointersFor(check: ExtCheck, count: number): number | undefined {
  const perBlock = check.geometry.blockSize / 4;
  if (count <= DIRECT) return 0;
  const behind = count - DIRECT - perBlock;
  if (behind <= 0) return 1;
  return behind <= perBlock * perBlock ? 2 + Math.ceil(behind / perBlock) : undefined;
}

/** Returns the position behind the last run. */
function writeLeaf(view: DataView, runs: readonly Run[], first: number): number {
  writeHeader(view, 0, runs.length, nodeCapacity(view.byteLength), 0);
  let position = first;
  for (const [index, { block, length }] of runs.entries()) {
    writeExtent(view, entryAt(0, index), position, block, length, false);
    position += length;
  }
  return position;
}
