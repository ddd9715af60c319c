import { ExtentHeader, childOf, copyEntries, entryAt, shiftEntries, writeHeader } from './extent-node.ts';
import { type ExtentPath, ROOT_CAPACITY } from './extent-path.ts';
import type { InodeRef } from './inode-table.ts';

/** Takes what a change of a tree sets free, in blocks. */
export type Freed = (start: number, length: number) => void;

/** Takes an empty node out of the tree, and those above it that have become empty. */
export function dropNode(path: ExtentPath, level: number, freed: Freed): void {
  if (level === 0) {
    writeHeader(path.views[0]!, path.bases[0]!, 0, ROOT_CAPACITY, 0);
    return;
  }
  const above = level - 1;
  freed(path.blocks[level]!.index, 1);
  shiftEntries(path.views[above]!, path.bases[above]!, path.at[above]!, -1);
  path.markDirty(above);
  if (path.entries(above) === 0) dropNode(path, above, freed);
  else if (path.at[above] === 0) path.fixKeys(above);
}

/** Joins the nodes at a place where entries were removed with their neighbours, when both fit well into one. */
export function joinNodes(path: ExtentPath, ref: InodeRef, block: number, freed: Freed): void {
  path.descend(ref, block, true);
  for (let level = path.depth; level > 0; level--) {
    const above = path.views[level - 1]!;
    const base = path.bases[level - 1]!;
    const lead = path.at[level - 1]!;
    for (const left of [lead, lead - 1]) {
      if (left < 0 || left + 1 >= path.entries(level - 1)) continue;
      const into = path.sibling(childOf(above, entryAt(base, left)));
      const from = path.sibling(childOf(above, entryAt(base, left + 1)));
      if (into === undefined || from === undefined || into === from) continue;
      const kept = ExtentHeader.eh_entries.get(into.view, 0);
      const moved = ExtentHeader.eh_entries.get(from.view, 0);
      // Some room stays, so that the next entry does not split what was just joined.
      if (kept + moved > (path.nodeCapacity * 3) / 4) continue;
      if (path.renew()) {
        joinNodes(path, ref, block, freed);
        return;
      }
      if (path.isExposed(into)) continue;
      copyEntries(from.view, 0, 0, into.view, 0, moved, kept);
      ExtentHeader.eh_entries.set(into.view, 0, kept + moved);
      path.dirty(into);
      freed(from.index, 1);
      shiftEntries(above, base, left + 1, -1);
      path.markDirty(level - 1);
      break;
    }
  }
}

/** A root with one child takes that child's entries when they fit. */
export function collapseRoot(path: ExtentPath, ref: InodeRef, freed: Freed): void {
  for (;;) {
    path.descend(ref, 0, true);
    if (path.depth === 0 || path.entries(0) !== 1 || path.entries(1) > ROOT_CAPACITY) return;
    const entries = path.entries(1);
    copyEntries(path.views[1]!, 0, 0, path.views[0]!, path.bases[0]!, entries);
    writeHeader(path.views[0]!, path.bases[0]!, entries, ROOT_CAPACITY, path.depth - 1);
    freed(path.blocks[1]!.index, 1);
  }
}
