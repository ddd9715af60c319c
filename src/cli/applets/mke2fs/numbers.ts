/** Numbers as e2fsprogs' programs read them. */

/** strtoul(3) with base 0 that must take the whole text; undefined when it does not. */
export function parseUnsigned(text: string): number | undefined {
  const match = /^\s*\+?(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.exec(text);
  if (match === null) return undefined;
  const digits = match[1]!;
  return /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
}

/**
 * A count with one of the suffixes t g m k (powers of 1024 bytes) or s (sectors of 512 bytes), in units of
 * `unit` bytes; a bare number is in those units already. 0 for what is not a number.
 */
export function parseCount(text: string, unit: number): number {
  const match = /^(.*?)([tgmks]?)$/i.exec(text)!;
  const number = parseUnsigned(match[1]!);
  if (number === undefined) return 0;
  const suffix = match[2]!.toLowerCase();
  if (suffix === '') return number;
  const bytes = suffix === 's' ? 512 : 1024 ** ' kmgt'.indexOf(suffix);
  return Math.floor((number * bytes) / unit);
}
