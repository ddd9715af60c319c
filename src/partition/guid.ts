/**
 * GUIDs as UEFI and Microsoft keep them: the first three groups little-endian, the last two in the order of the text
 * (UEFI 2.10, appendix A). In text they are upper case.
 */

/** Which of the 16 bytes comes where in the text. */
const ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

export const GUID_SIZE = 16;
export const ZERO_GUID = '00000000-0000-0000-0000-000000000000';

/** `C12A7328-F81F-11D2-BA4B-00A0C93EC93B`. */
export function formatGuid(guid: Uint8Array): string {
  let result = '';
  for (const [place, index] of ORDER.entries()) {
    if (place === 4 || place === 6 || place === 8 || place === 10) result += '-';
    result += guid[index]!.toString(16).padStart(2, '0');
  }
  return result.toUpperCase();
}

/** The 16 bytes of a GUID in text, upper or lower case; undefined when it is none. */
export function parseGuid(text: string): Uint8Array | undefined {
  if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(text)) return undefined;
  const digits = text.replaceAll('-', '');
  const result = new Uint8Array(GUID_SIZE);
  for (const [place, index] of ORDER.entries()) {
    result[index] = Number.parseInt(digits.slice(2 * place, 2 * place + 2), 16);
  }
  return result;
}
