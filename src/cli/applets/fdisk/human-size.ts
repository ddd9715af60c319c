const LETTERS = 'KMGTPE';

export interface HumanSizeOptions {
  /** Digits after the point at most. */
  readonly digits: 1 | 2;
  /** `492.2 MiB` instead of `492.2M`. */
  readonly long: boolean;
}

/** A size in bytes as util-linux writes it: powers of 1024, rounded half up, without trailing zeros; `512B`. */
export function humanSize(size: number, options: HumanSizeOptions): string {
  let power = 0;
  while (power < LETTERS.length && size >= 1024 ** (power + 1)) power++;
  const unit = 1024 ** power;
  const whole = Math.floor(size / unit);
  // Three digits are cut off, then rounded: what the tool does, and not the same as rounding once.
  const thousandths = Math.floor(((size % unit) * 1000) / unit);
  const scale = options.digits === 2 ? 100 : 10;
  const fraction = Math.floor((thousandths + 500 / scale) / (1000 / scale));
  const number = (whole * scale + fraction) / scale;
  const letter = power === 0 ? 'B' : LETTERS[power - 1]!;
  if (!options.long) return `${number}${letter}`;
  return `${number} ${power === 0 ? letter : `${letter}iB`}`;
}
