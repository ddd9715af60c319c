/** Sizes as people write them. */

const POWERS = 'KMGTPE';

/**
 * `1440K`, `500MiB`, `2G`, `0x1000`, `1.5M` in bytes: one letter or `KiB` counts in 1024, `KB` in 1000 (util-linux' rule).
 * Undefined when the text is not a size.
 */
export function parseSize(text: string): number | undefined {
  const match = /^(0x[0-9a-f]+|\d+(?:\.\d+)?)\s*(?:([kmgtpe])(ib|b)?|b)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const number = Number(match[1]);
  if (match[2] === undefined) return Number.isInteger(number) ? number : undefined;
  const power = POWERS.indexOf(match[2].toUpperCase()) + 1;
  const base = match[3]?.toLowerCase() === 'b' ? 1000 : 1024;
  const size = number * base ** power;
  return Number.isSafeInteger(Math.round(size)) ? Math.round(size) : undefined;
}

/** `1.4M`, `492.2M`, `16G`: at most one decimal, powers of 1024. */
export function formatSize(size: number): string {
  let value = size;
  let power = 0;
  while (value >= 1024 && power < POWERS.length) {
    value /= 1024;
    power++;
  }
  const digits = value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1);
  return power === 0 ? `${size}` : `${digits.replace(/\.0$/, '')}${POWERS[power - 1]}`;
}
