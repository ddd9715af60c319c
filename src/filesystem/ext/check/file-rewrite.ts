import { Inode } from '../inode.ts';
import type { ExtCheck } from './context.ts';
import { hasExtents, mapBlocksFor, writeFileMap } from './file-map-writer.ts';
import { eachRun } from './file-runs.ts';

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
    // Each run of blocks is an extent at worst.
    const reserve = hasExtents(check) ? Math.ceil(count / 8) : Math.ceil(count / 64) + 2;
    const places = findPlaces(check, count, reserve, usable);
    if (places === undefined) return undefined;
    const needed = mapBlocksFor(check, places.blocks);
    if (needed === undefined || places.more.length < needed) return undefined;
    const mapBlocks = places.more.slice(0, needed);
    return new FileRewrite(check, number, inode, content, places.blocks, mapBlocks, false);
  }

  carryOut(): void {
    const check = this.#check;
    const { blockSize, blocksPerCluster, sectorsPerBlock } = check.geometry;
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
      for (const block of [...this.#blocks, ...this.#mapBlocks]) check.foundBlocks.set(check.bitOf(block));
      writeFileMap(check, this.#number, inode, this.#blocks, this.#mapBlocks);
      const clusters = Math.ceil(this.#blocks.length / blocksPerCluster) + this.#mapBlocks.length;
      const sectors = clusters * blocksPerCluster * sectorsPerBlock;
      Inode.i_blocks_lo.set(inode, 0, sectors);
      Inode.i_blocks_high.set(inode, 0, 0);
    }
    check.writeInode(this.#number, inode);
  }
}

/** All blocks of a file in its order; undefined with holes or what is not written yet, or where the map cannot be. */
export function ownBlocks(check: ExtCheck, inode: DataView): number[] | undefined {
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

export function isShared(check: ExtCheck, block: number): boolean {
  return check.isShared(block);
}

/**
 * The first free blocks, and `usable` as if they were. With clusters they come in whole ones: a file that has them in this order from its start on has
 * each where its cluster wants it.
 */
export function findFree(check: ExtCheck, count: number, usable: ReadonlySet<number>): number[] {
  const { firstDataBlock, blockCount, blocksPerCluster } = check.geometry;
  const found: number[] = [];
  for (let first = firstDataBlock; first < blockCount && found.length < count; first += blocksPerCluster) {
    const end = first + blocksPerCluster;
    if (end > blockCount) break;
    if (check.isUsed(first) && !usable.has(first)) continue;
    for (let block = first; block < end && found.length < count; block++) found.push(block);
  }
  return found;
}

/** Free blocks for a content of so many, and up to so many more for its map, each in a cluster of its own; undefined when there is no room for the content. */
export function findPlaces(
  check: ExtCheck,
  count: number,
  more: number,
  usable: ReadonlySet<number>,
): { readonly blocks: number[]; readonly more: number[] } | undefined {
  const { blocksPerCluster } = check.geometry;
  const whole = Math.ceil(count / blocksPerCluster) * blocksPerCluster;
  const free = findFree(check, whole + more * blocksPerCluster, usable);
  if (free.length < count) return undefined;
  const rest = free.slice(whole).filter((_, index) => index % blocksPerCluster === 0);
  return { blocks: free.slice(0, count), more: rest };
}
