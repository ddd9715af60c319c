import { UsageError } from '../../../errors.ts';

const SUFFIXES = 'KMGTPEZY';

/**
 * A number as util-linux' tools take it: decimal, `0x` hexadecimal or octal behind a 0, then `K` or `KiB` in powers of 1024 or
 * `KB` in powers of 1000, up to Y; a fraction only before a suffix. Throws the tools' own message, `WHAT: 'TEXT': REASON`.
 */
export function parseNumber(text: string, what: string): bigint {
  const match =
    /^[ \t\n\v\f\r]*\+?(?<whole>0x[0-9a-f]+|\d+)(?:\.(?<fraction>\d*))?(?:(?<suffix>[kmgtpezy])(?:i?(?<unit>b))?)?$/i.exec(
      text,
    );
  const { whole = '', fraction, suffix } = match?.groups ?? {};
  const octal = /^0\d/.test(whole);
  if (match === null || (fraction !== undefined && suffix === undefined) || (octal && /[89]/.test(whole))) {
    throw failure(what, text, 'Invalid argument');
  }
  let value = BigInt(octal ? `0o${whole.slice(1)}` : whole);
  if (suffix !== undefined) {
    const decimal = /[^i]b$/i.test(text);
    const unit = (decimal ? 1000n : 1024n) ** BigInt(SUFFIXES.indexOf(suffix.toUpperCase()) + 1);
    const digits = fraction ?? '';
    value = value * unit + (digits === '' ? 0n : (BigInt(digits) * unit) / 10n ** BigInt(digits.length));
  }
  if (value >= 1n << 64n) throw failure(what, text, 'Numerical result out of range');
  return value;
}

function failure(what: string, text: string, reason: string): UsageError {
  return new UsageError(`${what}: '${text}': ${reason}`, 1);
}
