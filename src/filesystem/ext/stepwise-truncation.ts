import type { ExtCore } from './ext-core.ts';
import { Inode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';

/**
 * Shortens a file to about `size` when giving back its blocks at once could make a transaction that does not fit in the log: on volumes that have many
 * groups for their journal. What is left is for one step. A crash between two steps leaves a file without a name in the list of
 * orphans, which is where it goes on, and one with a name somewhere between both lengths.
 */
export function truncateStepwise(core: ExtCore, ref: InodeRef, size: number): void {
  const { volume, inodes, content, orphans } = core;
  const step = volume.freeableAtOnce * volume.geometry.blockSize;
  if (step === Number.POSITIVE_INFINITY || core.isInline(ref) || inodes.kind(ref) !== 'file') return;
  let end = inodes.size(ref);
  if (end - size <= step) return;
  core.fileMap.requireFreeable(ref, Math.ceil(size / volume.geometry.blockSize));
  if (Inode.i_links_count.get(ref.view, ref.base) === 0) orphans.add(ref);
  while (end - size > step) {
    end -= step;
    content.resize(ref, end);
    volume.commitIfDue();
  }
}
