import { type Timestamp, timestampFromMilliseconds } from '../../bytes/time.ts';
import { decodeUtf8 } from '../../bytes/utf8.ts';
import { argumentError } from './node-error.ts';

/** A `file:` URL, described by what is used of it, since the core has no URL class. */
export interface FileUrl {
  readonly protocol: string;
  readonly pathname: string;
}

export type PathArgument = string | Uint8Array | FileUrl;
export type PathOrDescriptor = PathArgument | number;
export type ModeArgument = number | string;
export type TimeArgument = number | string | Date;
export type EncodingArgument = { readonly encoding?: string | null | undefined } | string | null | undefined;
export type BufferEncodingArgument = 'buffer' | { readonly encoding: 'buffer' };

/** The path as a string; paths that are not absolute count from the root of the image. */
export function pathOf(value: PathArgument, name = 'path'): string {
  let path: string;
  if (typeof value === 'string') path = value;
  else if (value instanceof Uint8Array) path = decodeUtf8(value);
  else if (typeof value === 'object' && value !== null && value.protocol === 'file:') {
    path = decodeURIComponent(value.pathname);
  } else {
    throw argumentError(
      'ERR_INVALID_ARG_TYPE',
      `The "${name}" argument must be of type string or an instance of Buffer or URL`,
    );
  }
  if (path.includes('\0')) {
    throw argumentError(
      'ERR_INVALID_ARG_VALUE',
      `The argument '${name}' must be a string, Uint8Array, or URL without null bytes`,
    );
  }
  return path;
}

export function modeOf(value: ModeArgument | null | undefined, fallback: number): number {
  if (value === undefined || value === null) return fallback;
  const mode = typeof value === 'string' && /^[0-7]+$/.test(value) ? Number.parseInt(value, 8) : value;
  if (typeof mode === 'number' && Number.isInteger(mode) && mode >= 0 && mode <= 0xffff_ffff) return mode;
  throw argumentError(
    'ERR_INVALID_ARG_VALUE',
    `The argument 'mode' must be a 32-bit unsigned integer or an octal string. Received ${String(value)}`,
  );
}

export function timeOf(value: TimeArgument, name: string): Timestamp {
  const seconds = value instanceof Date ? value.getTime() / 1000 : Number(value);
  if (!Number.isFinite(seconds) || value === '') {
    throw argumentError(
      'ERR_INVALID_ARG_TYPE',
      `The "${name}" argument must be of type number or string or an instance of Date`,
    );
  }
  return timestampFromMilliseconds(seconds * 1000);
}

/** `undefined` when the caller wants bytes. */
export function encodingOf(options: EncodingArgument, fallback?: string): string | undefined {
  const encoding = typeof options === 'string' ? options : options?.encoding;
  return encoding ?? fallback;
}

/** The bytes behind any view. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  if (view instanceof Uint8Array) return view;
  if (!ArrayBuffer.isView(view)) {
    throw argumentError(
      'ERR_INVALID_ARG_TYPE',
      'The "buffer" argument must be an instance of Buffer, TypedArray, or DataView',
    );
  }
  const { buffer, byteOffset, byteLength } = view as ArrayBufferView;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** A length or position: a whole number of at least 0. */
export function checkCount(value: number, name: string): number {
  if (typeof value !== 'number') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `The "${name}" argument must be of type number`);
  }
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw argumentError(
    'ERR_OUT_OF_RANGE',
    `The value of "${name}" is out of range. It must be >= 0 && <= ${Number.MAX_SAFE_INTEGER}. Received ${value}`,
  );
}
