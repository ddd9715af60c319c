import { viewOf } from '../bytes/struct.ts';
import { encodeUtf8Into, utf8Length } from '../bytes/utf8.ts';
import type { Extent } from '../device/block-device.ts';
import { FsError } from '../errors.ts';
import {
  AllocationState,
  EXTENDED_REPLY_SIZE,
  NBD_EXTENDED_REPLY_MAGIC,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
  NbdErrno,
  REPLY_FLAG_DONE,
  ReplyType,
  SIMPLE_REPLY_SIZE,
  STRUCTURED_REPLY_SIZE,
} from './protocol.ts';
import { BASE_ALLOCATION_ID } from './server-handshake.ts';
import { BUFFER_START, type SessionTerms, type SessionTransport } from './session-transport.ts';
import { setU64 } from './wire.ts';

const PAGE = 4096;
const MAX_ERROR_TEXT = 200;

/**
 * Replies that go out in one send, in the form that was agreed on: each is put behind the one before it in the transport's output. Nothing is
 * allocated for a reply to a read or a write.
 */
export class ReplyBatch {
  /** The batch is `output[start, end)`. */
  start = BUFFER_START;
  end = BUFFER_START;
  readonly output: Uint8Array;
  /** Bytes in front of the data of a successful read. */
  readonly readHeaderSize: number;
  readonly #view: DataView;
  readonly #structured: boolean;
  readonly #extended: boolean;
  readonly #transport: SessionTransport;
  // The request that is being answered.
  #cookieHigh = 0;
  #cookieLow = 0;
  #offset = 0;

  constructor(terms: SessionTerms, transport: SessionTransport) {
    this.#transport = transport;
    this.output = transport.output;
    this.#view = viewOf(transport.output);
    this.#structured = terms.structuredReplies;
    this.#extended = terms.extendedHeaders;
    this.readHeaderSize = terms.extendedHeaders
      ? EXTENDED_REPLY_SIZE + 8
      : terms.structuredReplies
        ? STRUCTURED_REPLY_SIZE + 8
        : SIMPLE_REPLY_SIZE;
  }

  /** What follows answers the request with this cookie and offset. */
  answer(cookieHigh: number, cookieLow: number, offset: number): void {
    this.#cookieHigh = cookieHigh;
    this.#cookieLow = cookieLow;
    this.#offset = offset;
  }

  succeed(): void {
    // A reply without data may be simple even where replies are structured; but not to a read.
    if (!this.#extended) return this.#simple(0);
    this.endChunks();
  }

  succeedEmptyRead(): void {
    if (!this.#structured) return this.#simple(0);
    this.endChunks();
  }

  fail(errno: number, text: string): void {
    if (this.#structured) this.errorChunk(errno, text);
    else this.#simple(errno);
  }

  /** The errno and the words for what a device threw. */
  failWith(error: unknown): void {
    this.fail(errnoOf(error), textOf(error));
  }

  /** What comes in front of a read's data. `isLast`: no other chunk follows. */
  readHeaderAt(at: number, length: number, isLast: boolean): void {
    const view = this.#view;
    if (!this.#structured) {
      view.setUint32(at, NBD_SIMPLE_REPLY_MAGIC);
      view.setUint32(at + 4, 0);
      view.setUint32(at + 8, this.#cookieHigh);
      view.setUint32(at + 12, this.#cookieLow);
      return;
    }
    const end = this.#chunkHeader(at, isLast ? REPLY_FLAG_DONE : 0, ReplyType.offsetData, length + 8);
    setU64(view, end, this.#offset);
  }

  /** Ends a structured reply with a chunk of nothing. */
  endChunks(): void {
    this.makeRoom(EXTENDED_REPLY_SIZE);
    this.end = this.#chunkHeader(this.end, REPLY_FLAG_DONE, ReplyType.none, 0);
  }

  /** Ends a structured reply with an error; with an offset it is one of the data there. */
  errorChunk(errno: number, text: string, offset?: number): void {
    const message = text.slice(0, MAX_ERROR_TEXT);
    const textLength = utf8Length(message);
    const length = 6 + textLength + (offset === undefined ? 0 : 8);
    this.makeRoom(EXTENDED_REPLY_SIZE + length);
    const type = offset === undefined ? ReplyType.error : ReplyType.errorOffset;
    const at = this.#chunkHeader(this.end, REPLY_FLAG_DONE, type, length);
    this.#view.setUint32(at, errno);
    this.#view.setUint16(at + 4, textLength);
    encodeUtf8Into(message, this.output, at + 6);
    if (offset !== undefined) setU64(this.#view, at + 6 + textLength, offset);
    this.end = at + length;
  }

  blockStatus(extents: readonly Extent[]): void {
    const extended = this.#extended;
    const prefix = extended ? 8 : 4;
    const entry = extended ? 16 : 8;
    const length = prefix + entry * extents.length;
    this.makeRoom(EXTENDED_REPLY_SIZE + length);
    const type = extended ? ReplyType.blockStatusExtended : ReplyType.blockStatus;
    const view = this.#view;
    let at = this.#chunkHeader(this.end, REPLY_FLAG_DONE, type, length);
    view.setUint32(at, BASE_ALLOCATION_ID);
    if (extended) view.setUint32(at + 4, extents.length);
    at += prefix;
    for (const extent of extents) {
      const state = stateOf(extent);
      if (extended) {
        setU64(view, at, extent.length);
        setU64(view, at + 8, state);
      } else {
        view.setUint32(at, extent.length);
        view.setUint32(at + 4, state);
      }
      at += entry;
    }
    this.end = at;
  }

  /** Starts a batch so that the data of a read at this byte of the file lies in the page as it does in the file. */
  alignDataTo(position: number): void {
    const start = (position + PAGE - this.readHeaderSize) % PAGE;
    this.start = start;
    this.end = start;
  }

  makeRoom(length: number): void {
    if (this.end + length > this.output.length) this.flush();
  }

  /** Sends what there is. */
  flush(): void {
    if (this.end > this.start) this.#transport.send(this.start, this.end);
    this.start = BUFFER_START;
    this.end = BUFFER_START;
  }

  #simple(errno: number): void {
    this.makeRoom(SIMPLE_REPLY_SIZE);
    const view = this.#view;
    const at = this.end;
    view.setUint32(at, NBD_SIMPLE_REPLY_MAGIC);
    view.setUint32(at + 4, errno);
    view.setUint32(at + 8, this.#cookieHigh);
    view.setUint32(at + 12, this.#cookieLow);
    this.end = at + SIMPLE_REPLY_SIZE;
  }

  /** Gives the place of the payload. */
  #chunkHeader(at: number, flags: number, type: number, length: number): number {
    const view = this.#view;
    const extended = this.#extended;
    view.setUint32(at, extended ? NBD_EXTENDED_REPLY_MAGIC : NBD_STRUCTURED_REPLY_MAGIC);
    view.setUint16(at + 4, flags);
    view.setUint16(at + 6, type);
    view.setUint32(at + 8, this.#cookieHigh);
    view.setUint32(at + 12, this.#cookieLow);
    if (!extended) {
      view.setUint32(at + 16, length);
      return at + STRUCTURED_REPLY_SIZE;
    }
    setU64(view, at + 16, this.#offset);
    setU64(view, at + 24, length);
    return at + EXTENDED_REPLY_SIZE;
  }
}

function stateOf({ kind }: Extent): number {
  if (kind === 'data') return 0;
  return kind === 'zero' ? AllocationState.zero : AllocationState.zero | AllocationState.hole;
}

const ERRNO_OF_CODE: Readonly<Record<string, number>> = {
  EPERM: NbdErrno.EPERM,
  EACCES: NbdErrno.EPERM,
  EROFS: NbdErrno.EPERM,
  ENOMEM: NbdErrno.ENOMEM,
  EINVAL: NbdErrno.EINVAL,
  ENOSPC: NbdErrno.ENOSPC,
  EFBIG: NbdErrno.ENOSPC,
  EDQUOT: NbdErrno.ENOSPC,
  EOPNOTSUPP: NbdErrno.ENOTSUP,
};

/** The protocol's number for what a device threw. */
export function errnoOf(error: unknown): number {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return (typeof code === 'string' ? ERRNO_OF_CODE[code] : undefined) ?? NbdErrno.EIO;
}

/** The words for it. */
export function textOf(error: unknown): string {
  if (error instanceof FsError) return error.detail ?? error.text;
  return error instanceof Error ? error.message : String(error);
}
