const LABEL_LENGTH = 11;
const FORBIDDEN = '*?.,;:/\\|+=<>[]"';

/** A character set of one byte a character. */
export interface LabelEncoding {
  /** IBM's number of the code page. */
  readonly number: number;
  /** Undefined for a character that it does not have. */
  encode(character: string): number | undefined;
}

/** A volume label for the disk. */
export interface EncodedLabel {
  /** Eleven bytes, padded with spaces; undefined: the text stands for no label. */
  readonly bytes: Uint8Array | undefined;
  /** Some systems cannot find such labels. */
  readonly hasLowerCase: boolean;
  /** What is wrong with it, as mkfs.fat says it. */
  readonly problem: string | undefined;
  /** The first character that the code page lacks; then there are no bytes. */
  readonly missing: string | undefined;
}

/**
 * Checks and encodes a volume label.
 *
 * Bytes above 0x7f are taken as the manual says; dosfstools 4.2 refuses them where the C compiler's char is signed.
 */
export function encodeLabel(text: string, encoding: LabelEncoding): EncodedLabel {
  const none = { bytes: undefined, hasLowerCase: false, problem: undefined, missing: undefined };
  const characters = Array.from(text);
  const codes: number[] = [];
  for (const character of characters) {
    const code = encoding.encode(character);
    if (code === undefined) return { ...none, missing: character };
    codes.push(code);
  }
  if (codes.length > LABEL_LENGTH) return { ...none, problem: 'Label can be no longer than 11 characters' };
  const bytes = new Uint8Array(LABEL_LENGTH).fill(0x20);
  bytes.set(codes);
  return {
    bytes: isNoLabel(text) ? undefined : bytes,
    hasLowerCase: characters.some((character) => character !== character.toUpperCase()),
    problem: problemOf(text, codes),
    missing: undefined,
  };
}

function problemOf(text: string, codes: readonly number[]): string | undefined {
  if (codes.some((code) => code < 0x20)) return 'Labels with characters below 0x20 are not allowed';
  if (Array.from(text).some((character) => FORBIDDEN.includes(character))) {
    return `Labels with characters ${FORBIDDEN} are not allowed`;
  }
  if (text.startsWith(' ') && text.trim() !== '') return "Label can't start with a space character";
  return undefined;
}

/** An empty or blank label and the words that stand for its absence mean none. */
function isNoLabel(text: string): boolean {
  const trimmed = text.replace(/ +$/, '');
  return trimmed === '' || trimmed === 'NO NAME';
}
