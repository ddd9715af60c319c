import { FsError } from '../../../errors.ts';
import type { BlockUsage } from './block-usage.ts';
import { hasGroupFlags, hasIncompatible } from './features.ts';
import {
  type ExtLayout,
  groupEnd,
  groupFirstBlock,
  groupOfBlock,
  superAndDescriptorBlocks,
} from './layout.ts';

/** Where the groups keep their bookkeeping, an element a group; block numbers count from the start of the volume. */
export class GroupTables {
  readonly blockBitmap: Float64Array;
  readonly inodeBitmap: Float64Array;
  readonly inodeTable: Float64Array;
  /** 1 where nothing but what the kernel can work out is taken, so that the block bitmap need not be written. */
  readonly blockUninitialized: Uint8Array;

  constructor(layout: ExtLayout) {
    const { groupCount } = layout;
    this.blockBitmap = new Float64Array(groupCount);
    this.inodeBitmap = new Float64Array(groupCount);
    this.inodeTable = new Float64Array(groupCount);
    this.blockUninitialized = new Uint8Array(groupCount);
    // The last group's bitmap is padded, which the kernel does not do.
    if (hasGroupFlags(layout.features)) this.blockUninitialized.fill(1, 0, groupCount - 1);
  }
}

/**
 * Takes superblocks, descriptors and tables of all groups, and says where the latter are. `usage` has the bad blocks
 * already. Done group by group in one pass: what is taken ahead of a group is then little.
 */
export function placeGroups(layout: ExtLayout, usage: BlockUsage): GroupTables {
  const tables = new GroupTables(layout);
  const flexible = layout.flexGroups > 1 && hasIncompatible(layout.features, 'flex_bg');
  const packed = layout.parameters.packedMetaBlocks && hasIncompatible(layout.features, 'flex_bg');
  let marked = 0;
  for (let group = 0; group < layout.groupCount; group++) {
    // The tables of a flexible group may lie anywhere in it.
    const ahead = packed ? layout.groupCount : Math.min(layout.groupCount, group + layout.flexGroups);
    for (; marked < ahead; marked++) markSuperblock(layout, usage, marked);
    if (packed) continue;
    if (flexible) placeFlexible(layout, usage, tables, group);
    else placeInGroup(layout, usage, tables, group);
  }
  if (packed) placePacked(layout, usage, tables);
  return tables;
}

function markSuperblock(layout: ExtLayout, usage: BlockUsage, group: number): void {
  const first = groupFirstBlock(layout, group);
  const prefix = superAndDescriptorBlocks(layout, group);
  if (prefix > 0) usage.mark(first, prefix);
}

/** All in its own group. With a stride the bitmaps of successive groups start on different disks. */
function placeInGroup(layout: ExtLayout, usage: BlockUsage, tables: GroupTables, group: number): void {
  const { stride } = layout.parameters;
  const first = groupFirstBlock(layout, group);
  const last = groupEnd(layout, group) - 1;
  let start = first;
  if (stride > 0) {
    start = need(usage.findRun(first, last, layout.inodeTableBlocks)) + layout.inodeTableBlocks;
    start += (stride * group) % (last - start + 1);
    if (start >= last) start = first;
  }
  const bitmap = (): number => {
    const block = need(usage.findRun(start, last, 1) ?? usage.findRun(first, last, 1));
    usage.mark(block);
    return block;
  };
  tables.blockBitmap[group] = bitmap();
  tables.inodeBitmap[group] = bitmap();
  tables.inodeTable[group] = need(usage.findRun(first, last, layout.inodeTableBlocks));
  usage.mark(tables.inodeTable[group]!, layout.inodeTableBlocks);
}

/** With those of the flexible group that it belongs to: all block bitmaps, all inode bitmaps, all tables. */
function placeFlexible(layout: ExtLayout, usage: BlockUsage, tables: GroupTables, group: number): void {
  const { flexGroups, inodeTableBlocks } = layout;
  const leader = group - (group % flexGroups);
  const lastGroup = Math.min(leader + flexGroups, layout.groupCount) - 1;
  const remaining = lastGroup - group + 1;
  // Room for those that follow; a group that is alone leaves it for a whole flexible group.
  const stretch = lastGroup === leader ? flexGroups : remaining;
  const last = groupEnd(layout, lastGroup) - 1;
  const place = (previous: number, length: number): number => {
    const start = searchStart(layout, usage, { group, lastBlock: last, previous, remaining, length });
    const own = groupFirstBlock(layout, group);
    const block = need(usage.findRun(start, last, length) ?? usage.findRun(own, last, length));
    usage.mark(block, length);
    clearUninitialized(layout, tables, block, length);
    return block;
  };
  const leads = group === leader;
  const blockBitmap = place(leads ? 0 : tables.blockBitmap[group - 1]! + 1, 1);
  tables.blockBitmap[group] = blockBitmap;
  const inodeBitmap = place(leads ? blockBitmap + stretch : tables.inodeBitmap[group - 1]! + 1, 1);
  tables.inodeBitmap[group] = inodeBitmap;
  tables.inodeTable[group] = place(
    leads ? inodeBitmap + stretch : tables.inodeTable[group - 1]! + inodeTableBlocks,
    inodeTableBlocks,
  );
}

interface FlexibleSearch {
  readonly group: number;
  /** The last block of the flexible group. */
  readonly lastBlock: number;
  /** Right behind what was placed last; 0 for none. */
  readonly previous: number;
  /** Groups still to be placed in this flexible group. */
  readonly remaining: number;
  /** Blocks. */
  readonly length: number;
}

/** Where to look: right behind the last one if that is near, else where all that remain find room. */
function searchStart(layout: ExtLayout, usage: BlockUsage, search: FlexibleSearch): number {
  const { group, lastBlock, previous, remaining, length } = search;
  const size = Math.min(remaining * length, Math.floor(layout.blocksPerGroup / 4));
  if (previous !== 0 && previous < layout.blockCount) {
    const near = usage.findRun(previous, previous + size, length);
    if (near !== undefined) return near;
  }
  const start = groupFirstBlock(layout, group - (group % layout.flexGroups));
  return (
    usage.findRun(start, lastBlock, size) ??
    usage.findRun(start, lastBlock, length) ??
    usage.findRun(0, lastBlock, length) ??
    0
  );
}

/** `packed_meta_blocks`: the bookkeeping of all groups at the start of the volume. */
function placePacked(layout: ExtLayout, usage: BlockUsage, tables: GroupTables): void {
  let goal = 0;
  for (const bitmaps of [tables.blockBitmap, tables.inodeBitmap]) {
    for (let group = 0; group < layout.groupCount; group++) {
      goal = need(usage.findFree(Math.max(goal, layout.firstDataBlock), layout.blockCount));
      usage.mark(goal);
      clearUninitialized(layout, tables, goal, 1);
      bitmaps[group] = goal;
    }
  }
  for (let group = 0; group < layout.groupCount; group++) {
    goal = need(usage.findRun(goal, layout.blockCount - 1, layout.inodeTableBlocks));
    usage.mark(goal, layout.inodeTableBlocks);
    clearUninitialized(layout, tables, goal, layout.inodeTableBlocks);
    tables.inodeTable[group] = goal;
  }
}

/** The groups in which these blocks lie need their bitmaps written. */
export function clearUninitialized(
  layout: ExtLayout,
  tables: GroupTables,
  block: number,
  count: number,
): void {
  const last = groupOfBlock(layout, block + count - 1);
  for (let group = groupOfBlock(layout, block); group <= last; group++) tables.blockUninitialized[group] = 0;
}

function need(block: number | undefined): number {
  if (block !== undefined) return block;
  throw new FsError('ENOSPC', {
    detail: 'Could not allocate block in ext2 filesystem while trying to allocate filesystem tables',
  });
}
