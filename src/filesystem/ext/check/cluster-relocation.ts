import { crc32c } from '../../../bytes/crc32c.ts';
import { viewOf } from '../../../bytes/struct.ts';
import { extentTail, inodeSeed } from '../checksum.ts';
import {
  childOf,
  EXTENT_MAGIC,
  ExtentHeader,
  isUnwritten,
  keyOf,
  lengthOf,
  startOf,
} from '../extent-node.ts';
import { Inode, InodeFlag } from '../inode.ts';
import { ClusterTrail } from './cluster-trail.ts';
import type { ExtCheck } from './context.ts';
import { copyBlocks, releaseBlock, takeBlock } from './moved-blocks.ts';

/** Bytes that are copied in one check: what is staged is in memory. */
const MAX_COPIED = 64 << 20;
/** Nodes of one file. */
const MAX_NODES = 100_000;

interface Node {
  readonly view: DataView;
  /** Byte of its header in `view`: of the root, in the inode. */
  readonly start: number;
  readonly depth: number;
  /** Undefined for the root. */
  readonly parent: Node | undefined;
  /** Byte of the entry in the parent that leads to it. */
  readonly entry: number;
  block: number;
  isChanged: boolean;
}

interface Extent {
  readonly node: Node;
  /** Byte of it in its node. */
  readonly at: number;
  readonly key: number;
  readonly length: number;
  block: number;
}

/**
 * Gives files copies of clusters that are not theirs alone, or in which their blocks do not lie where they belong. What lies in the same logical clusters moves
 * together, to clusters in a row: so every extent stays one, and no map grows.
 */
export class ClusterRelocation {
  readonly #check: ExtCheck;
  #next = 0;
  #tooLong = Infinity;
  #copied = 0;
  /** Clusters that nobody has any more. */
  readonly #left: number[] = [];

  constructor(check: ExtCheck) {
    this.#check = check;
  }

  /** Moves what lies in clusters for which `isForeign`, and what is misaligned, and writes the map. Returns false when there was no room for all of it. */
  move(number: number, isForeign: (bit: number) => boolean): boolean {
    const check = this.#check;
    const inode = check.readInode(number);
    if ((Inode.i_flags.get(inode, 0) & InodeFlag.extents) === 0) return false;
    const nodes: Node[] = [];
    const extents: Extent[] = [];
    const root = { view: inode, start: Inode.i_block.offset, parent: undefined, entry: 0, block: 0 };
    const depth = ExtentHeader.eh_depth.get(inode, root.start);
    this.#collect({ ...root, depth, isChanged: false }, nodes, extents);
    const before = this.#count(extents);
    let isComplete = true;
    for (const chain of this.#chains(extents)) {
      if (this.#isOut(chain, isForeign)) isComplete = this.#moveChain(chain) && isComplete;
      // No copy can be made any more, and one was missed: where the rest lies need not be looked at.
      if (!isComplete && this.#copied > MAX_COPIED) break;
    }
    const seed =
      check.seed === undefined ? undefined : inodeSeed(check.seed, number, Inode.i_generation.get(inode, 0));
    // Those below come behind their parents, which they change.
    for (const node of nodes.reverse()) isComplete = this.#settle(node, isForeign, seed) && isComplete;
    const { blocksPerCluster, sectorsPerBlock } = check.geometry;
    const change = (this.#count(extents) - before) * blocksPerCluster * sectorsPerBlock;
    Inode.i_blocks_lo.set(inode, 0, Math.max(0, Inode.i_blocks_lo.get(inode, 0) + change));
    check.writeInode(number, inode);
    return isComplete;
  }

  /** What was left behind becomes free. Until then it keeps what it holds. */
  end(): void {
    for (const bit of this.#left) releaseBlock(this.#check, this.#check.blockOf(bit));
  }

  #collect(node: Node, nodes: Node[], extents: Extent[]): void {
    const check = this.#check;
    const { view, start, depth } = node;
    const room = Math.floor((view.byteLength - start) / 12) - 1;
    const count = Math.min(ExtentHeader.eh_entries.get(view, start), room);
    if (node.parent !== undefined) nodes.push(node);
    for (let index = 0; index < count; index++) {
      const at = start + 12 * (index + 1);
      if (depth === 0) {
        const block = startOf(view, at);
        const length = lengthOf(view, at);
        if (check.isDataBlock(block) && check.isDataBlock(block + length - 1))
          extents.push({ node, at, key: keyOf(view, start, index), length, block });
        continue;
      }
      const block = childOf(view, at);
      if (!check.isDataBlock(block) || nodes.length >= MAX_NODES) continue;
      const bytes = new Uint8Array(check.geometry.blockSize);
      check.readBlock(block, bytes);
      const below = viewOf(bytes);
      if (
        ExtentHeader.eh_magic.get(below, 0) !== EXTENT_MAGIC ||
        ExtentHeader.eh_depth.get(below, 0) !== depth - 1
      )
        continue;
      const child = { view: below, start: 0, depth: depth - 1, parent: node, entry: at, block };
      this.#collect({ ...child, isChanged: false }, nodes, extents);
    }
  }

  /** Extents beside each other that share a logical cluster. */
  #chains(extents: readonly Extent[]): Extent[][] {
    const ratio = this.#check.geometry.blocksPerCluster;
    const chains: Extent[][] = [];
    let end = -1;
    for (const extent of extents) {
      if (Math.floor(extent.key / ratio) === end) chains.at(-1)!.push(extent);
      else chains.push([extent]);
      end = Math.floor((extent.key + extent.length - 1) / ratio);
    }
    return chains;
  }

  #isOut(chain: readonly Extent[], isForeign: (bit: number) => boolean): boolean {
    const trail = new ClusterTrail(this.#check.geometry.blocksPerCluster);
    let isOut = false;
    for (const { key, block, length } of chain) {
      const { first, count, isMisaligned } = trail.next(key, block, length);
      isOut ||= isMisaligned;
      for (let bit = first; bit < first + count; bit++) isOut = isForeign(bit) || isOut;
    }
    return isOut;
  }

  #moveChain(chain: readonly Extent[]): boolean {
    const check = this.#check;
    const ratio = check.geometry.blocksPerCluster;
    const firstKey = Math.floor(chain[0]!.key / ratio) * ratio;
    const last = chain.at(-1)!;
    const count = Math.floor((last.key + last.length - 1) / ratio) + 1 - firstKey / ratio;
    const start = this.#take(count);
    if (start === undefined) return false;
    for (const extent of chain) {
      const { node, at, key, block, length } = extent;
      const to = start + key - firstKey;
      if (!isUnwritten(node.view, at)) copyBlocks(this.#check, block, to, length);
      for (let bit = check.bitOf(block); bit <= check.bitOf(block + length - 1); bit++)
        if (!check.sharedBlocks.get(bit)) this.#left.push(bit);
      node.view.setUint16(at + 6, Math.floor(to / 0x1_0000_0000), true);
      node.view.setUint32(at + 8, to % 0x1_0000_0000, true);
      extent.block = to;
      node.isChanged = true;
    }
    return true;
  }

  /** Writes a node where it has changed or is to lie elsewhere. */
  #settle(node: Node, isForeign: (bit: number) => boolean, seed: number | undefined): boolean {
    const check = this.#check;
    const isOut = isForeign(check.bitOf(node.block));
    const to = isOut ? this.#take(1) : node.block;
    if (to !== undefined && to !== node.block) {
      const { view } = node.parent!;
      view.setUint32(node.entry + 4, to % 0x1_0000_0000, true);
      view.setUint16(node.entry + 8, Math.floor(to / 0x1_0000_0000), true);
      node.parent!.isChanged = true;
      node.block = to;
      node.isChanged = true;
    }
    if (node.isChanged) {
      const bytes = new Uint8Array(node.view.buffer);
      const tail = extentTail(node.view);
      if (seed !== undefined && tail + 4 <= bytes.length)
        node.view.setUint32(tail, crc32c(seed, bytes, 0, tail), true);
      check.writeBlock(node.block, bytes);
    }
    return to !== undefined;
  }

  #count(extents: readonly Extent[]): number {
    const trail = new ClusterTrail(this.#check.geometry.blocksPerCluster);
    return extents.reduce((sum, { key, block, length }) => sum + trail.next(key, block, length).count, 0);
  }

  /** The first block of so many free clusters in a row, which are in use from now on. */
  #take(count: number): number | undefined {
    const check = this.#check;
    const { blockCount, blockSize, blocksPerCluster } = check.geometry;
    this.#copied += count * blocksPerCluster * blockSize;
    if (count >= this.#tooLong || this.#copied > MAX_COPIED) return undefined;
    const end = Math.floor(blockCount / blocksPerCluster);
    for (const from of [this.#next, 0]) {
      let run = 0;
      for (let bit = from; bit < end; bit++) {
        run = check.foundBlocks.get(bit) ? 0 : run + 1;
        if (run < count) continue;
        const start = bit - count + 1;
        for (let taken = start; taken <= bit; taken++) takeBlock(check, check.blockOf(taken));
        this.#next = bit + 1;
        return check.blockOf(start);
      }
    }
    this.#tooLong = count;
    return undefined;
  }
}
