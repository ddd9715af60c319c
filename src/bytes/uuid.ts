/** UUIDs as 16 bytes in the order in which they are written in text (RFC 9562 section 4). */

/** `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, lower case. */
export function formatUuid(uuid: Uint8Array): string {
  let result = '';
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) result += '-';
    result += uuid[i]!.toString(16).padStart(2, '0');
  }
  return result;
}

/** The 16 bytes of a UUID in text, or undefined when it is not one. */
export function parseUuid(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return undefined;
  const digits = text.replaceAll('-', '');
  const result = new Uint8Array(16);
  for (let i = 0; i < 16; i++) result[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return result;
}

/** A random (version 4) UUID from 16 random bytes. */
export function randomUuid(random: RandomSource): Uint8Array {
  const result = new Uint8Array(16);
  random(result);
  result[6] = (result[6]! & 0x0f) | 0x40;
  result[8] = (result[8]! & 0x3f) | 0x80;
  return result;
}

/** Fills the array with random bytes; the core has no randomness of its own. */
export type RandomSource = (into: Uint8Array) => void;
