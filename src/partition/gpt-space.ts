import { type FreeRange, freeRangesBetween } from './free-space.ts';
import type { EditedGptPartition, GptEditor } from './gpt-editor.ts';

/** Free sectors of a GPT, found as util-linux finds them. */

/** The first free sector from `start` on; undefined where there is none. */
export function firstFree(editor: GptEditor, start: number): number | undefined {
  let at = Math.max(start, editor.firstUsable);
  for (const { startSector, endSector } of inOrder(editor)) {
    if (at >= startSector && at <= endSector) at = endSector + 1;
  }
  return at > editor.lastUsable ? undefined : at;
}

/** The last sector before something else begins. */
export function lastFreeFrom(editor: GptEditor, start: number): number {
  let last = editor.lastUsable;
  for (const { startSector } of editor.partitions) {
    if (startSector > start && startSector <= last) last = startSector - 1;
  }
  return last;
}

/** The last free sector of the disk; undefined where there is none. */
export function lastFree(editor: GptEditor): number | undefined {
  let last = editor.lastUsable;
  for (const { startSector, endSector } of inOrder(editor).reverse()) {
    if (last >= startSector && last <= endSector) last = startSector - 1;
  }
  return last < editor.firstUsable ? undefined : last;
}

/** All runs of free sectors, in the order of the disk. */
export function gptGaps(editor: GptEditor): FreeRange[] {
  const gaps: FreeRange[] = [];
  let next = editor.firstUsable;
  const push = (endSector: number): void => {
    if (endSector < next) return;
    gaps.push({ startSector: next, endSector, sectorCount: endSector - next + 1 });
  };
  for (const { startSector, endSector } of inOrder(editor)) {
    push(Math.min(startSector - 1, editor.lastUsable));
    next = Math.max(next, endSector + 1);
  }
  push(editor.lastUsable);
  return gaps;
}

/** The free ranges that `F` shows: they begin on the grain, and small gaps do not count except before the first partition. */
export function gptFreeRanges(editor: GptEditor): FreeRange[] {
  return freeRangesBetween(editor.partitions, editor.layout, editor.lastUsable);
}

function inOrder(editor: GptEditor): EditedGptPartition[] {
  return [...editor.partitions].sort((a, b) => a.startSector - b.startSector);
}
