import type { EditedGptPartition, GptEditor } from './gpt-editor.ts';

/** What is wrong with a GPT under edit, in the words of fdisk's `v`. What is wrong with its headers was mended when it was opened. */
export function checkGpt(editor: GptEditor): string[] {
  const { partitions, layout } = editor;
  const errors: string[] = [];
  if (editor.alternateLba !== layout.sectorCount - 1) {
    errors.push('MyLBA mismatch with real position at backup header.');
  }
  const overlapping = firstOverlapping(partitions);
  if (overlapping !== undefined) {
    // The tool names the entry that overlaps an earlier one, and whichever number comes next.
    errors.push(`Partition ${overlapping + 1} overlaps with partition ${overlapping + 2}.`);
  }
  const tooBig = partitions.find(({ endSector }) => endSector >= layout.sectorCount);
  if (tooBig !== undefined) errors.push(`Partition ${tooBig.index + 1} is too big for the disk.`);
  const backwards = partitions.find(({ startSector, endSector }) => startSector > endSector);
  if (backwards !== undefined) errors.push(`Partition ${backwards.index + 1} ends before it starts.`);
  return errors;
}

/** The index of the first entry that overlaps one before it in the table. */
function firstOverlapping(partitions: readonly EditedGptPartition[]): number | undefined {
  const sorted = [...partitions].sort((a, b) => a.startSector - b.startSector);
  let least: number | undefined;
  let open: EditedGptPartition[] = [];
  for (const partition of sorted) {
    open = open.filter(({ endSector }) => endSector >= partition.startSector);
    for (const other of open) {
      const later = Math.max(other.index, partition.index);
      if (least === undefined || later < least) least = later;
    }
    // Of many on top of each other a few tell as much as all, and cost less.
    if (open.length < 64) open.push(partition);
  }
  return least;
}
