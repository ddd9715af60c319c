const LETTERS = 'KMGTPE';
/** Digits behind the point that count: more would not fit 64 bits. */
const MOST_DIGITS = 18;

export interface ClassicSize {
  readonly value: number;
  /** A letter followed the number: it counts bytes. */
  readonly suffixed: boolean;
}

/**
 * A number or a size as util-linux reads it: `10`, `0x10`, `010` (octal), `10M`, `10MiB` (1024), `10MB` (1000), `2.5M`; a `+` in front is let
 * through. Undefined for what is none. Fractions come out as the tool's integers do: each digit's share is the unit divided by a whole
 * number, so that `1.7M` is two MiB.
 */
export function parseClassicSize(text: string): ClassicSize | undefined {
  const match = /^\s*\+?(0x[\da-f]+|\d+)(\.\d*)?(?:([KMGTPE])(i?B)?)?$/i.exec(text);
  if (match === null) return undefined;
  const [, digits, fraction, letter, ending] = match;
  if (fraction !== undefined && letter === undefined) return undefined;
  const octal = /^0\d/.test(digits!);
  if (octal && /[89]/.test(digits!)) return undefined;
  const number = octal ? Number.parseInt(digits!, 8) : Number(digits);
  const unit =
    letter === undefined
      ? 1
      : (ending?.length === 1 ? 1000 : 1024) ** (LETTERS.indexOf(letter.toUpperCase()) + 1);
  let value = number * unit;
  const decimals = (fraction ?? '').slice(1, MOST_DIGITS + 1);
  for (let place = 0; place < decimals.length; place++) {
    const digit = Number(decimals[place]);
    if (digit > 0) value += Math.floor(unit / Math.floor(10 ** (place + 1) / digit));
  }
  // More than 64 bits are an error to the tool, not a large number.
  return value >= 2 ** 64 ? undefined : { value, suffixed: letter !== undefined };
}
