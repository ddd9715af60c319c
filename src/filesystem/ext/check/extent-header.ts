import { EXTENT_MAGIC, ExtentHeader, MAX_EXTENT_DEPTH } from '../extent-node.ts';

/** What is wrong with the header of a node. */
export interface HeaderFault {
  readonly field: string;
  readonly found: string;
  readonly expected: string;
}

/** Undefined: nothing. `size` is that of the node in bytes; `depth` that which it has to have, undefined at the root. */
export function headerFault(
  view: DataView,
  start: number,
  size: number,
  depth: number | undefined,
): HeaderFault | undefined {
  const magic = ExtentHeader.eh_magic.get(view, start);
  if (magic !== EXTENT_MAGIC)
    return { field: 'eh_magic', found: `0x${magic.toString(16)}`, expected: '0xf30a' };
  const entries = ExtentHeader.eh_entries.get(view, start);
  const max = ExtentHeader.eh_max.get(view, start);
  const capacity = Math.floor(size / 12) - 1;
  if (max > capacity || max === 0 || capacity - max > 2)
    return { field: 'eh_max', found: `${max}`, expected: `${capacity}` };
  if (entries > max) return { field: 'eh_entries', found: `${entries}`, expected: `at most ${max}` };
  const found = ExtentHeader.eh_depth.get(view, start);
  if (depth === undefined ? found > MAX_EXTENT_DEPTH : found !== depth)
    return {
      field: 'eh_depth',
      found: `${found}`,
      expected: depth === undefined ? `at most ${MAX_EXTENT_DEPTH}` : `${depth}`,
    };
  if (depth !== undefined && entries === 0)
    return { field: 'eh_entries', found: '0', expected: 'at least 1' };
  return undefined;
}
