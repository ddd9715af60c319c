const LETTERS = 'KMGTPE';

/**
 * An answer to "Last sector, +/-sectors or +/-size{K,M,G,T,P}": a sector, `+` sectors or size from `base`, or `-` sectors or
 * size from `high`. `unitSize` is bytes a sector. Undefined when it cannot be understood.
 */
export function parseLastSector(
  answer: string,
  base: number,
  high: number,
  unitSize: number,
): { sector: number; fromSize: boolean } | undefined {
  const sign = answer[0] === '+' || answer[0] === '-' ? answer[0] : '';
  const size = parseSize(answer.slice(sign.length));
  if (size === undefined) return undefined;
  if (sign === '') return { sector: size.value, fromSize: false };
  const sectors = size.suffixed ? Math.round(size.value / unitSize) : size.value;
  const sector = sign === '+' ? base + sectors : high - sectors;
  return { sector, fromSize: size.suffixed };
}

/**
 * `10`, `0x10`, `010` (octal), `10M`, `10MiB` (1024), `10MB` (1000), `2.5M`; a `+` in front is let through.
 * More lenient and more strict than bytes/size.ts, exactly as the classic tool is.
 */
function parseSize(text: string): { value: number; suffixed: boolean } | undefined {
  const match = /^\s*\+?(0x[\da-f]+|\d+)(\.\d+)?(?:([KMGTPEkmgtpe])(i?[Bb])?)?$/.exec(text);
  if (match === null) return undefined;
  const [, digits, fraction, letter, ending] = match;
  if (fraction !== undefined && letter === undefined) return undefined;
  const octal = /^0\d/.test(digits!);
  if (octal && /[89]/.test(digits!)) return undefined;
  const number = octal ? Number.parseInt(digits!, 8) : Number(digits);
  const base = ending?.length === 1 ? 1000 : 1024;
  const power = letter === undefined ? 0 : LETTERS.indexOf(letter.toUpperCase()) + 1;
  const value = Math.floor((number + Number(fraction ?? 0)) * base ** power);
  // More than 64 bits are an error to the tool, not a large number.
  return value >= 2 ** 64 ? undefined : { value, suffixed: letter !== undefined };
}
