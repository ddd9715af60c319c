import { EXTENT_MAGIC, ExtentHeader, entryAt, writeExtent } from './extent-node.ts';
import { ROOT_CAPACITY } from './extent-path.ts';
import { Inode } from './inode.ts';
import type { InodeRef } from './inode-table.ts';

const ROOT = Inode.i_block.offset;

/** Has the inode a sound extent tree without a single entry, as a new file has? */
export function hasEmptyTree({ view, base }: InodeRef): boolean {
  return (
    ExtentHeader.eh_magic.get(view, base + ROOT) === EXTENT_MAGIC &&
    ExtentHeader.eh_entries.get(view, base + ROOT) === 0 &&
    ExtentHeader.eh_max.get(view, base + ROOT) === ROOT_CAPACITY &&
    ExtentHeader.eh_depth.get(view, base + ROOT) === 0
  );
}

/** Maps the first blocks of a file with an empty tree to one run, which one extent can hold. */
export function beginTree({ view, base }: InodeRef, start: number, length: number): void {
  ExtentHeader.eh_entries.set(view, base + ROOT, 1);
  writeExtent(view, entryAt(base + ROOT, 0), 0, start, length, false);
}
