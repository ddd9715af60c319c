import { FsError } from '../../../errors.ts';
import { GroupFlag } from '../group-descriptor.ts';
import type { BlockUse } from './block-use.ts';
import type { Descriptors } from './descriptors.ts';
import type { GroupLayout } from './group-layout.ts';
import { flexibleGroups } from './new-size.ts';

/**
 * Gives the groups from `first` on their superblocks, descriptors, bitmaps and inode tables. `use` has no block of them marked yet. Counts of free
 * blocks are left to whoever counts all.
 */
export function placeNewGroups(descriptors: Descriptors, use: BlockUse, first: number): void {
  const { layout } = descriptors;
  const { groupCount, inodesPerGroup } = layout.geometry;
  const flexible = flexibleGroups(layout.superblock);
  for (let group = first; group < groupCount; group++) {
    const front = layout.frontBlocks(group);
    if (front > 0) use.mark(layout.firstBlock(group), front);
  }
  for (let group = first; group < groupCount; group++) {
    if (descriptors.hasFlags) {
      const isPlain = group < groupCount - 1 && layout.frontBlocks(group) === 0;
      const blocks = isPlain ? GroupFlag.blocksUninitialised : 0;
      descriptors.setFlags(group, GroupFlag.inodesUninitialised | blocks);
      descriptors.setCount(group, 'itable_unused', inodesPerGroup);
    }
    descriptors.setCount(group, 'free_inodes_count', inodesPerGroup);
    placeTables(descriptors, use, group, flexible);
  }
}

const TABLES = ['block_bitmap', 'inode_bitmap', 'inode_table'] as const;

/** Places bitmaps and table of one group: with those of its flexible group where there is room, else in the group itself. */
export function placeTables(descriptors: Descriptors, use: BlockUse, group: number, flexible: number): void {
  const { layout } = descriptors;
  const { groupCount, inodeTableBlocks } = layout.geometry;
  const own = layout.firstBlock(group);
  if (flexible <= 1) {
    const end = own + layout.blockCount(group);
    for (const table of TABLES) {
      const count = table === 'inode_table' ? inodeTableBlocks : 1;
      const found =
        use.findRun(own, end - count + 1, count) ?? use.findRun(0, layout.geometry.blockCount, count);
      settle(descriptors, use, { group, table, count, found, isShared: false });
    }
    return;
  }
  const leader = group - (group % flexible);
  const lastGroup = Math.min(leader + flexible, groupCount) - 1;
  const remaining = lastGroup - group + 1;
  const last = layout.firstBlock(lastGroup) + layout.blockCount(lastGroup) - 1;
  // Room for those that follow; a group that is alone leaves it for a whole flexible group.
  const stretch = lastGroup === leader ? flexible : remaining;
  let ahead = 0;
  for (const table of TABLES) {
    const count = table === 'inode_table' ? inodeTableBlocks : 1;
    const previous = group === leader ? ahead : descriptors.location(group - 1, table) + count;
    const start = searchStart(layout, use, { leader, last, previous, remaining, count });
    const found = use.findRun(start, last, count) ?? use.findRun(own, last, count);
    settle(descriptors, use, { group, table, count, found, isShared: true });
    ahead = descriptors.location(group, table) + stretch;
  }
}

interface Placement {
  readonly group: number;
  readonly table: (typeof TABLES)[number];
  readonly count: number;
  readonly found: number | undefined;
  /** Nobody can tell from the group's own descriptor that these blocks are taken: the bitmap of the group where they are has to be read. */
  readonly isShared: boolean;
}

function settle(descriptors: Descriptors, use: BlockUse, placement: Placement): void {
  const { group, table, count, found, isShared } = placement;
  if (found === undefined) {
    throw new FsError('ENOSPC', {
      detail: `no ${count} free blocks in a row are left for the ${table.replace('_', ' ')} of group ${group}`,
    });
  }
  use.mark(found, count);
  descriptors.setLocation(group, table, found);
  const { layout } = descriptors;
  if (!isShared && layout.groupOf(found) === group) return;
  for (let at = layout.groupOf(found); at <= layout.groupOf(found + count - 1); at++) {
    descriptors.setFlags(at, descriptors.flags(at) & ~GroupFlag.blocksUninitialised);
  }
}

interface Search {
  /** First group of the flexible group. */
  readonly leader: number;
  /** Last block of the flexible group. */
  readonly last: number;
  /** Right behind what was placed last; 0 for none. */
  readonly previous: number;
  /** Groups that are still to be placed in this flexible group. */
  readonly remaining: number;
  readonly count: number;
}

/** Where to look: right behind the last one if that is near, else where all that remain find room. */
function searchStart(layout: GroupLayout, use: BlockUse, search: Search): number {
  const { leader, last, previous, remaining, count } = search;
  const { blocksPerGroup, blockCount } = layout.geometry;
  const size = Math.min(remaining * count, Math.floor(blocksPerGroup / 4));
  if (previous !== 0 && previous < blockCount) {
    const near = use.findRun(previous, previous + size, count);
    if (near !== undefined) return near;
  }
  const start = layout.firstBlock(leader);
  return (
    use.findRun(start, last, size) ?? use.findRun(start, last, count) ?? use.findRun(0, last, count) ?? 0
  );
}
