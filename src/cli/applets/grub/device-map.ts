import { parseNumber } from '../../../boot/grub-legacy/device-name.ts';
import { UsageError } from '../../../errors.ts';

export interface MappedDrive {
  /** BIOS drive. */
  readonly drive: number;
  readonly file: string;
}

/** GRUB has room for the drives 0x00 to 0x07 and 0x80 to 0x87 only; others in a map are read and not used. */
const MAX_DRIVES = 8;

/**
 * Reads a device map: lines of `(hd0) FILE`, blank lines, and comments that begin with `#` in the first column. The
 * errors are GRUB's own.
 */
export function parseDeviceMap(text: string, name: string): MappedDrive[] {
  const result: MappedDrive[] = [];
  const seen = new Set<number>();
  for (const [index, line] of text.split('\n').entries()) {
    const fail = (message: string): never => {
      throw new UsageError(`${name}:${index + 1}: error: ${message}`, 1);
    };
    const trimmed = line.trim();
    if (trimmed === '' || line.startsWith('#')) continue;
    if (!trimmed.startsWith('(')) fail('No open parenthesis found');
    const letters = trimmed.slice(1, 3);
    if (letters !== 'fd' && letters !== 'hd') fail('Bad drive name');
    const digits = trimmed.slice(3);
    const number = /^[0-9]/.test(digits) ? parseNumber(digits) : { value: 0, rest: digits };
    if (!number.rest.startsWith(')')) fail('No close parenthesis found');
    const file = number.rest.slice(1).trimStart().split(/[ \t]/)[0]!;
    if (file === '') fail('No filename found');
    const drive = number.value + (letters === 'hd' ? 0x80 : 0);
    if (seen.has(drive)) fail('Duplicated entry found');
    seen.add(drive);
    if (number.value < MAX_DRIVES) result.push({ drive, file });
  }
  return result;
}
