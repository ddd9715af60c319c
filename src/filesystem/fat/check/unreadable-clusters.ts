import { findBadBlocks } from '../../../device/bad-blocks.ts';
import { counted, LEAVE, unasked } from '../../check.ts';
import { clusterOffset } from '../geometry.ts';
import type { FatCheck } from './context.ts';

/** Can a cluster be read? */
function isReadable({ device, geometry }: FatCheck, cluster: number): boolean {
  const { clusterSize } = geometry;
  return (
    findBadBlocks(device, { offset: clusterOffset(geometry, cluster), blockSize: clusterSize, count: 1 })
      .length === 0
  );
}

/**
 * Takes what cannot be read out of a chain and marks it bad; returns where the chain starts then. The size of the file is left to what follows: the file
 * ends earlier by as many clusters.
 */
export function skipUnreadable(check: FatCheck, path: string, start: number): number {
  const { table, observer } = check;
  const met = new Set<number>();
  let first = start;
  let previous = 0;
  let position = 0;
  for (let cluster = start; table.isLink(cluster) && !met.has(cluster); position++) {
    met.add(cluster);
    const next = table.get(cluster);
    if (next === 0 || next === table.codec.bad) break;
    if (isReadable(check, cluster)) previous = cluster;
    else {
      const chosen = observer.report({
        ...findingOf(check, cluster),
        path,
        meaning: `Cluster ${cluster} of ${path} cannot be read: what was in it is lost`,
        toolText: `${path}\n  Cluster ${position} (${cluster}) is unreadable. Skipping it.\n`,
        mend: unasked('marks it bad, and has the file go on without it', false),
      });
      if (chosen !== LEAVE) {
        if (previous !== 0) table.set(previous, next);
        else first = table.isEnd(next) ? 0 : next;
        table.set(cluster, table.codec.bad);
      } else previous = cluster;
    }
    cluster = next;
  }
  return first;
}

/** Marks clusters bad that belong to no file and cannot be read. */
export function markUnreadable(check: FatCheck): void {
  const { table, owners, observer, device, geometry, options } = check;
  if (options.verbose === true) observer.tell('Checking for bad clusters.\n');
  const bad = findBadBlocks(device, {
    offset: clusterOffset(geometry, 2),
    blockSize: geometry.clusterSize,
    count: geometry.clusterCount,
  });
  for (const index of bad) {
    const cluster = index + 2;
    if (owners.get(cluster) !== 0 || table.get(cluster) === table.codec.bad) continue;
    const chosen = observer.report({
      ...findingOf(check, cluster),
      meaning: `Cluster ${cluster}, which no file has, cannot be read`,
      toolText: `Cluster ${cluster} is unreadable.\n`,
      mend: unasked('marks it bad'),
    });
    if (chosen !== LEAVE) table.set(cluster, table.codec.bad);
  }
}

function findingOf({ geometry, table }: FatCheck, cluster: number) {
  return {
    code: 'fat-unreadable-cluster',
    severity: 'damage' as const,
    structure: 'FAT',
    field: `FAT[${cluster}]`,
    offset: geometry.fatOffset + Math.floor((cluster * table.codec.bits) / 8),
    found: counted(geometry.clusterSize, 'byte') + ' that cannot be read',
    expected: 'a cluster that can be, or the mark for a bad one',
  };
}
