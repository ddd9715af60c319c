/** Numbers as e2fsprogs' programs read them. */

const LARGEST_PERCENT = 50;

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

/** Likewise, with a sign. */
export function parseSigned(text: string): number | undefined {
  const negative = text.startsWith('-');
  const value = parseUnsigned(negative ? text.slice(1) : text);
  return value === undefined || !negative ? value : -value;
}

/** A share of the blocks that is kept for the superuser, in percent; undefined where it is none up to 50. */
export function parseReservedPercent(text: string): number | undefined {
  if (!/^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text)) return undefined;
  const percent = Number(text);
  return percent >= 0 && percent <= LARGEST_PERCENT ? percent : undefined;
}
