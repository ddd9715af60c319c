import type { Dialog } from './dialog.ts';
import type { Disk } from './disk.ts';
import { usedPartitions } from './listing.ts';

/** `1-3,5,6`: three or more in a row become a range. */
export function numberList(numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < numbers.length;) {
    let end = i;
    while (numbers[end + 1] === numbers[end]! + 1) end++;
    if (end - i >= 2) parts.push(`${numbers[i]}-${numbers[end]}`);
    else parts.push(...numbers.slice(i, end + 1).map(String));
    i = end + 1;
  }
  return parts.join(',');
}

/** Asks which partition is meant; the only one is taken without a question. Returns its index. */
export function choosePartition(disk: Disk, dialog: Dialog): number | undefined {
  const used = usedPartitions(disk).map(({ index }) => index + 1);
  if (used.length === 0) {
    dialog.warn('No partition is defined yet!');
    return undefined;
  }
  if (used.length === 1) {
    dialog.info(`Selected partition ${used[0]}`);
    return used[0]! - 1;
  }
  const number = dialog.askNumber({
    prompt: 'Partition number',
    low: used[0]!,
    high: used.at(-1)!,
    fallback: used.at(-1)!,
    range: numberList(used),
  });
  return number - 1;
}
