import { FsError } from '../../../errors.ts';
import {
  type ExtLayout,
  groupBlockCount,
  groupFirstBlock,
  hasSuperblock,
  superAndDescriptorBlocks,
} from './layout.ts';
import { type GroupTables, isBitSet, placeTables, placeTablesAround, setBits } from './group-tables.ts';

/** One group's share of the block bitmap, with its tables placed. */
export interface GroupBlocks extends GroupTables {
  /** A block long; bits past the end of the group are clear. */
  readonly bitmap: Uint8Array;
  /** Blocks given to files. */
  allocated: number;
}

/**
 * Which blocks are taken. Groups that hold nothing but their own tables are not kept: of a volume of many TiB only the
 * first few groups come into being here.
 */
export class BlockAllocation {
  /** Ascending, each once. */
  readonly badBlocks: readonly number[];
  readonly #layout: ExtLayout;
  readonly #groups = new Map<number, GroupBlocks>();
  readonly #badByGroup = new Map<number, number[]>();

  constructor(layout: ExtLayout, badBlocks: readonly number[]) {
    this.#layout = layout;
    this.badBlocks = [...new Set(badBlocks)].sort((a, b) => a - b);
    for (const block of this.badBlocks) {
      const group = Math.floor((block - layout.firstDataBlock) / layout.blocksPerGroup);
      const list = this.#badByGroup.get(group);
      if (list === undefined) this.#badByGroup.set(group, [block]);
      else list.push(block);
    }
  }

  /** Does the group differ from one whose tables simply follow each other? */
  isSpecial(group: number): boolean {
    return this.#layout.parameters.stride > 0 || this.#badByGroup.has(group) || this.#groups.has(group);
  }

  /** The group's blocks; `keep` remembers them for allocations. */
  group(group: number, keep = false): GroupBlocks {
    const known = this.#groups.get(group);
    if (known !== undefined) return known;
    const layout = this.#layout;
    const bitmap = new Uint8Array(layout.blockSize);
    const blocks: GroupBlocks = { bitmap, allocated: 0, blockBitmap: 0, inodeBitmap: 0, inodeTable: 0 };
    const prefix = superAndDescriptorBlocks(layout, group);
    setBits(bitmap, 0, prefix);
    const bad = this.#badByGroup.get(group);
    if (bad === undefined && layout.parameters.stride === 0) {
      placeTables(layout, group, blocks);
      setBits(bitmap, prefix, 2 + layout.inodeTableBlocks);
    } else {
      const first = groupFirstBlock(layout, group);
      for (const block of bad ?? []) setBits(bitmap, block - first, 1);
      placeTablesAround(layout, group, bitmap, blocks);
    }
    if (keep) this.#groups.set(group, blocks);
    return blocks;
  }

  /** Takes the first free block at or after `goal`, else the first of all; ENOSPC when there is none. */
  allocate(goal: number): number {
    const layout = this.#layout;
    const start = Math.max(goal, layout.firstDataBlock);
    const firstGroup = Math.floor((start - layout.firstDataBlock) / layout.blocksPerGroup);
    for (let i = 0; i <= layout.groupCount; i++) {
      const group = (firstGroup + i) % layout.groupCount;
      const blocks = this.group(group, true);
      const first = groupFirstBlock(layout, group);
      const end = groupBlockCount(layout, group);
      for (let bit = i === 0 ? start - first : 0; bit < end; bit++) {
        if (isBitSet(blocks.bitmap, bit)) continue;
        setBits(blocks.bitmap, bit, 1);
        blocks.allocated++;
        return first + bit;
      }
    }
    throw new FsError('ENOSPC', { detail: 'Could not allocate block in ext2 filesystem' });
  }

  /** Free blocks of a group, `allocated` of them given to files. */
  freeBlocks(group: number, allocated: number): number {
    const layout = this.#layout;
    const taken = superAndDescriptorBlocks(layout, group) + 2 + layout.inodeTableBlocks + allocated;
    return groupBlockCount(layout, group) - taken - this.#badBlocksCounted(group);
  }

  /** Bad blocks that lie under superblocks and descriptors. */
  badOverhead(): number {
    const layout = this.#layout;
    let count = 0;
    for (const [group, blocks] of this.#badByGroup) {
      const end = groupFirstBlock(layout, group) + superAndDescriptorBlocks(layout, group);
      for (const block of blocks) if (block < end) count++;
    }
    return count;
  }

  /** Bad blocks under a backup of superblock and descriptors are taken already. */
  #badBlocksCounted(group: number): number {
    const bad = this.#badByGroup.get(group);
    if (bad === undefined) return 0;
    const first = groupFirstBlock(this.#layout, group);
    const backup = group > 0 && hasSuperblock(this.#layout, group) ? 1 + this.#layout.descriptorBlocks : 0;
    return bad.filter((block) => block - first >= backup).length;
  }
}
