import { viewOf } from '../bytes/struct.ts';
import { decodeUtf8, encodeUtf8 } from '../bytes/utf8.ts';

const HIGH = 0x1_0000_0000;

/** A 64-bit number as a JavaScript number; what is above 2^53 is not exact, and is far past the end of any device. */
export function getU64(view: DataView, at: number): number {
  return view.getUint32(at) * HIGH + view.getUint32(at + 4);
}

export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / HIGH));
  view.setUint32(at + 4, value >>> 0);
}

/** Puts messages together, front to back. */
export class MessageWriter {
  readonly #parts: number[] = [];

  u16(value: number): this {
    this.#parts.push((value >>> 8) & 0xff, value & 0xff);
    return this;
  }

  u32(value: number): this {
    this.#parts.push((value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
    return this;
  }

  u64(value: number): this {
    return this.u32(Math.floor(value / HIGH)).u32(value >>> 0);
  }

  magic([high, low]: readonly [number, number]): this {
    return this.u32(high).u32(low);
  }

  bytes(value: Uint8Array): this {
    for (const byte of value) this.#parts.push(byte);
    return this;
  }

  /** Length as 32 bits, then the text. */
  string(text: string): this {
    const encoded = encodeUtf8(text);
    return this.u32(encoded.length).bytes(encoded);
  }

  text(text: string): this {
    return this.bytes(encodeUtf8(text));
  }

  zeros(count: number): this {
    for (let index = 0; index < count; index++) this.#parts.push(0);
    return this;
  }

  get length(): number {
    return this.#parts.length;
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#parts);
  }
}

/** Takes messages apart. Past the end every number is undefined, so a short message is noticed where it is read. */
export class MessageReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u16(): number | undefined {
    if (this.remaining < 2) return undefined;
    this.#at += 2;
    return this.#view.getUint16(this.#at - 2);
  }

  u32(): number | undefined {
    if (this.remaining < 4) return undefined;
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4);
  }

  u64(): number | undefined {
    if (this.remaining < 8) return undefined;
    this.#at += 8;
    return getU64(this.#view, this.#at - 8);
  }

  isMagic([high, low]: readonly [number, number]): boolean {
    return this.u32() === high && this.u32() === low;
  }

  /** A length of 32 bits and as many bytes of UTF-8; undefined when it does not fit or is longer than `most`. */
  string(most: number): string | undefined {
    const length = this.u32();
    if (length === undefined || length > most || length > this.remaining) return undefined;
    this.#at += length;
    return decodeUtf8(this.#bytes, this.#at - length, this.#at);
  }

  rest(): string {
    const start = this.#at;
    this.#at = this.#bytes.length;
    return decodeUtf8(this.#bytes, start);
  }
}
