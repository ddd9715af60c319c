import { FsError } from '../../../errors.ts';
import type { BlockUse } from './block-use.ts';
import type { Descriptors } from './descriptors.ts';
import { flexibleGroups } from './new-size.ts';
import type { WriteStage } from './write-plan.ts';

const TABLES = ['block_bitmap', 'inode_bitmap', 'inode_table'] as const;

export interface TableMoves {
  readonly old: Descriptors;
  readonly descriptors: Descriptors;
  readonly use: BlockUse;
  readonly stage: WriteStage;
  /** Must these blocks be left? */
  isVacated(start: number, count: number): boolean;
}

export interface MovedTables {
  /** Groups of which something moves. */
  readonly groups: number;
  /** Runs that content has to leave first, in a pass of its own: where tables have to go that found no room. */
  readonly wanting: readonly { readonly start: number; readonly count: number }[];
}

/** Moves bitmaps and inode tables of the groups that stay out of the vacated ranges. */
export function moveTables(job: TableMoves): MovedTables {
  const { old, descriptors, use, stage } = job;
  const groups = Math.min(old.layout.geometry.groupCount, descriptors.layout.geometry.groupCount);
  const wanting: { start: number; count: number }[] = [];
  let moved = 0;
  for (let group = 0; group < groups; group++) {
    let stays = true;
    for (const table of TABLES) {
      const count = table === 'inode_table' ? old.layout.geometry.inodeTableBlocks : 1;
      const from = old.location(group, table);
      if (!job.isVacated(from, count)) continue;
      const to = findFree(job, group, count);
      if (to === undefined) {
        wanting.push({ start: findClearable(job, group, count, wanting), count });
        continue;
      }
      use.mark(to, count);
      if (table !== 'block_bitmap') stage.copies.push({ from, to, count });
      old.setLocation(group, table, to);
      descriptors.setLocation(group, table, to);
      use.free(from, count);
      use.changed.add(group);
      stays = false;
    }
    if (!stays) moved++;
  }
  return { groups: moved, wanting };
}

/** Finds `count` free blocks in a row: in the group itself, which only flexible groups may leave. */
function findFree({ descriptors, use }: TableMoves, group: number, count: number): number | undefined {
  const { layout } = descriptors;
  const first = layout.firstBlock(group);
  const end = first + layout.blockCount(group);
  const isFlexible = flexibleGroups(layout.superblock) > 1;
  return (
    use.findRun(first, end - count + 1, count) ??
    (isFlexible ? use.findRun(0, layout.geometry.blockCount, count) : undefined)
  );
}

/** Finds `count` blocks in a row in the group that nothing but content is in. ENOSPC when there are none. */
function findClearable(job: TableMoves, group: number, count: number, taken: MovedTables['wanting']): number {
  const { layout } = job.descriptors;
  const first = layout.firstBlock(group);
  const end = first + layout.blockCount(group);
  for (let start = end - count; start >= first + layout.frontBlocks(group); start -= count) {
    const isTaken = taken.some((run) => run.start < start + count && start < run.start + run.count);
    if (!isTaken && !job.isVacated(start, count) && !isOccupied(job, start, count)) return start;
  }
  throw new FsError('ENOSPC', {
    detail: `no ${count} blocks in a row can be made free for the inode table of group ${group}`,
  });
}

/** Does a bitmap or an inode table lie there? */
function isOccupied({ old, descriptors }: TableMoves, start: number, count: number): boolean {
  for (const { layout, location } of [old, descriptors].map((each) => ({
    layout: each.layout,
    location: each.location.bind(each),
  }))) {
    const { groupCount, inodeTableBlocks } = layout.geometry;
    for (let group = 0; group < groupCount; group++) {
      for (const table of TABLES) {
        const at = location(group, table);
        const length = table === 'inode_table' ? inodeTableBlocks : 1;
        if (at < start + count && start < at + length) return true;
      }
      const front = layout.firstBlock(group);
      if (front < start + count && start < front + layout.frontBlocks(group)) return true;
    }
  }
  return false;
}
