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
  /** Has everything leave them that is there now, and keeps them. */
  vacate(start: number, count: number): void;
}

/** Moves bitmaps and inode tables of the groups that stay out of the vacated ranges. Returns of how many groups. */
export function moveTables(job: TableMoves): number {
  const { old, descriptors, use, stage } = job;
  const groups = Math.min(old.layout.geometry.groupCount, descriptors.layout.geometry.groupCount);
  let moved = 0;
  for (let group = 0; group < groups; group++) {
    let stays = true;
    for (const table of TABLES) {
      const count = table === 'inode_table' ? old.layout.geometry.inodeTableBlocks : 1;
      const from = old.location(group, table);
      if (!job.isVacated(from, count)) continue;
      const to = findPlace(job, group, count);
      if (table !== 'block_bitmap') stage.copies.push({ from, to, count });
      old.setLocation(group, table, to);
      descriptors.setLocation(group, table, to);
      use.free(from, count);
      use.changed.add(group);
      stays = false;
    }
    if (!stays) moved++;
  }
  return moved;
}

/** Takes `count` blocks in a row: in the group itself, which only flexible groups may leave. What is in the way there moves. */
function findPlace(job: TableMoves, group: number, count: number): number {
  const { descriptors, use } = job;
  const { layout } = descriptors;
  const first = layout.firstBlock(group);
  const end = first + layout.blockCount(group);
  const isFlexible = flexibleGroups(layout.superblock) > 1;
  const found =
    use.findRun(first, end - count + 1, count) ??
    (isFlexible ? use.findRun(0, layout.geometry.blockCount, count) : undefined);
  if (found !== undefined) {
    use.mark(found, count);
    return found;
  }
  for (let start = end - count; start >= first + layout.frontBlocks(group); start -= count) {
    if (job.isVacated(start, count) || isOccupied(job, start, count)) continue;
    job.vacate(start, count);
    return start;
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
