/**
 * UTF-8 for file names: names on disk and on POSIX hosts are bytes, names in this project are strings. Bytes that
 * are not UTF-8 become lone surrogates U+DC80..U+DCFF, one a byte, and turn into the same bytes again when encoded,
 * so every byte name survives a round trip (the scheme of Python's PEP 383).
 */

/** Bytes that `text` takes. */
export function utf8Length(text: string): number {
  let length = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x80) length += 1;
    else if (code < 0x800) length += 2;
    else if (isHighSurrogate(code) && isLowSurrogate(text.charCodeAt(i + 1))) {
      length += 4;
      i++;
    } else length += isEscapedByte(code) ? 1 : 3;
  }
  return length;
}

/** Writes `text` into `into` at `offset` and returns the number of bytes written; throws RangeError when it does not fit. */
export function encodeUtf8Into(text: string, into: Uint8Array, offset = 0): number {
  let at = offset;
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      into[at++] = code;
      continue;
    }
    if (isEscapedByte(code)) {
      into[at++] = code & 0xff;
      continue;
    }
    if (isHighSurrogate(code) && isLowSurrogate(text.charCodeAt(i + 1))) {
      code = 0x10000 + ((code - 0xd800) << 10) + (text.charCodeAt(++i) - 0xdc00);
      into[at++] = 0xf0 | (code >> 18);
      into[at++] = 0x80 | ((code >> 12) & 0x3f);
    } else if (code < 0x800) {
      into[at++] = 0xc0 | (code >> 6);
      into[at++] = 0x80 | (code & 0x3f);
      continue;
    } else into[at++] = 0xe0 | (code >> 12);
    into[at++] = 0x80 | ((code >> 6) & 0x3f);
    into[at++] = 0x80 | (code & 0x3f);
  }
  if (at > into.length)
    throw new RangeError(`Text of ${at - offset} bytes does not fit in ${into.length - offset}`);
  return at - offset;
}

export function encodeUtf8(text: string): Uint8Array {
  const result = new Uint8Array(utf8Length(text));
  encodeUtf8Into(text, result);
  return result;
}

/** Decodes `source[start, end)`. */
export function decodeUtf8(source: Uint8Array, start = 0, end: number = source.length): string {
  let result = '';
  let at = start;
  // Most names are ASCII: eight characters in one step cost little more than one.
  for (; at + 8 <= end; at += 8) {
    const a = source[at]!;
    const b = source[at + 1]!;
    const c = source[at + 2]!;
    const d = source[at + 3]!;
    const e = source[at + 4]!;
    const f = source[at + 5]!;
    const g = source[at + 6]!;
    const h = source[at + 7]!;
    if ((a | b | c | d | e | f | g | h) >= 0x80) break;
    result += String.fromCharCode(a, b, c, d, e, f, g, h);
  }
  while (at < end && source[at]! < 0x80) result += String.fromCharCode(source[at++]!);
  return at === end ? result : result + decodeAny(source, at, end);
}

function decodeAny(source: Uint8Array, start: number, end: number): string {
  let result = '';
  let at = start;
  while (at < end) {
    const first = source[at]!;
    if (first < 0x80) {
      result += String.fromCharCode(first);
      at++;
      continue;
    }
    const length = sequenceLength(source, at, end);
    if (length === 0) {
      result += String.fromCharCode(0xdc00 | first);
      at++;
      continue;
    }
    let code = length === 2 ? first & 0x1f : length === 3 ? first & 0x0f : first & 0x07;
    for (let i = 1; i < length; i++) code = (code << 6) | (source[at + i]! & 0x3f);
    result += String.fromCodePoint(code);
    at += length;
  }
  return result;
}

/** Bytes of the well-formed sequence at `at` (Unicode 15, table 3-7), or 0 when there is none. */
function sequenceLength(source: Uint8Array, at: number, end: number): number {
  const first = source[at]!;
  let length: number;
  let low = 0x80;
  let high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) length = 2;
  else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first === 0xe0) low = 0xa0;
    else if (first === 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first === 0xf0) low = 0x90;
    else if (first === 0xf4) high = 0x8f;
  } else return 0;
  if (at + length > end) return 0;
  const second = source[at + 1]!;
  if (second < low || second > high) return 0;
  for (let i = 2; i < length; i++) {
    if ((source[at + i]! & 0xc0) !== 0x80) return 0;
  }
  return length;
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}

function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff;
}

function isEscapedByte(code: number): boolean {
  return code >= 0xdc80 && code <= 0xdcff;
}
