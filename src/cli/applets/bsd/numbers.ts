/** strtoul(3) with base 0, of the whole text: decimal, 0x hexadecimal, 0 octal. Undefined for anything else. */
export function parseCNumber(text: string): number | undefined {
  if (/^0x[0-9a-f]+$/i.test(text)) return Number(text);
  if (/^0[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

const PREFIXES = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];

/** humanize_number(3) into six columns as mdconfig has it: scaled until four digits do, right-aligned: `  1440K`. */
export function humanizeSize(bytes: number): string {
  let [quotient, remainder, scale] = [bytes, 0, 0];
  while (quotient >= 10_000 || (quotient === 9999 && remainder >= 973)) {
    remainder = quotient % 1024;
    quotient = Math.floor(quotient / 1024);
    scale++;
  }
  const tenths = Math.floor((remainder * 10 + 512) / 1024);
  // One digit leaves room for a decimal, if rounding does not make two of it.
  const text =
    scale > 0 && (quotient < 9 || (quotient === 9 && remainder < 973))
      ? `${quotient + Math.floor(tenths / 10)}.${tenths % 10}`
      : `${quotient + Math.floor((remainder + 512) / 1024)}`;
  return `${text}${PREFIXES[scale]}`.padStart(6);
}
