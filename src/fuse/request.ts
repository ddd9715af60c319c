import type { Field } from '../bytes/struct.ts';
import { viewOf } from '../bytes/struct.ts';
import { decodeUtf8 } from '../bytes/utf8.ts';
import { InHeader } from './structures.ts';

/** Bytes before the body of a request. */
export const IN_HEADER_SIZE = InHeader.$size;

/**
 * The request that read(2) has put into `bytes`, which is used for one after the other. The body is read through the tables of
 * protocol.ts: `request.get(ReadIn.offset)`. Nothing is allocated but names.
 */
export class FuseRequest {
  /** Where read(2) puts requests. */
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
  }

  /** Bytes of the whole request. */
  get length(): number {
    return InHeader.len.get(this.view, 0);
  }

  get opcode(): number {
    return InHeader.opcode.get(this.view, 0);
  }

  get nodeId(): number {
    return InHeader.nodeid.get(this.view, 0);
  }

  /** Who asks; as the user namespace of the mount sees it. 0 for what the kernel does by itself. */
  get uid(): number {
    return InHeader.uid.get(this.view, 0);
  }

  get gid(): number {
    return InHeader.gid.get(this.view, 0);
  }

  /** 0 when the caller is outside of the server's PID namespace, or the kernel. */
  get pid(): number {
    return InHeader.pid.get(this.view, 0);
  }

  /** A field of the structure with which the body begins. */
  get(field: Field<number>): number {
    return field.get(this.view, IN_HEADER_SIZE);
  }

  /** A field of a structure `at` bytes into the body. */
  getAt(at: number, field: Field<number>): number {
    return field.get(this.view, IN_HEADER_SIZE + at);
  }

  /** Byte offset in `bytes` of the NUL that ends the text `at` bytes into the body; the end of the request when there is none. */
  textEnd(at: number): number {
    const { bytes } = this;
    const end = Math.min(this.length, bytes.length);
    let found = Math.min(IN_HEADER_SIZE + at, end);
    // Names are short: a call of indexOf takes longer.
    while (found < end && bytes[found] !== 0) found++;
    return found;
  }

  /** The NUL-terminated name `at` bytes into the body (bytes that are no UTF-8: see bytes/utf8.ts). */
  name(at = 0): string {
    return decodeUtf8(this.bytes, IN_HEADER_SIZE + at, this.textEnd(at));
  }

  /** Two names in a row: those of RENAME, and SYMLINK's name and target. */
  names(at: number): [first: string, second: string] {
    const end = this.textEnd(at);
    return [
      decodeUtf8(this.bytes, IN_HEADER_SIZE + at, end),
      this.name(Math.min(end + 1, this.length) - IN_HEADER_SIZE),
    ];
  }

  /** Bytes of the body in place: valid until the next request is read. */
  data(at: number, length: number): Uint8Array {
    return this.bytes.subarray(IN_HEADER_SIZE + at, IN_HEADER_SIZE + at + length);
  }
}
