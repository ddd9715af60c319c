import { decodeUtf8, encodeUtf8 } from '../../bytes/utf8.ts';
import { argumentError } from './node-error.ts';

/** How the face turns bytes into what its users expect: `Buffer` in Node (host/node-fs.ts), `Uint8Array` elsewhere. */
export interface Codec<B extends Uint8Array> {
  allocate(length: number): B;
  /** The same bytes, not a copy. */
  wrap(bytes: Uint8Array): B;
  /** A file's content as text; bytes that are not of the encoding become U+FFFD. */
  decode(bytes: Uint8Array, encoding: string): string;
  encode(text: string, encoding: string): Uint8Array;
}

/** Without Node: the encodings that need no tables. */
export const plainCodec: Codec<Uint8Array> = {
  allocate: (length) => new Uint8Array(length),
  wrap: (bytes) => bytes,
  decode(bytes, encoding) {
    if (isUtf8(encoding)) return decodeUtf8(bytes).replaceAll(/\p{Surrogate}/gu, '\ufffd');
    if (!isLatin1(encoding)) throw unknownEncoding(encoding);
    let text = '';
    for (const byte of bytes) text += String.fromCharCode(byte);
    return text;
  },
  encode(text, encoding) {
    if (isUtf8(encoding)) return encodeUtf8(text.replaceAll(/\p{Surrogate}/gu, '\ufffd'));
    if (!isLatin1(encoding)) throw unknownEncoding(encoding);
    return Uint8Array.from(text, (character) => character.charCodeAt(0) & 0xff);
  },
};

function isUtf8(encoding: string): boolean {
  return /^utf-?8$/i.test(encoding);
}

function isLatin1(encoding: string): boolean {
  return /^(latin1|binary)$/i.test(encoding);
}

/** Node's own error for an encoding that it does not know. */
export function unknownEncoding(encoding: string): Error {
  return argumentError(
    'ERR_INVALID_ARG_VALUE',
    `The argument 'encoding' is invalid encoding. Received '${encoding}'`,
  );
}
