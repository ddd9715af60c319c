import type { Dialog } from './dialog.ts';
import type { Disk } from './disk.ts';
import { usedPartitions } from './listing.ts';

/** `1-3,5,6`: three or more in a row become a range. `a-c,e` where the numbers stand for letters. */
export function numberList(numbers: readonly number[], letters = false): string {
  const name = (number: number): string => (letters ? String.fromCharCode(0x60 + number) : String(number));
  const parts: string[] = [];
  for (let i = 0; i < numbers.length;) {
    let end = i;
    while (numbers[end + 1] === numbers[end]! + 1) end++;
    if (end - i >= 2) parts.push(`${name(numbers[i]!)}-${name(numbers[end]!)}`);
    else parts.push(...numbers.slice(i, end + 1).map(name));
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
  return choose(dialog, used, used.at(-1)!, disk.label?.kind === 'bsd');
}

/** Asks for one of `count` places that is not in `used`; the only one is taken without a question. Returns its index. */
export function chooseFree(
  dialog: Dialog,
  used: readonly number[],
  count: number,
  options: { readonly letters?: boolean } = {},
): number | undefined {
  const taken = new Set(used);
  const free: number[] = [];
  for (let index = 0; index < count; index++) if (!taken.has(index)) free.push(index + 1);
  if (free.length === 0) {
    dialog.warn('No free partition available!');
    return undefined;
  }
  return choose(dialog, free, free[0]!, options.letters === true);
}

function choose(dialog: Dialog, numbers: readonly number[], fallback: number, letters: boolean): number {
  if (numbers.length === 1) {
    dialog.info(`Selected partition ${numbers[0]}`);
    return numbers[0]! - 1;
  }
  const number = dialog.askNumber({
    prompt: 'Partition number',
    low: numbers[0]!,
    high: numbers.at(-1)!,
    fallback,
    range: numberList(numbers, letters),
    letters,
  });
  return number - 1;
}
