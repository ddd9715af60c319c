/** The attributes of a GPT partition (UEFI 2.10, section 5.3.3, table 5.8) as util-linux writes them. */

const NAMES: readonly (readonly [name: string, bit: number])[] = [
  ['RequiredPartition', 0],
  ['NoBlockIOProtocol', 1],
  ['LegacyBIOSBootable', 2],
];

/** The type's own bits begin here. */
export const FIRST_OWN_BIT = 48;
export const LAST_OWN_BIT = 63;

/** `RequiredPartition LegacyBIOSBootable GUID:48,60`. */
export function formatGptAttributes(attributes: bigint): string {
  const isSet = (bit: number): boolean => (attributes & (1n << BigInt(bit))) !== 0n;
  const parts = NAMES.filter(([, bit]) => isSet(bit)).map(([name]) => name);
  const own: number[] = [];
  for (let bit = FIRST_OWN_BIT; bit <= LAST_OWN_BIT; bit++) if (isSet(bit)) own.push(bit);
  if (own.length > 0) parts.push(`GUID:${own.join(',')}`);
  return parts.join(' ');
}

/** The bits of a text: names, `GUID:48,50`, or numbers of bits, with blanks or commas between. The part that is none as a string. */
export function parseGptAttributes(text: string): bigint | string {
  let attributes = 0n;
  let rest = text.trim();
  while (rest !== '') {
    const named = NAMES.find(([name]) => rest.startsWith(name));
    const number = /^(?:GUID:)?(\d+)/.exec(rest);
    let length: number;
    let bit: number;
    if (named !== undefined) [length, bit] = [named[0].length, named[1]];
    else if (number !== null) [length, bit] = [number[0].length, Number(number[1])];
    else return rest;
    // The others go by their names only.
    if (named === undefined && (bit < FIRST_OWN_BIT || bit > LAST_OWN_BIT)) return rest;
    attributes |= 1n << BigInt(bit);
    rest = rest.slice(length);
    if (rest !== '' && !/^[\s,]/.test(rest)) return rest;
    rest = rest.replace(/^[\s,]+/, '');
  }
  return attributes;
}

export function gptAttributeName(bit: number): string | undefined {
  return NAMES.find(([, each]) => each === bit)?.[0];
}
